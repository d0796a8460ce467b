#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 1 --parallel
#
# The interrupt of a queue is moved from CPU to CPU while I/O runs, and arrives
# where it was moved to.
. "${BASH_SOURCE[0]%/*}/lib.sh"

tvq_load
fn=$(tvq_function 0)
tvq_create "$fn" 'type=blk name=disk vqs=2 capacity=64M'
disk=$(tvq_disk "$fn" disk)
id=$(cat "$(tvq_device "$fn" disk)/device_id")

irq_of()
{
	sed -n "s/^ *\([0-9]*\):.*tvq0-$id-$1\$/\1/p" /proc/interrupts
}

# count IRQ CPU
count()
{
	awk -v irq="$1:" -v cpu="$2" '$1 == irq { print $(cpu + 2) }' /proc/interrupts
}

# more IRQ CPU OLD: is the count above OLD by enough to be no accident?
more()
{
	[ "$(count "$1" "$2")" -gt $(($3 + 20)) ]
}

irq0=$(irq_of req.0)
irq1=$(irq_of req.1)
# Spread: each queue has a CPU of its own to begin with.
cpus=$(cat "/proc/irq/$irq0/smp_affinity_list" "/proc/irq/$irq1/smp_affinity_list" | sort | xargs)
[ "$cpus" = '0 1' ] || fail "two queues on two CPUs: $cpus"

# One job on each CPU, so that both queues are in use.
io_start "$disk" --cpus_allowed=0-1 --cpus_allowed_policy=split

for round in 1 2; do
	for cpu in 0 1; do
		for irq in "$irq0" "$irq1"; do
			echo $cpu >"/proc/irq/$irq/smp_affinity_list"
		done
		for irq in "$irq0" "$irq1"; do
			old=$(count "$irq" $cpu)
			wait_for 20 more "$irq" $cpu "$old" || fail "round $round: no interrupt $irq on CPU $cpu"
			# Not one more on the other, once the change has gone through.
			other=$(count "$irq" $((1 - cpu)))
			old=$(count "$irq" $cpu)
			wait_for 20 more "$irq" $cpu "$old" || fail "round $round: interrupt $irq stopped"
			[ "$(count "$irq" $((1 - cpu)))" = "$other" ] || fail "interrupt $irq still on CPU $((1 - cpu))"
		done
	done
done

# As fast as a program can, with I/O under way: nothing may be lost.
for ((i = 0; i < 100; i++)); do
	echo $((i % 2)) >"/proc/irq/$irq0/smp_affinity_list"
	echo $((1 - i % 2)) >"/proc/irq/$irq1/smp_affinity_list"
done
old0=$(count "$irq0" 1)
old1=$(count "$irq1" 0)
wait_for 20 more "$irq0" 1 "$old0" || fail "queue 0 hangs after many moves"
wait_for 20 more "$irq1" 0 "$old1" || fail "queue 1 hangs after many moves"

io_stop
tvq_destroy "$fn" disk
tvq_unload
