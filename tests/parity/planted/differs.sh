#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# needs: rng0
# says: bus: virtio-pci: "pci", managed: "virtio_tvq"
#
# A fact that is not the same.
. "${BASH_SOURCE[0]%/*}/../lib.sh"

fact bus "$(basename "$(realpath "$(virtio rng0)/../subsystem")")"
fact same 1
