#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# needs: rng0
# says: seen: virtio-pci: none, managed: "1"
#
# A fact that one side does not have.
. "${BASH_SOURCE[0]%/*}/../lib.sh"

fact same 1
case $(virtio rng0) in
*/tvq0-*) fact seen 1 ;;
esac
