#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 1 --parallel
# kmemleak: off
#
# 32 devices at once, created by several writers, all in use.
. "${BASH_SOURCE[0]%/*}/lib.sh"

tvq_load
fn=$(tvq_function 0)

make_some()
{
	local i

	for ((i = $1; i < 32; i += 4)); do
		if ((i % 8 < 4)); then
			tvq_create "$fn" "type=blk name=d$i capacity=16M" || return
		else
			tvq_create "$fn" "type=net name=d$i" || return
		fi
	done
}

pids=()
for j in 0 1 2 3; do
	make_some $j &
	pids+=($!)
done
for pid in "${pids[@]}"; do
	wait "$pid" || fail "a writer failed"
done
[ "$(cat "$fn/tvq/devices_used")" = 32 ] || fail "devices_used"
names=("$fn/tvq/by-name"/*)
[ "${#names[@]}" = 32 ] || fail "by-name"
[ "$(cat "$TVQ_BUS"/*/device_id | sort -u | wc -l)" = 32 ] || fail "ids are not unique"

for ((i = 0; i < 32; i++)); do
	if ((i % 8 < 4)); then
		disk=$(tvq_disk "$fn" d$i)
		pattern "disk $i" $((1 << 20)) /run/d$i
		dd if=/run/d$i of="$disk" bs=64k oflag=direct status=none &
	else
		ip link set "$(tvq_netdev "$fn" d$i)" up
	fi
done
wait
for ((i = 0; i < 32; i++)); do
	if ((i % 8 < 4)); then
		disk_holds "$(tvq_disk "$fn" d$i)" /run/d$i || fail "disk $i has what is not its own"
	else
		wait_for 10 grep -q 1 "/sys/class/net/$(tvq_netdev "$fn" d$i)/carrier"
	fi
done

pids=()
for j in 0 1 2 3; do
	for ((i = j; i < 32; i += 4)); do
		tvq_destroy "$fn" d$i || exit
	done &
	pids+=($!)
done
for pid in "${pids[@]}"; do
	wait "$pid" || fail "destroying failed"
done
[ "$(cat "$fn/tvq/devices_used")" = 0 ] || fail "devices_used at the end"
tvq_unload
