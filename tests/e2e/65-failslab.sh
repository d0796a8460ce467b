#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 1
# kernels: debug
# timeout: 240
#
# Each allocation in our code fails in turn, by the kernel's fault injection: what is
# being done fails with an errno, or succeeds all the same, and nothing stays behind.
. "${BASH_SOURCE[0]%/*}/lib.sh"

[ -d /sys/kernel/debug/failslab ] || mount -t debugfs none /sys/kernel/debug
modprobe -a virtio_blk virtio_net virtio_rng virtio_console
tvq_load
tvq_unload
PYTHONDONTWRITEBYTECODE=1 python3 "$TVQ_SRC/tests/e2e/failslab.py"
