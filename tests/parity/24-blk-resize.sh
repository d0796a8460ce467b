#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# needs: disk0
#
# A disk that the other side makes larger while it is mounted, and written to.
. "${BASH_SOURCE[0]%/*}/lib.sh"

disk=$(disk disk0)
trap 'rm -f /run/io; mountpoint -q /mnt && umount /mnt' EXIT

# What the kernel announces while a command runs.
events()
{
	python3 - "$disk" "$@" <<-'END'
		import socket, subprocess, sys
		name = sys.argv[1].removeprefix("/dev/")
		sock = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 15)
		sock.bind((0, 1))
		sock.settimeout(60)
		subprocess.run(sys.argv[2:], check=True)
		while True:
		    words = sock.recv(8192).decode().split("\0")
		    if words[0] == f"change@{words[0].partition('@')[2]}" \
		            and f"DEVNAME={name}" in words:
		        break
		print(" ".join(w for w in words if w.startswith(
		    ("ACTION=", "DEVNAME=", "DEVTYPE=", "RESIZE=", "SUBSYSTEM="))))
	END
}

has_size()
{
	[ "$(blockdev --getsize64 "$disk")" = "$1" ]
}

# resize KEY SIZE
resize()
{
	control resize disk0 "$2"
	wait_for 20 has_size $((${2%M} << 20))
	fact "$1.size" "$(blockdev --getsize64 "$disk")"
}

mkfs.ext4 -q -F "$disk"
mount "$disk" /mnt
io_start /mnt/io
fact ext4.event "$(events host device 0 ctl resize "$(<$PARITY/disk0/control)" 416M)"
resize ext4.larger 448M
succeeds ext4.grow resize2fs "$disk"
fact ext4.blocks "$(stat -f -c %b /mnt)"
io_stop
umount /mnt
succeeds ext4.check fsck.ext4 -fn "$disk"
resize ext4.smaller 384M

modprobe xfs
mkfs.xfs -q -f "$disk"
mount "$disk" /mnt
resize xfs.larger 448M
succeeds xfs.grow xfs_growfs /mnt
fact xfs.blocks "$(stat -f -c %b /mnt)"
umount /mnt
succeeds xfs.check xfs_repair -n "$disk"
dd if="$disk" of=/dev/null bs=1M skip=440 count=8 iflag=direct status=none
resize xfs.smaller 384M
bytes=$(dd if="$disk" bs=1M skip=384 count=1 iflag=direct status=none | wc -c)
[ "$bytes" = 0 ] || fail "$bytes bytes beyond the end"
fails beyond dd if="$disk" of=/dev/null bs=1M skip=385 count=1 iflag=direct status=none
wipefs -qa "$disk"
