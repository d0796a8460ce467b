#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 1
# timeout: 300
#
# A disk in use is stopped, its parts are read, it is reset on the device's side, so that
# it has forgotten all of it, the parts are put back, and it goes on. Its driver
# notices a pause: no error, and no queue is set up anew.
. "${BASH_SOURCE[0]%/*}/lib.sh"

rounds=20
# A round takes 15 s there.
[ "$TVQ_KERNEL" = debug ] && rounds=4
tvq_load
fn=$(tvq_function 0)
trace=/sys/kernel/tracing
[ -d $trace/events ] || mount -t tracefs none $trace
[ -d /sys/kernel/debug/virtio_tvq ] || mount -t debugfs none /sys/kernel/debug
tvq_create "$fn" 'type=blk name=t capacity=64M vqs=2'
disk=$(tvq_disk "$fn" t)
stat=/sys/block/${disk##*/}/stat
files=/sys/kernel/debug/virtio_tvq/$(basename "$(realpath "$fn/tvq/by-name/t")")

mode()
{
	sysfs_write "$files/mode" "$1" || return
	[ "$(cat "$files/mode")" = "$1" ] || fail "mode is not $1"
}

set_parts()
{
	cat "$1" >"$files/parts"
}

# Reads and writes that have ended; then how many have not.
ended()
{
	local fields

	read -ra fields <"$stat"
	echo $((fields[0] + fields[4]))
}

pending()
{
	local fields

	read -ra fields <"$stat"
	[ "${fields[8]}" -gt 0 ]
}

moves()
{
	[ "$(ended)" != "$1" ]
}

# status_of PARTS: behind the features, of which each part has 16 bytes and 16 of header
status_of()
{
	od -An -tu1 -j 80 -N 1 "$1" | tr -d ' '
}

[ "$(cat "$files/mode")" = running ] || fail "not running"
cat "$files/parts" >/run/parts
[ -s /run/parts ] || fail "no parts"
expect_errno EBUSY set_parts /run/parts
expect_errno EINVAL sysfs_write "$files/mode" paused
expect_errno EINVAL sysfs_write "$files/parts" xxx

echo 1 >$trace/events/virtio_tvq/enable
: >$trace/trace
io_start "$disk"
for ((i = 0; i < rounds; i++)); do
	before=$(ended)
	wait_for 30 moves "$before" || fail "round $i: nothing moves"
	mode stopped
	cat "$files/parts" >/run/parts
	host device 0 ctl reset t
	cat "$files/parts" >/run/forgotten
	[ "$(status_of /run/parts)" = 15 ] || fail "round $i: not in use"
	[ "$(status_of /run/forgotten)" = 0 ] || fail "round $i: it has not forgotten"
	# It would work now, if it only were not stopped.
	mode running
	wait_for 30 pending || fail "round $i: nobody waits"
	# What ended before the stop may take a moment to be counted; then there is as much
	# time again for what must not move.
	sleep 0.3
	before=$(ended)
	sleep 0.3
	moves "$before" && fail "round $i: a device that was reset still works"
	mode stopped
	set_parts /run/parts
	mode running
	wait_for 30 moves "$before" || fail "round $i: does not go on"
done
io_stop
echo 0 >$trace/events/virtio_tvq/enable
! grep 'SETUP_VQS\|NEGOTIATE' $trace/trace || fail "the driver set something up"
grep tvq_admin_done $trace/trace >/run/done
[ "$(grep -c DEV_MODE_SET /run/done)" = $((4 * rounds)) ] || fail "not every command is in the trace"
! grep -v 'err=0 .*status=0 ' /run/done || fail "a command failed"

# One that is to go goes on first: nobody waits for it for ever.
io_start "$disk"
before=$(ended)
wait_for 30 moves "$before"
mode stopped
echo 1 >"$fn/tvq/reset"
[ "$(cat "$files/mode")" = running ] || fail "stopped after a reset"
before=$(ended)
wait_for 30 moves "$before" || fail "does not go on after a reset"
io_stop
mode stopped
tvq_destroy "$fn" t
[ ! -e "$files" ] || fail "files of a device that is gone"
tvq_unload
[ ! -e /sys/kernel/debug/virtio_tvq ] || fail "a directory without a module"
