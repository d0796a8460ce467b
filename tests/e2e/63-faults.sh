#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 1
# kernels: debug
# timeout: 240
#
# Each command in the life of a managed device is refused, answered with nonsense, late,
# never or twice: users get the errors that are documented, what there was before is all
# that is there behind, and the next device works. What is done is in faults.py.
. "${BASH_SOURCE[0]%/*}/lib.sh"

timeout_ms=3000

# walk PHASE [PARAM=VALUE...]
walk()
{
	tvq_load "${@:2}"
	python3 "${BASH_SOURCE[0]%/*}/faults.py" "$(tvq_function 0)" "$1" $timeout_ms | tee -a /run/faults
	tvq_unload
}

[ -d /sys/kernel/debug/virtio_tvq ] || mountpoint -q /sys/kernel/debug ||
	mount -t debugfs none /sys/kernel/debug
rm -f /run/faults
walk answers
walk deadlines timeout_ms=$timeout_ms
# In the log of the kernel, where it is found behind a test that has passed
awk '{ sum += $2 } END { print "faults: " sum " injected"; exit !sum }' /run/faults |
	tee /dev/kmsg
