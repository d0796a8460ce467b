#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 1
# kernels: 7.2 debug
# timeout: 400
#
# Disks that are written to when the driver is to let go of their function, and whose
# device has forgotten what it was given, or does not stop, or both: it ends all the same,
# without a reset of the device by anybody else; and so does a function that is still
# there and answers no command any more. Whatever has not stopped does not access
# memory when its driver has let go.
. "${BASH_SOURCE[0]%/*}/lib.sh"

tvq_load timeout_ms=3000
fn=$(tvq_function 0)
pattern let-go $((1 << 20)) /run/pattern
for name in disk other; do
	tvq_create "$fn" "type=blk name=$name capacity=16M vqs=2"
done
echo 1 >/run/one
echo "${fn##*/}" >/run/name

io_to_disk()
{
	disk=$(tvq_disk "$fn" disk)
	fio --name=io --filename="$disk" --rw=randrw --bs=4k --direct=1 --size=8M \
		--ioengine=libaio --iodepth=16 --disk_util=0 --time_based --runtime=1000 \
		>/run/fio.log 2>&1 &
	io=$!
	wait_for 20 disk_busy "$disk"
}

# stays WHAT: nobody has ended the I/O yet
stays()
{
	disk_busy "$disk" || fail "$1: nothing is in flight"
	kill -0 $io || fail "$1: I/O has ended: $(cat /run/fio.log)"
}

ended()
{
	local rc=0

	wait_gone 20 kill -0 $io || fail "$1: I/O does not end"
	wait $io || rc=$?
	[ $rc -ne 0 ] || fail "$1: no error"
	grep -E 'Input/output error|No such device' /run/fio.log >/dev/null ||
		fail "$1: $(cat /run/fio.log)"
}

usable()
{
	local name

	for name in disk other; do
		wait_for 20 test -b "$(tvq_disk "$fn" $name)"
		dd if=/run/pattern of="$(tvq_disk "$fn" $name)" bs=64k oflag=direct status=none
		disk_holds "$(tvq_disk "$fn" $name)" /run/pattern || fail "$1: $name is not usable"
	done
}

unbind()
{
	bounded "$1" cp /run/name /sys/bus/pci/drivers/virtio_tvq/unbind
	[ -z "$(tvq_left)" ] || fail "devices without a driver"
}

bind()
{
	bounded 20 cp /run/name /sys/bus/pci/drivers/virtio_tvq/bind
}

# off: how often bus mastering was turned off, as the device saw it
off()
{
	host device 0 log | grep -c 'bus mastering is off' || true
}

said()
{
	dmesg | grep -F "$1" >/dev/null
}

usable before

# It needs a reset, and does not answer that: its neighbour goes on.
dmesg -C
io_to_disk
host device 0 ctl fault kind=drop command=RESET
host device 0 ctl needs-reset disk
wait_for 20 said 'does not answer, giving up on it'
stays mute
dd if=/run/pattern of="$(tvq_disk "$fn" other)" bs=64k oflag=direct status=none
n=$(off)
unbind 20
ended mute
said 'a device that has failed does not stop' || fail "was not cut off"
[ "$(off)" -gt "$n" ] || fail "mute: has access to memory"
host device 0 ctl fault off
bind
usable mute

# It has forgotten all, and does answer.
io_to_disk
host device 0 ctl reset disk
wait_for 20 disk_busy "$disk"
stays forgetful
unbind 80
ended forgetful
bind
usable forgetful

# Both; and somebody resets the function.
dmesg -C
io_to_disk
host device 0 ctl fault kind=drop command=RESET
host device 0 ctl reset disk
wait_for 20 disk_busy "$disk"
stays "forgetful and mute"
bounded 150 cp /run/one "$fn/tvq/reset"
ended "forgetful and mute"
said "its driver doesn't let go" || fail "its failure alone was not tried"
said 'a driver does not let go, all its devices fail' || fail "was not cut off"
host device 0 ctl fault off
usable "forgetful and mute"

# No command is answered any more, the function is there, and I/O goes on.
io_to_disk
n=$(off)
host device 0 ctl fault kind=drop times=all
expect_errno ETIMEDOUT tvq_create "$fn" 'type=rng name=late'
ended dead
[ "$(off)" -gt "$n" ] || fail "dead: has access to memory"
read -r _ command < <(od -A x -t x2 -j 4 -N 2 "$fn/config")
((!(0x$command & 4))) || fail "bus mastering is on"
host device 0 ctl fault off
unbind 20
bind
usable dead
[ ! -e "$fn/tvq/by-name/late" ] || tvq_destroy "$fn" late

tvq_destroy "$fn" disk
tvq_destroy "$fn" other
tvq_unload
