#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 1
# timeout: 200
# kernels: 7.2
#
# An admin virtqueue that does not answer, and disks in use: one that was told to stop, and
# may have, or not, holds nobody up, and one that was not even told is none the worse.
. "${BASH_SOURCE[0]%/*}/lib.sh"

tvq_load timeout_ms=4000
fn=$(tvq_function 0)
trace=/sys/kernel/tracing
[ -d $trace/events ] || mount -t tracefs none $trace
[ -d /sys/kernel/debug/virtio_tvq ] || mount -t debugfs none /sys/kernel/debug

# use NAME: a disk, its files, and I/O to it
use()
{
	local disk

	[ -e "$fn/tvq/by-name/$1" ] || tvq_create "$fn" "type=blk name=$1 capacity=16M vqs=2"
	disk=$(tvq_disk "$fn" "$1")
	files=/sys/kernel/debug/virtio_tvq/$(basename "$(realpath "$fn/tvq/by-name/$1")")
	fio --name=io --filename="$disk" --rw=randrw --bs=4k --direct=1 --size=8M \
		--ioengine=libaio --iodepth=8 --disk_util=0 --time_based --runtime=1000 \
		>/run/fio.log 2>&1 &
	io=$!
	wait_for 20 moving "/sys/block/${disk##*/}/stat"
}

moving()
{
	local fields

	read -ra fields <"$1"
	[ $((fields[0] + fields[4])) -gt 100 ]
}

ended()
{
	wait_gone 20 kill -0 $io || fail "I/O does not end"
	! wait $io || fail "no error"
}

in_time()
{
	timeout 30 "$@" || fail "'$*' takes more than 30 s"
}

# unanswered NAME: the device does not answer any more, and the queue is found broken 8 s
# from now
unanswered()
{
	host device 0 ctl admin hold
	cat "$fn/tvq/by-name/$1/vqs" >/dev/null 2>&1 &
	asked=$!
}

broken()
{
	dmesg | grep 'admin virtqueue [0-9]* does not answer' >/dev/null
}

# outstanding N: so many commands were sent
outstanding()
{
	[ "$(grep -c ' tvq_admin_post: ' $trace/trace)" -ge "$1" ]
}

device_stopped()
{
	host device 0 ctl list | grep ' stopped' >/dev/null
}

echo 1 >/run/one

# It was not sent: the disk goes on, and lives through the reset.
dmesg -C
use a
unanswered a
wait_for 20 broken || fail "not broken"
expect_errno EIO sysfs_write "$files/mode" stopped
[ "$(cat "$files/mode")" = running ] || fail "taken for stopped"
in_time cp /run/one "$fn/tvq/reset"
kill -0 $io || fail "I/O has ended: $(cat /run/fio.log)"
[ "$(cat "$fn/tvq/by-name/a/vqs")" = 2 ] || fail "no admin commands after a reset"
kill $io
wait $io || true

# It was sent, and the queue broke before its own deadline.
dmesg -C
use a
unanswered a
wait_gone 20 kill -0 $asked
rc=0
sysfs_write "$files/mode" stopped || rc=$?
[ $rc -ne 0 ] || fail "stopped by whom?"
broken || fail "not broken"
[ "$(cat "$files/mode")" = stopped ] || fail "taken for running"
host device 0 ctl admin go
wait_for 20 device_stopped || fail "not stopped"
echo a >/run/name
in_time cp /run/name "$fn/tvq/destroy"
ended
in_time cp /run/one "$fn/tvq/reset"

# The function goes while commands are outstanding.
use b
host device 0 ctl admin hold
: >$trace/trace
echo 1 >$trace/events/virtio_tvq/tvq_admin_post/enable
cat "$fn/tvq/by-name/b/vqs" &
pids=($! "$io")
echo stopped >"$files/mode" &
pids+=($!)
cat "$files/parts" &
pids+=($!)
wait_for 3 outstanding 2 || fail "nothing is outstanding"
host device 0 unplug
for pid in "${pids[@]}"; do
	wait_gone 20 kill -0 "$pid" || fail "somebody waits for ever"
done
echo 0 >$trace/events/virtio_tvq/enable
[ -z "$(tvq_left)" ] || fail "devices without a function"
host device 0 kill
host device 0 start
host device 0 plug
wait_for 20 test -e "$fn/tvq/by-name/b"
tvq_destroy "$fn" b
tvq_unload
