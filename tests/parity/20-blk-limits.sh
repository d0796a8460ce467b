#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# shellcheck disable=SC2094 # an attribute is read after it was written
# needs: disk0
#
# All that the kernel says of a disk, and what may be set.
. "${BASH_SOURCE[0]%/*}/lib.sh"

disk=$(disk disk0)
cd "/sys/block/${disk##*/}"

# Counters are not compared, nor what has another value at each boot.
{ grep -rsI '' alignment_offset cache_type capability discard_alignment events* \
	ext_range hidden integrity mq partscan queue range removable ro \
	serial size || true; } | sed 's/:/=/' | sort | facts disk
for option in ss pbsz iomin ioopt alignoff maxsect size64 discardzeroes ra ro; do
	echo "$option: $(blockdev --get$option "$disk" 2>&1)"
done | facts blockdev
fact serial "$(<serial)"

# flushes KEY: how many a synchronous write takes.
flushes()
{
	local stat before

	read -ra stat <stat
	before=${stat[15]}
	dd if=/dev/zero of="$disk" bs=4k count=1 conv=fsync status=none
	read -ra stat <stat
	fact "$1.flushes" "$((stat[15] - before))"
}

for mode in "write through" "write back"; do
	succeeds "cache_type.${mode// /-}" sysfs_write cache_type "$mode"
	fact "cache_type.${mode// /-}.now" "$(<cache_type)"
	fact "write_cache.${mode// /-}.now" "$(<queue/write_cache)"
	flushes "${mode// /-}"
done
fails cache_type.nonsense sysfs_write cache_type nonsense

# set FILE VALUE
set_limit()
{
	rc_fact "set.$1.$2" sysfs_write "queue/$1" "$2"
	fact "set.$1.$2.now" "$(<"queue/$1")"
}

set_limit scheduler none
set_limit nr_requests 64
set_limit nr_requests 4096
set_limit max_sectors_kb 64
set_limit read_ahead_kb 512
set_limit rotational 1
set_limit nomerges 2
set_limit rq_affinity 2
set_limit io_poll 1
set_limit discard_max_bytes 65536
set_limit write_zeroes_max_bytes 65536
dd if=/dev/zero of="$disk" bs=1M count=1 oflag=direct status=none
cmp -n $((1 << 20)) "$disk" /dev/zero
