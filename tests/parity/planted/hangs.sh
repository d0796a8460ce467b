#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# timeout: 1
# says: no end after
#
# A workload that does not end.
. "${BASH_SOURCE[0]%/*}/../lib.sh"

fact same 1
sleep infinity
