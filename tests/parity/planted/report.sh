#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# says: WARNING: planted by the parity suite
#
# A report in the kernel log.
. "${BASH_SOURCE[0]%/*}/../lib.sh"

fact same 1
echo "WARNING: planted by the parity suite" >/dev/kmsg
