#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 1 --device-args '--shm-size 64M --admin-queues 0'
# kernels: 6.12 7.2 rt
# timeout: 180
#
# Persistent memory: a shared memory region of a managed device, which the kernel's
# own driver maps and writes; what it holds outlives the driver's module, the
# device of that name, and the device process.
# Not on the debug kernel, which has no persistent memory.
. "${BASH_SOURCE[0]%/*}/lib.sh"

# pmem_disk VIRTIO-DIRECTORY: its block device, waiting for it to appear.
pmem_disk()
{
	local glob="$1/ndbus*/region*/namespace*/block/*" dir

	wait_for 20 compgen -G "$glob"
	dir=$(compgen -G "$glob")
	wait_for 20 test -b "/dev/${dir##*/}"
	echo "/dev/${dir##*/}"
}

# tvq_pmem NAME: that of a managed device.
tvq_pmem()
{
	wait_for 20 test -e "$fn/tvq/by-name/$1"
	pmem_disk "$(tvq_virtio "$fn" "$1")"
}

# works DISK TEXT: it holds what is written to it.
works()
{
	pattern "$2" 1048576 /run/pmem
	dd if=/run/pmem of="$1" bs=64k oflag=direct,sync status=none
	disk_holds "$1" /run/pmem || fail "$1: what was written is not there"
}

tvq_load
modprobe -a virtio_pmem nd_pmem
fn=$(tvq_function 0)
case " $(cat "$fn/tvq/types") " in
*" pmem "*) ;;
*) fail "no type pmem" ;;
esac

expect_errno EINVAL tvq_create "$fn" 'type=pmem capacity=1M'
expect_errno EINVAL tvq_create "$fn" 'type=pmem capacity=2M vqs=2'
expect_errno EINVAL tvq_create "$fn" 'type=pmem features=0x300000000'
expect_errno EINVAL tvq_create "$fn" 'type=pmem serial=x'
expect_errno ENOSPC tvq_create "$fn" 'type=pmem capacity=66M'
[ "$(cat "$fn/tvq/devices_used")" = 0 ] || fail "devices_used"

# Two regions, and no room for a third
tvq_create "$fn" 'type=pmem name=mem capacity=32M'
tvq_create "$fn" 'type=pmem,name=other,capacity=32M'
expect_errno ENOSPC tvq_create "$fn" 'type=pmem capacity=2M'
disk=$(tvq_pmem mem)
other=$(tvq_pmem other)
# Without admin virtqueues, there is no provisioning later.
[[ ! -e $fn/tvq/by-name/mem/vqs &&
	$(stat -L -c %a "$fn/tvq/by-name/mem/features") = 444 ]] || fail "attributes"
[ "$(blockdev --getsize64 "$disk")" = $((32 << 20)) ] || fail "size"
[ "$(cat "$(tvq_device "$fn" mem)/type")" = pmem ] || fail "type"
bits=$(cat "$(tvq_virtio "$fn" mem)/features")
[ "${bits:0:1}" = 1 ] || fail "negotiated: $bits"
works "$disk" one
works "$other" two
works "$disk" three
pattern two 1048576 /run/pmem
disk_holds "$other" /run/pmem || fail "one has written into the other"
grep " : $(basename "$(tvq_device "$fn" mem)")\$" /proc/iomem >/dev/null || fail "$(cat /proc/iomem)"

# Its driver lets go of the region, and finds it again.
virtio=$(tvq_virtio "$fn" other)
echo "${virtio##*/}" >/sys/bus/virtio/drivers/virtio_pmem/unbind
echo "${virtio##*/}" >/sys/bus/virtio/drivers/virtio_pmem/bind
other=$(tvq_pmem other)
disk_holds "$other" /run/pmem || fail "what was written is gone"
tvq_destroy "$fn" other

# A file system
pattern file 1048576 /run/pmem
mkfs.ext4 -q "$disk"
mount "$disk" /mnt
echo kept >/mnt/file
dd if=/run/pmem of=/mnt/data bs=64k conv=fsync status=none
umount /mnt

# holds: the file system that was made above
holds()
{
	disk=$(tvq_pmem mem)
	mount "$disk" /mnt
	[ "$(cat /mnt/file)" = kept ] || fail "the file is gone"
	cmp /run/pmem /mnt/data
	umount /mnt
}

tvq_unload
tvq_load
holds
tvq_destroy "$fn" mem
tvq_create "$fn" 'type=pmem name=mem capacity=32M'
holds
# The device process
host device 0 unplug
wait_gone 20 test -e "$fn"
host device 0 stop
host device 0 start
host device 0 plug
holds
tvq_destroy "$fn" mem

rmmod nd_pmem virtio_pmem
tvq_unload
