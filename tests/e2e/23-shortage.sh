#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 2 --smp 1 --device-args '--vectors-max 512'
# kernels: 6.12 7.2 rt
# timeout: 180
#
# Interrupt vectors run out, first the device's, then the CPU's, of which there are
# about 200. What is in use goes on all the time; admin virtqueues share what is left.
. "${BASH_SOURCE[0]%/*}/lib.sh"

modprobe virtio_rng
tvq_load
fn=$(tvq_function 0)
tvq_create "$fn" 'type=blk name=keep vqs=1 vectors=2 capacity=16M'
tvq_create "$fn" 'type=net name=right vectors=2'
ip netns add right
right=$(tvq_netdev "$fn" right)
ip link set "$right" netns right
ip -n right addr add 10.9.0.2/24 dev "$right"
ip -n right link set "$right" up
io_start "$(tvq_disk "$fn" keep)" --size=1M

# keeps_on WHAT: what was there before goes on.
keeps_on()
{
	kill -0 "$io_pid" || fail "$1: I/O has ended: $(cat /run/fio.log)"
}

# said TEXT: how many lines of the kernel's log say so.
said()
{
	dmesg | grep -c "$1" || true
}

# --- the device's ------------------------------------------------------------

for ((i = 0; i < 3; i++)); do
	tvq_create "$fn" "type=rng name=rng$i vectors=129"
done
[ "$(cat "$fn/tvq/vectors_free")" = $((512 - 4 - 3 * 129)) ] || fail "vectors_free"
refused=$(said 'create: number of vectors (')
expect_errno ENOSPC tvq_create "$fn" 'type=rng name=more vectors=129'
[ "$(said 'create: number of vectors (')" = $((refused + 1)) ] || fail "why create failed"
[ ! -e "$fn/tvq/by-name/more" ] || fail "something came of it"
[ "$(cat "$fn/tvq/vectors_free")" = $((512 - 4 - 3 * 129)) ] || fail "vectors_free after a failure"
tvq_destroy "$fn" rng1
tvq_create "$fn" 'type=rng name=more vectors=129'
for name in rng0 rng2 more; do
	tvq_destroy "$fn" $name
done
keeps_on "without vectors in the device"

# --- the CPU's ---------------------------------------------------------------

# Interfaces with 65 vectors each; what is left for the last is fewer.
irqs()
{
	tvq_irqs "$fn" "$1" | wc -l
}

for ((big = 0; big < 6; big++)); do
	tvq_create "$fn" "type=net name=big$big vqs=32 vectors=65"
	tvq_netdev "$fn" big$big >/dev/null
	free=$(irqs big$big)
	[ "$free" = 65 ] || break
done
[ "$big" -lt 6 ] || fail "the CPU does not run out of vectors"
[[ $free -gt 3 && $free -lt 65 ]] || fail "big$big has $free interrupts"
# All its own: one for the configuration, the others for 64 queues.
id=$(cat "$fn/tvq/by-name/big$big/device_id")
[ "$(grep -c "tvq0-$id-config" /proc/interrupts)" = 1 ] || fail "the configuration's interrupt"
[ "$(grep -c "tvq0-$id-" /proc/interrupts)" = "$free" ] || fail "interrupts that are not its own"
grep "tvq0-$id-queues" /proc/interrupts >/dev/null || fail "no queues share"
keeps_on "the last vectors are taken"

