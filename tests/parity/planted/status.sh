#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# says: failed on tvq:
#
# Both sides fail in the same way.
. "${BASH_SOURCE[0]%/*}/../lib.sh"

fact same 1
fail "planted"
