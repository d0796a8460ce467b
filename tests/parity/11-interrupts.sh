#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# needs: disk0 net0
# differs: irq\.action: it begins with the name that the device has on its bus
# differs: disk0\.queue\.[01]\.move: those of a disk on virtio-pci are managed by the interrupt core, and users may not move them
# differs: disk0\.queue\.[01](\.after)?\.hint: where the interrupt core does not manage them, there is a hint for who does
# differs: disk0\.queue\.1\.(offline|after\.affinity): what the interrupt core does not manage moves to another CPU when its own goes, and stays there
#
# Where interrupts go: to which CPUs they are spread, who may move them, and what
# becomes of them, and of requests, when a CPU goes.
. "${BASH_SOURCE[0]%/*}/lib.sh"

cpu1=/sys/devices/system/cpu/cpu1/online
trap 'echo 1 >$cpu1; rm -f /run/io' EXIT

# irq NAME SUFFIX: the number of the interrupt of its device whose action ends so.
irq()
{
	local parent irq

	parent=$(realpath "$(virtio "$1")/..")
	for irq in "$parent/msi_irqs"/*; do
		irq=${irq##*/}
		grep -E "^ *$irq:.*-$2\$" /proc/interrupts >/dev/null || continue
		echo "$irq"
		return
	done
	fail "no interrupt -$2 of $1: $(cat /proc/interrupts)"
}

# count IRQ CPU: how many of them there were on that CPU.
count()
{
	awk -v irq="$1:" -v field=$(($2 + 2)) '$1 == irq { print $field }' /proc/interrupts
}

# reads CPU N: by a program on that CPU.
reads()
{
	taskset -c "$1" dd if="$disk" of=/dev/null bs=4k count="$2" iflag=direct status=none
}

disk=$(disk disk0)
net=$(netdev net0)
ip link set "$net" up

show()
{
	local key=$1 irq=$2

	fact "$key.affinity" "$(<"/proc/irq/$irq/smp_affinity_list")"
	fact "$key.hint" "$(<"/proc/irq/$irq/affinity_hint")"
	fact "$key.type" "$(<"/sys/kernel/irq/$irq/type")"
}

# A queue of the disk goes by the CPU that asks in it: on both sides, queue 0 is
# that of CPU 1.
irqs=()
for n in 0 1; do
	cpu=$(<"/sys/block/${disk##*/}/mq/$n/cpu_list")
	fact "disk0.queue.$cpu" "$n"
	irqs[cpu]=$(irq disk0 req.$n)
	show "disk0.queue.$cpu" "${irqs[cpu]}"
	show net0.input.$n "$(irq net0 input.$n)"
	show net0.output.$n "$(irq net0 output.$n)"
done
fact irq.action "$(<"/sys/kernel/irq/${irqs[0]}/actions")"

# After the first one, which carries a change out, each comes to where it should.
for n in 0 1; do
	reads $n 1
	before=$(count "${irqs[n]}" $n)
	reads $n 20
	want "disk0.queue.$n.used" 1 "$(($(count "${irqs[n]}" $n) - before >= 20))"
done

for n in 0 1; do
	rc_fact "disk0.queue.$n.move" sysfs_write "/proc/irq/${irqs[n]}/smp_affinity_list" $((1 - n))
	succeeds "net0.input.$n.move" sysfs_write "/proc/irq/$(irq net0 input.$n)/smp_affinity_list" $((1 - n))
	reads $n 20
	# Given back, because the CPU that goes below is to be that of its queue.
	sysfs_write "/proc/irq/${irqs[n]}/smp_affinity_list" $n 2>/dev/null || true
	reads $n 2
done

io_start "$disk"
echo 0 >$cpu1
fact cpus "$(</sys/devices/system/cpu/online)"
reads 0 50
fact "disk0.queue.1.offline" "$(<"/proc/irq/${irqs[1]}/smp_affinity_list")"
fact net0.offline "$(ethtool -l "$net" | awk '/^Combined:/ { print $2 }' | tr '\n' ' ')"
echo 1 >$cpu1
io_stop
for n in 0 1; do
	reads $n 20
	show "disk0.queue.$n.after" "${irqs[n]}"
done
ip link set "$net" down
