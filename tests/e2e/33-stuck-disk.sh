#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 1
# kernels: 6.12 7.2
# timeout: 240
#
# A device that answers commands, and has forgotten the requests that it was given: a
# reset of the function ends the wait for them, be it the reset's own or that of who
# unbinds the disk.
. "${BASH_SOURCE[0]%/*}/lib.sh"

tvq_load
fn=$(tvq_function 0)
pattern stuck $((1 << 20)) /run/pattern
for name in disk other; do
	tvq_create "$fn" "type=blk name=$name capacity=16M vqs=2"
done
other=$(tvq_disk "$fn" other)
dd if=/run/pattern of="$other" bs=64k oflag=direct status=none
echo 1 >/run/one

# stick: the device forgets while there is I/O
stick()
{
	disk=$(tvq_disk "$fn" disk)
	fio --name=io --filename="$disk" --rw=randrw --bs=4k --direct=1 --size=8M \
		--ioengine=libaio --iodepth=16 --disk_util=0 --time_based --runtime=1000 \
		>/run/fio.log 2>&1 &
	io=$!
	wait_for 20 disk_busy "$disk"
	host device 0 ctl reset disk
	wait_for 20 disk_busy "$disk"
	kill -0 $io || fail "I/O has ended: $(cat /run/fio.log)"
}

ended()
{
	local rc=0

	wait_gone 20 kill -0 $io || fail "I/O does not end"
	wait $io || rc=$?
	[ $rc -ne 0 ] || fail "no error"
	grep -E 'Input/output error|No such device' /run/fio.log >/dev/null ||
		fail "$(cat /run/fio.log)"
}

usable()
{
	wait_for 20 test -b "$(tvq_disk "$fn" disk)"
	dd if=/run/pattern of="$(tvq_disk "$fn" disk)" bs=64k oflag=direct status=none
	disk_holds "$(tvq_disk "$fn" disk)" /run/pattern || fail "not usable"
	disk_holds "$other" /run/pattern || fail "the other disk"
}

stick
bounded 80 cp /run/one "$fn/tvq/reset"
ended
usable

# Whoever unbinds it waits, too, and holds its lock.
stick
dev=$(tvq_virtio "$fn" disk)
echo "${dev##*/}" >/sys/bus/virtio/drivers/virtio_blk/unbind &
unbind=$!
wait_gone 20 test -e "/sys/block/${disk##*/}/mq"
bounded 80 cp /run/one "$fn/tvq/reset"
ended
wait_gone 20 kill -0 $unbind || fail "unbind does not end"
wait $unbind || fail "unbind"
[ ! -e "$dev/driver" ] || fail "still bound"
echo "${dev##*/}" >/sys/bus/virtio/drivers/virtio_blk/bind
usable

tvq_destroy "$fn" disk
tvq_destroy "$fn" other
tvq_unload
