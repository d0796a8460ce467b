#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 2 --smp 4 --parallel
# kernels: debug kcsan
# timeout: 240
#
# Everything at once (see churn.py), drawn at random from a seed that is printed; a run
# with that seed does the same, though not in the same order. Afterwards nothing is
# left of it. For longer: make churn CHURN_SECONDS=600.
#
# Not with PREEMPT_RT: the scheduler of 7.2 warns in affine_move_task() of threads of
# interrupts that move while CPUs come and go.
. "${BASH_SOURCE[0]%/*}/lib.sh"

seconds=${1:-45}
seed=${2:-$RANDOM$RANDOM}

modprobe virtio_rng
tvq_load
mapfile -t functions < <(tvq_functions)
echo "seed $seed"

# 7.2 warns of a timer of its deadline servers (hrtimer_forward, from dl_task_timer) where
# CPUs come and go and ticks come late, with or without this driver.
set_servers()
{
	local file

	for file in /sys/kernel/debug/sched/*_server/cpu*/runtime; do
		[ ! -e "$file" ] || echo "$1" >"$file"
	done
}
set_servers 0
trap 'set_servers 50000000' EXIT

# What a managed device takes of the kernel: interrupts and their domains, mappings.
taken()
{
	local fn file

	for fn in "${functions[@]}"; do
		for file in devices_used vqs_free vectors_free; do
			echo "$file $(cat "$fn/tvq/$file")"
		done
		file=/sys/kernel/debug/dma-api/dump
		[ ! -e $file ] || echo "DMA $(grep -c " ${fn##*/} " $file)"
	done
	echo "interrupts $(find /proc/irq -mindepth 1 -maxdepth 1 -type d | wc -l)"
	[ ! -d /sys/kernel/debug/irq/domains ] || ls /sys/kernel/debug/irq/domains
	echo "virtio $(ls /sys/bus/virtio/devices)"
	echo "managed $(tvq_left)"
	cat /sys/devices/system/cpu/online
}

# Once, so that what the first device makes for good is there.
tvq_create "${functions[0]}" 'type=blk name=first capacity=4M'
tvq_disk "${functions[0]}" first >/dev/null
tvq_destroy "${functions[0]}" first
taken >/run/before

python3 "${BASH_SOURCE[0]%/*}/churn.py" "$seconds" "$seed" "${functions[@]}" ||
	fail "churn with seed $seed"

same()
{
	taken >/run/after
	cmp -s /run/before /run/after
}
# What was added by the other side is followed some time later.
wait_for 20 same || fail "not as before: $(diff /run/before /run/after)"
tvq_unload
