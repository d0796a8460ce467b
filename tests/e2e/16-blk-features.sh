#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 1 --smp 4
# kmemleak: off
# timeout: 180
#
# What a disk can do beside reading and writing: queues, limits, the write cache,
# discard and zeroes, another size while it is in use, and being read-only.
. "${BASH_SOURCE[0]%/*}/lib.sh"

tvq_load
fn=$(tvq_function 0)
tvq_create "$fn" 'type=blk name=disk vqs=4 capacity=64M serial=twenty-characters-xx'
disk=$(tvq_disk "$fn" disk)
sys=/sys/block/${disk##*/}
queue=$sys/queue

[ "$(find "$sys/mq" -mindepth 1 -maxdepth 1 | wc -l)" = 4 ] || fail "not four queues"
[ "$(cat "$sys/serial")" = twenty-characters-xx ] || fail "serial"
[ "$(cat "$queue/logical_block_size")" = 512 ] || fail "logical_block_size"
[ "$(cat "$queue/physical_block_size")" = 4096 ] || fail "physical_block_size"
[ "$(cat "$queue/optimal_io_size")" = $((256 << 10)) ] || fail "optimal_io_size"
[ "$(cat "$queue/max_segments")" = 126 ] || fail "max_segments"
[ "$(cat "$queue/max_segment_size")" = $((1 << 20)) ] || fail "max_segment_size"
[ "$(cat "$queue/discard_granularity")" = 4096 ] || fail "discard_granularity"
[ "$(cat "$queue/discard_max_hw_bytes")" -gt 0 ] || fail "no discard"
[ "$(cat "$queue/write_zeroes_max_bytes")" -gt 0 ] || fail "no write zeroes"

# Each CPU has a queue, whose interrupt comes in there.
id=$(cat "$(tvq_device "$fn" disk)/device_id")
for n in 0 1 2 3; do
	irq=$(sed -n "s/^ *\([0-9]*\):.*tvq0-$id-req\.$n\$/\1/p" /proc/interrupts)
	[ "$(cat "$sys/mq/$n/cpu_list")" = "$(cat "/proc/irq/$irq/smp_affinity_list")" ] ||
		fail "queue $n: CPU $(cat "$sys/mq/$n/cpu_list"), interrupt on $(cat "/proc/irq/$irq/smp_affinity_list")"
done
[ "$(cat "$sys"/mq/*/cpu_list | sort | xargs)" = "0 1 2 3" ] || fail "not a CPU for each queue"

# Requests from all CPUs, each to its own queue
fio --name=queues --filename="$disk" --rw=randrw --bs=4k --direct=1 --ioengine=libaio \
	--iodepth=16 --numjobs=4 --cpus_allowed=0-3 --cpus_allowed_policy=split --size=4M \
	--offset_increment=4M --verify=crc32c --verify_fatal=1 --do_verify=1 --minimal >/dev/null

# The write cache, by the file of the driver and by that of the block layer
[ "$(cat "$sys/cache_type")" = "write back" ] || fail "cache_type"
[ "$(cat "$queue/write_cache")" = "write back" ] || fail "write_cache"
for type in "write through" "write back"; do
	echo "$type" >"$sys/cache_type"
	[ "$(cat "$sys/cache_type")" = "$type" ] || fail "cache_type is not '$type'"
	[ "$(cat "$queue/write_cache")" = "$type" ] || fail "write_cache is not '$type'"
	pattern "$type" $((1 << 20)) /run/data
	dd if=/run/data of="$disk" bs=64k oflag=direct conv=fsync status=none
	disk_holds "$disk" /run/data || fail "what was written $type is not there"
done
fio --name=sync --filename="$disk" --rw=write --bs=4k --sync=1 --fdatasync=4 --size=256k \
	--verify=crc32c --do_verify=1 --minimal >/dev/null

# Discard: the file behind the disk has a hole, and the rest stays. Zeroes, with
# and without a hole.
pattern discard $((8 << 20)) /run/data
for how in blkdiscard "blkdiscard -z" "fallocate -z"; do
	dd if=/run/data of="$disk" bs=1M oflag=direct status=none
	$how -o 1M -l 2M "$disk"
	cmp -n $((2 << 20)) -i $((1 << 20)):0 "$disk" /dev/zero || fail "$how: not zeroes"
	cmp -n $((1 << 20)) "$disk" /run/data || fail "$how: what is in front has changed"
	cmp -n $((5 << 20)) -i $((3 << 20)) "$disk" /run/data || fail "$how: what is behind has changed"
done
blkdiscard "$disk"
cmp -n $((64 << 20)) "$disk" /dev/zero || fail "the whole disk: not zeroes"

# Another size, with I/O
size_is()
{
	[ "$(cat "$sys/size")" = "$1" ]
}

io_start "$disk"
for size in 96 32 80; do
	host device 0 ctl resize disk ${size}M
	wait_for 10 size_is $((size << 11)) || fail "size is not $size M"
done
io_stop
dd if=/run/data of="$disk" bs=1M seek=72 oflag=direct status=none
cmp -n $((8 << 20)) -i $((72 << 20)):0 "$disk" /run/data || fail "behind the old end"
! dd if=/run/data of="$disk" bs=1M seek=80 oflag=direct status=none 2>/dev/null ||
	fail "behind the end"

# The serial goes with the device, not with the data.
features=$(cat "$(tvq_device "$fn" disk)/features")
features=$((0x${features: -16}))
tvq_destroy "$fn" disk
tvq_create "$fn" "type=blk name=disk features=0x$(printf %x $((features | 1 << 5)))"
disk=$(tvq_disk "$fn" disk)
[ -z "$(cat "/sys/block/${disk##*/}/serial")" ] || fail "an old serial"
# The file behind it is never cut off: this is the largest size that there was.
[ "$(blockdev --getsize64 "$disk")" = $((96 << 20)) ] || fail "not the size of its file"
# Bit 5 is RO.
[ "$(cat "/sys/block/${disk##*/}/ro")" = 1 ] || fail "it can be written"
cmp -n $((8 << 20)) -i $((72 << 20)):0 "$disk" /run/data || fail "other data"
! dd if=/dev/zero of="$disk" bs=4k count=1 oflag=direct status=none 2>/dev/null ||
	fail "written to a read-only disk"
tvq_destroy "$fn" disk

# Queues that share vectors are all in use, too.
tvq_create "$fn" 'type=blk name=disk vqs=4 vectors=3'
disk=$(tvq_disk "$fn" disk)
[ "$(cat "/sys/block/${disk##*/}"/mq/*/cpu_list | sort | xargs)" = "0 1 2 3" ] ||
	fail "shared vectors: $(cat "/sys/block/${disk##*/}"/mq/*/cpu_list | xargs)"
tvq_destroy "$fn" disk

# Without discard, zeroes and a choice of caches
tvq_create "$fn" "type=blk name=disk features=0x$(printf %x $((features & ~(1 << 13 | 1 << 14 | 1 << 11))))"
disk=$(tvq_disk "$fn" disk)
[ "$(cat "/sys/block/${disk##*/}/queue/discard_max_hw_bytes")" = 0 ] || fail "discard"
[ "$(cat "/sys/block/${disk##*/}/queue/write_zeroes_max_bytes")" = 0 ] || fail "write zeroes"
expect_errno EOPNOTSUPP blkdiscard "$disk"
blkdiscard -z -l 1M "$disk"
cmp -n $((1 << 20)) "$disk" /dev/zero || fail "zeroes by writing"
tvq_destroy "$fn" disk
rm /run/data
tvq_unload
