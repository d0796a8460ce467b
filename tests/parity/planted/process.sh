#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# says: left behind: processes
#
# A process stays behind, of those that are looked for.
. "${BASH_SOURCE[0]%/*}/../lib.sh"

fact same 1
iperf3 -s -D --pidfile /run/parity-iperf3.pid
wait_for 20 test -s /run/parity-iperf3.pid