# There is none: the device is created, and is on the bus, without a driver.
none='not one interrupt vector is left'
[ "$(said "$none")" = 0 ] || fail "said too early"
tvq_create "$fn" 'type=blk name=disk capacity=16M'
dev=$(tvq_device "$fn" disk)
vdev=$(tvq_virtio "$fn" disk)
[ "$(said "$none")" = 1 ] || fail "$(said "$none") messages"
[ "$(said "${dev##*/}: $none")" = 1 ] || fail "which device?"
[[ -e $dev/driver && ! -e $vdev/driver ]] || fail "not bound so far as it can be"
[ "$(irqs disk)" = 0 ] || fail "interrupts of a device without a driver"
bind=/sys/bus/virtio/drivers/virtio_blk/bind
expect_errno ENOSPC sysfs_write "$bind" "${vdev##*/}"
[ "$(said "$none")" = 2 ] || fail "$(said "$none") messages"
keeps_on "a device without vectors"

# disk_works: is what was written read?
disk_works()
{
	pattern "$1" $((1 << 20)) /run/pattern
	dd if=/run/pattern of="$disk" bs=64k oflag=direct status=none
	disk_holds "$disk" /run/pattern || fail "$1: what was written"
}

# One: all that the device has shares it.
tvq_destroy "$fn" big$big
tvq_create "$fn" "type=net name=fill vqs=32 vectors=$((free - 1))"
[ "$(irqs fill)" = $((free - 1)) ] || fail "fill has $(irqs fill) interrupts"
sysfs_write "$bind" "${vdev##*/}"
disk=$(tvq_disk "$fn" disk)
[ "$(irqs disk)" = 1 ] || fail "disk has $(irqs disk) interrupts"
grep " ${dev##*/}-all$" /proc/interrupts >/dev/null || fail "what the one interrupt is for"
disk_works "one vector"
host device 0 ctl resize disk 24M
wait_for 10 grep -qx $((24 << 11)) "/sys/block/${disk##*/}/size"
tvq_destroy "$fn" disk
tvq_destroy "$fn" fill

# admin_shares LEFT OWN: where so many vectors are left, another function has two of them
# and OWN for its admin virtqueues; all that there are answer.
admin_shares()
{
	local name

	tvq_create "$fn" "type=net name=fill vqs=32 vectors=$((free + 4 - $1))"
	[ "$(irqs fill)" = $((free + 4 - $1)) ] || fail "fill has $(irqs fill) interrupts"
	sysfs_write $driver/bind "${fn1##*/}"
	[ "$(grep -c ' virtio_tvq-transport$' /proc/interrupts)" = 2 ] || fail "not bound"
	[ "$(grep -c ' virtio_tvq-admin$' /proc/interrupts)" = $((2 + $2)) ] ||
		fail "vectors of admin virtqueues with $1 left"
	for name in one two; do
		[ "$(cat "$fn1/tvq/by-name/$name/vqs")" = 1 ] || fail "no answer with $1 left"
	done
	sysfs_write $driver/unbind "${fn1##*/}"
	tvq_destroy "$fn" fill
}
fn1=$(tvq_function 1)
driver=/sys/bus/pci/drivers/virtio_tvq
[ "$(grep -c ' virtio_tvq-admin$' /proc/interrupts)" = 4 ] || fail "not a vector for each"
sysfs_write $driver/unbind "${fn1##*/}"
host device 1 ctl add type=rng name=one
host device 1 ctl add type=rng name=two
admin_shares 3 1
admin_shares 2 0
sysfs_write $driver/bind "${fn1##*/}"
tvq_destroy "$fn1" one
tvq_destroy "$fn1" two
keeps_on "admin virtqueues share vectors"

# Three for five: two for the four queues that interrupt.
tvq_create "$fn" "type=net name=fill vqs=32 vectors=$((free - 3))"
tvq_create "$fn" 'type=net name=left vqs=2 vectors=5'
left=$(tvq_netdev "$fn" left)
shared()
{
	[ "$(irqs left)" = 3 ] || fail "$1: left has $(irqs left) interrupts"
	id=$(cat "$fn/tvq/by-name/left/device_id")
	[ "$(grep -c "tvq0-$id-queues" /proc/interrupts)" = 2 ] || fail "$1: vectors that are shared"
	wait_for 20 ping -qc 1 -W 1 -I "$left" 10.9.0.2 || fail "$1: ping"
}
ip addr add 10.9.0.1/24 dev "$left"
ip link set "$left" up
wait_for 10 grep -q 1 "/sys/class/net/$left/carrier"
shared "shared vectors"

# With some free again, one that had none is bound as any device is.
tvq_create "$fn" 'type=blk name=disk capacity=16M'
vdev=$(tvq_virtio "$fn" disk)
[ ! -e "$vdev/driver" ] || fail "where did the vector come from?"
tvq_destroy "$fn" fill
sysfs_write "$bind" "${vdev##*/}"
disk=$(tvq_disk "$fn" disk)
[ "$(irqs disk)" = 2 ] || fail "disk has $(irqs disk) interrupts"
disk_works "bound again"

# All are given back and taken again, and the one that shared has its own.
taken_again()
{
	local i

	for ((i = 0; i < big; i++)); do
		[ "$(irqs big$i)" = 65 ] || return
	done
	[ "$(irqs left)" = 5 ]
}
echo 1 >"$fn/tvq/reset"
wait_for 30 taken_again || fail "after a reset: left has $(irqs left) interrupts"
[ "$(irqs disk)" = 2 ] || fail "after a reset: disk has $(irqs disk) interrupts"
disk_works "after a reset"
keeps_on "after a reset"

io_stop
ip netns del right
for ((i = 0; i < big; i++)); do
	tvq_destroy "$fn" big$i
done
for name in keep left right disk; do
	tvq_destroy "$fn" $name
done
tvq_unload
