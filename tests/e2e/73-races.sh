#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 1 --parallel
#
# One name is created and destroyed by several writers, while the other side
# adds and removes devices and sysfs is read. Whoever loses a race gets an
# errno, and nothing stays behind. Some of these devices are disks, of which the
# kernel reads the partitions when they are taken away.
. "${BASH_SOURCE[0]%/*}/lib.sh"

tvq_load
fn=$(tvq_function 0)
rounds=10
[ -n "$TVQ_SLOW" ] && rounds=4

# again FILE TEXT: write until told to stop, whatever comes of it.
again()
{
	trap - ERR
	while [ -e /run/race ]; do
		sysfs_write "$fn/tvq/$1" "$2" 2>/dev/null || true
	done
}

touch /run/race
pids=()
for name in a b; do
	again create "type=blk name=$name capacity=1M" &
	pids+=($!)
	again destroy $name &
	pids+=($!)
done
for ((i = 0; i < rounds; i++)); do
	type=net
	((i % 2)) || type='blk capacity=1M'
	# shellcheck disable=SC2086
	host device 0 ctl add type=$type name=c >/dev/null || fail "add"
	cat "$TVQ_BUS"/*/{type,name,features} >/run/seen 2>/dev/null || true
	cat "$fn"/tvq/{devices_used,vqs_free} >/run/seen
	host device 0 ctl remove c || fail "remove"
done
rm /run/race
wait "${pids[@]}"

# What is left is left on both sides, and goes.
wait_gone 20 test -e "$fn/tvq/by-name/c"
for name in a b; do
	sysfs_write "$fn/tvq/destroy" $name 2>/dev/null || true
	wait_gone 20 test -e "$fn/tvq/by-name/$name"
done
[ "$(cat "$fn/tvq/devices_used")" = 0 ] || fail "devices_used $(cat "$fn/tvq/devices_used"): $(tvq_left)"
[ -z "$(tvq_left)" ] || fail "on the bus: $(tvq_left)"
tvq_create "$fn" 'type=blk name=a capacity=1M'
tvq_disk "$fn" a >/dev/null
tvq_destroy "$fn" a
tvq_unload
