#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# says: left behind: network namespaces planted
#
# Something stays behind.
. "${BASH_SOURCE[0]%/*}/../lib.sh"

fact same 1
ip netns add planted
