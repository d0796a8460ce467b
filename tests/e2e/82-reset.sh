#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 1
# timeout: 240
#
# The function is reset, by the PCI core and by tvq/reset, while its devices are
# in use: they stay what they are, and nothing that was acknowledged is lost.
# Then devices and the function say that they need a reset.
. "${BASH_SOURCE[0]%/*}/lib.sh"

modprobe virtio_rng
tvq_load
fn=$(tvq_function 0)
for name in disk other; do
	tvq_create "$fn" "type=blk name=$name vqs=2 capacity=16M"
done
tvq_create "$fn" 'type=net name=left'
tvq_create "$fn" 'type=net name=right'
tvq_create "$fn" 'type=rng name=rng'
disk=$(tvq_disk "$fn" disk)
other=$(tvq_disk "$fn" other)
left=$(tvq_netdev "$fn" left)
right=$(tvq_netdev "$fn" right)
ip netns add right
ip link set "$right" netns right
ip addr add 10.9.0.1/24 dev "$left"
ip link set "$left" up
ip -n right addr add 10.9.0.2/24 dev "$right"
ip -n right link set "$right" up
wait_for 10 grep -q 1 "/sys/class/net/$left/carrier"
pattern other $((1 << 20)) /run/pattern
dd if=/run/pattern of="$other" bs=64k oflag=direct status=none

# What must not change: ids, names, drivers, and what users know them by.
names()
{
	local dev vdev id status

	# No program is started: on the debug kernel these would take seconds.
	for dev in "$fn"/tvq/by-name/*; do
		vdev=("$dev"/virtio*)
		read -r id <"$dev/device_id" || true
		read -r status <"${vdev[0]}/status" || true
		echo "${dev##*/}" "$id" "$status" "${vdev[0]}"/{block,net}/*
	done
}

works()
{
	local now

	disk_holds "$other" /run/pattern || fail "$1: the disk that was idle"
	wait_for 10 ping -qc 1 -W 1 -I "$left" 10.9.0.2 || fail "$1: the interfaces"
	timeout 20 dd if=/dev/hwrng of=/dev/null bs=16 count=1 iflag=fullblock status=none ||
		fail "$1: random numbers"
	now=$(names)
	[ "$now" = "$before" ] || fail "$1: $before became $now"
}

before=$(names)
works "at the start"

# back WHAT: what had failed comes back by itself, a moment later.
back()
{
	wait_for 20 unchanged || fail "$1: $before became $(names)"
	works "$1"
}

unchanged()
{
	[ "$(names)" = "$before" ]
}

[ "$(cat "$fn/reset_method")" = flr ] || echo flr >"$fn/reset_method"
io_start "$disk" --size=1M
ip netns exec right ping -qi 0.1 10.9.0.1 >/dev/null &
load=$!
for ((i = 0; i < 2; i++)); do
	echo 1 >"$fn/reset"
	works "function-level reset $i"
done
[ "$(host device 0 log | grep -c 'function-level reset')" -ge 2 ] || fail "that was no function-level reset"
for ((i = 0; i < 2; i++)); do
	echo 1 >"$fn/tvq/reset"
	works "tvq/reset $i"
done
kill -0 "$io_pid" || fail "I/O has ended: $(cat /run/fio.log)"
io_stop

for text in 0 2 yes '1 1'; do
	expect_errno EINVAL sysfs_write "$fn/tvq/reset" "$text"
done

# Creation and destruction go on at the same time.
for ((i = 0; i < 3; i++)); do
	echo 1 >"$fn/tvq/reset" &
	tvq_create "$fn" 'type=blk name=more capacity=1M'
	tvq_disk "$fn" more >/dev/null
	tvq_destroy "$fn" more
	wait $!
done
works "creation meanwhile"

# needs_reset NAME: the device says so. Requests in flight would hang the disk:
# virtio_blk waits for them for ever, as it does with virtio-pci.
needs_reset()
{
	host device 0 ctl needs-reset "$1"
	wait_for 10 grep -qx 0x0000004f "$(tvq_virtio "$fn" "$1")/status" ||
		fail "$1: status $(cat "$(tvq_virtio "$fn" "$1")/status")"
}

# Its driver is told, at once: nobody waits for what never comes.
needs_reset left
! timeout 5 ping -qc 1 -W 1 -I "$left" 10.9.0.2 >/dev/null || fail "needs a reset and goes on"
timeout 10 ip link set "$left" promisc on || true
needs_reset other
expect_errno EIO dd if="$other" of=/dev/null bs=4k count=1 iflag=direct status=none
needs_reset rng
timeout 10 dd if="$disk" of=/dev/null bs=64k count=4 iflag=direct status=none || fail "a device that needs no reset"

# tvq/reset brings them back as they were.
echo 1 >"$fn/tvq/reset"
back "managed devices that needed a reset"

# The other way is to bind the driver again.
needs_reset rng
dev=$(tvq_virtio "$fn" rng)
echo "${dev##*/}" >/sys/bus/virtio/drivers/virtio_rng/unbind
echo "${dev##*/}" >/sys/bus/virtio/drivers/virtio_rng/bind
works "a driver that was bound again"

# The function: nothing works until it is reset.
host device 0 ctl needs-reset
wait_for 20 sh -c 'dmesg | grep "needs a reset, all its devices fail"'
expect_errno EIO tvq_create "$fn" 'type=blk name=more capacity=1M'
expect_errno EIO dd if="$other" of=/dev/null bs=4k count=1 iflag=direct status=none
echo 1 >"$fn/tvq/reset"
back "a function that needed a reset"
host device 0 ctl needs-reset
# shellcheck disable=SC2016
wait_for 20 sh -c '[ $(dmesg | grep -c "needs a reset, all its devices fail") = 2 ]'
echo 1 >"$fn/reset"
back "a function-level reset of one that needed it"
kill "$load" || fail "the load on the interfaces has ended"
io_start "$disk" --size=1M
works "at the end"
io_stop

for name in disk other left right rng; do
	[ $name = left ] && ip netns del right
	tvq_destroy "$fn" $name
done
tvq_unload
