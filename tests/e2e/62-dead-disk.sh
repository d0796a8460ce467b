#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 1
# timeout: 240
#
# Disks that are written to when their device ends, in each way that there is: whoever
# waits for a request gets an error, and nobody waits for ever. Interfaces lose their
# carrier.
. "${BASH_SOURCE[0]%/*}/lib.sh"

PACKED=$((1 << 34))

tvq_load
fn=$(tvq_function 0)

# offered NAME: the features of a device, the lower 64 bits
offered()
{
	local bits

	bits=$(cat "$(tvq_device "$fn" "$1")/features")
	echo "0x${bits: -16}"
}

ios=()
io_to()
{
	fio --name="$1" --filename="$2" --rw=randrw --bs=4k --direct=1 --size=8M \
		--ioengine=libaio --iodepth=32 --numjobs=2 --time_based --runtime=1000 \
		--disk_util=0 --group_reporting >"/run/fio.$1" 2>&1 &
	ios+=($!)
	wait_for 20 disk_busy "$2"
}

# ended NAME PID: its I/O ends, with an error, without anybody's help
ended()
{
	local rc=0

	wait_gone 20 kill -0 "$2" || {
		tail "/sys/block/"*/inflight
		echo w >/proc/sysrq-trigger
		fail "$1: I/O does not end"
	}
	wait "$2" || rc=$?
	[ $rc -ne 0 ] || fail "$1: no error"
	grep -E 'Input/output error|No such device' "/run/fio.$1" >/dev/null ||
		fail "$1: $(cat "/run/fio.$1")"
}

# bound_again NAME: its driver lets go of it, and is bound again
bound_again()
{
	local dev

	dev=$(tvq_virtio "$fn" "$1")
	echo "${dev##*/}" >/run/name
	bounded 20 cp /run/name /sys/bus/virtio/drivers/virtio_blk/unbind
	bounded 20 cp /run/name /sys/bus/virtio/drivers/virtio_blk/bind
}

usable()
{
	dd if=/run/pattern of="$(tvq_disk "$fn" "$1")" bs=64k oflag=direct status=none
	disk_holds "$(tvq_disk "$fn" "$1")" /run/pattern || fail "$1: not usable"
}

carrier()
{
	[ "$(cat "/sys/class/net/$1/carrier")" = "$2" ]
}

pattern dead $((1 << 20)) /run/pattern
tvq_create "$fn" 'type=blk name=split capacity=16M vqs=2'
tvq_create "$fn" "type=blk name=packed capacity=16M vqs=2 features=$(printf '%#x' \
	$(($(offered split) | PACKED)))"
tvq_create "$fn" 'type=net name=left'
tvq_create "$fn" 'type=net name=right'

# DEVICE_NEEDS_RESET: nothing comes back.
for name in split packed; do
	[ "$name $TVQ_KERNEL" != "split debug" ] || continue
	ios=()
	io_to $name "$(tvq_disk "$fn" $name)"
	host device 0 ctl needs-reset $name
	ended $name "${ios[0]}"
	bound_again $name
	usable $name
done

# The other side takes it away.
tvq_create "$fn" 'type=blk name=gone capacity=16M'
ios=()
disk=$(tvq_disk "$fn" gone)
io_to gone "$disk"
host device 0 ctl remove gone
ended gone "${ios[0]}"
wait_gone 20 test -e "$fn/tvq/by-name/gone"
wait_gone 20 test -e "/sys/block/${disk##*/}"

# all_begin: I/O to both disks, and a link
all_begin()
{
	ios=()
	for name in split packed; do
		io_to $name "$(tvq_disk "$fn" $name)"
	done
	left=$(tvq_netdev "$fn" left)
	ip link set "$left" up
	wait_for 20 carrier "$left" 1
}

# all_back: a new process, with what was provisioned
all_back()
{
	host device 0 start
	host device 0 plug
	wait_for 20 test -e "$fn/tvq/by-name/right"
	for name in split packed; do
		usable $name
	done
}

# The process dies, and nobody sends a command.
all_begin
host device 0 kill
ended split "${ios[0]}"
ended packed "${ios[1]}"
wait_for 20 carrier "$left" 0
echo "${fn##*/}" >/run/name
bounded 20 cp /run/name /sys/bus/pci/drivers/virtio_tvq/unbind
host device 0 unplug
all_back

# And while the driver is on its way out.
all_begin
host device 0 kill
bounded 20 rmmod virtio_tvq
for i in 0 1; do
	wait_gone 20 kill -0 "${ios[i]}"
done
[ -z "$(tvq_left)" ] || fail "devices without a driver"
host device 0 unplug
host device 0 start
host device 0 plug
wait_for 20 test -e "$fn"
tvq_insmod virtio_tvq
for name in split packed; do
	usable $name
done

# It is unplugged in order.
if [ "$TVQ_KERNEL" != debug ]; then
	all_begin
	host device 0 unplug
	for i in 0 1; do
		wait_gone 20 kill -0 "${ios[i]}"
	done
	[ -z "$(tvq_left)" ] || fail "devices without a function"
	host device 0 kill
	all_back
fi

for name in split packed left right; do
	tvq_destroy "$fn" $name
done
tvq_unload
