#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# says: no facts
#
# Success, of which there is nothing to see.
. "${BASH_SOURCE[0]%/*}/../lib.sh"
