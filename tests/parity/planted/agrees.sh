#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# says: declared as different, and is not: colo.r
# differs: colo.r: there was a time when it did
#
# A difference that is declared, and is none.
. "${BASH_SOURCE[0]%/*}/../lib.sh"

fact colour red
