#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 1
# kernels: debug
# timeout: 240
#
# Commands in the life of a managed device, and of those that are found and reset, are
# refused, answered with nonsense, late, never or twice: users get the errors that are
# documented, what there was before is all that is there behind, and the next device
# works. What is done is in faults.py.
#
# Without an argument, each command in one way and each name of a command in each kind
# of way. "all", by hand, is each command in each way, and takes long:
#	scripts/vm --kernel 7.2 --devices 1 --timeout 7200 run tests/e2e/63-faults.sh all
. "${BASH_SOURCE[0]%/*}/lib.sh"

timeout_ms=1000
[ -z "$TVQ_SLOW" ] || timeout_ms=1500

extent=${1:-some}

# walk PHASE [PARAM=VALUE...]
walk()
{
	tvq_load "${@:2}"
	python3 "${BASH_SOURCE[0]%/*}/faults.py" "$(tvq_function 0)" "$1" $timeout_ms "$extent" | tee -a /run/faults
	tvq_unload
}

[ -d /sys/kernel/debug/virtio_tvq ] || mountpoint -q /sys/kernel/debug ||
	mount -t debugfs none /sys/kernel/debug
rm -f /run/faults
walk answers
walk deadlines timeout_ms=$timeout_ms
# In the log of the kernel, where it is found behind a test that has passed
awk '/faults in/ { sum += $2 } END { print "faults: " sum " injected"; exit !sum }' /run/faults |
	tee /dev/kmsg
