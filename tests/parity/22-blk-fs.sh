#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# needs: disk0
# timeout: 180
#
# ext4 and xfs: made, filled, checked, read again, trimmed.
. "${BASH_SOURCE[0]%/*}/lib.sh"

disk=$(disk disk0)
files=$(small 60 24)
trap 'mountpoint -q /mnt && umount /mnt' EXIT

fill()
{
	python3 - "$1" "$files" <<-'END'
		import os, random, sys
		rnd = random.Random(7)
		top, count = sys.argv[1], int(sys.argv[2])
		for n in range(count):
		    path = f"{top}/dir{n % 8}/file{n}"
		    os.makedirs(os.path.dirname(path), exist_ok=True)
		    with open(path, "wb") as f:
		        f.write(rnd.randbytes(rnd.randrange(100000)))
		        if n % 10 == 0:
		            os.fsync(f.fileno())
		for n in range(0, count, 3):
		    os.unlink(f"{top}/dir{n % 8}/file{n}")
	END
}

sums()
{
	find /mnt -type f | sort | xargs cat | sha256sum
}

try()
{
	local fs=$1 written

	mount "$disk" /mnt
	fill /mnt
	written=$(sums)
	fact "$fs.written" "$written"
	umount /mnt
	succeeds "$fs.check" "${@:2}" "$disk"
	mount "$disk" /mnt
	want "$fs.read" "$written" "$(sums)"
	fact "$fs.blocks" "$(stat -f -c '%b %S' /mnt)"
	rm -r /mnt/dir*
	sync
	fact "$fs.trimmed" "$(fstrim -v /mnt)"
	fill /mnt
	want "$fs.again" "$written" "$(sums)"
	umount /mnt
	succeeds "$fs.check-again" "${@:2}" "$disk"
}

modprobe xfs
mkfs.ext4 -q -F "$disk"
try ext4 fsck.ext4 -fn
wipefs -qa "$disk"
mkfs.xfs -q -f "$disk"
try xfs xfs_repair -n
wipefs -qa "$disk"

# Partitions, as the kernel sees them.
printf ',64M\n,128M\n,\n' | sfdisk -q --no-tell-kernel "$disk"
blockdev --rereadpt "$disk"
for n in 1 2 3; do
	wait_for 10 test -b "$disk$n"
	fact "partition.$n" "$(cat "/sys/block/${disk##*/}/${disk##*/}$n"/{start,size,ro} | tr '\n' ' ')"
done
wipefs -qa "$disk"
blockdev --rereadpt "$disk"
