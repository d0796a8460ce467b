#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# needs: disk0
#
# Discarding and writing zeroes: what is read afterwards, and what it took.
. "${BASH_SOURCE[0]%/*}/lib.sh"

disk=$(disk disk0)
pattern parity $((2 << 20)) /run/pattern

# try KEY CMD...: each begins with the pattern on the first 2 MiB, and says what is there then.
try()
{
	local name=$1 stat now i result=succeeds

	dd if=/run/pattern of="$disk" bs=1M oflag=direct status=none
	read -ra stat <"/sys/block/${disk##*/}/stat"
	case $name in
	*.odd | *.beyond | *.secure) result=fails ;;
	esac
	$result "$name" "${@:2}"
	read -ra now <"/sys/block/${disk##*/}/stat"
	for i in 11 13; do
		fact "$name.stat.$i" "$((now[i] - stat[i]))"
	done
	fact "$name.data" "$(dd if="$disk" bs=1M count=2 iflag=direct status=none | sha256sum)"
}

try discard.some blkdiscard -o 512K -l 1M "$disk"
try discard.steps blkdiscard -o 0 -l 1M -p 64k "$disk"
try discard.sector blkdiscard -o 512 -l 512 "$disk"
try discard.odd blkdiscard -o 511 -l 1000 "$disk"
try discard.beyond blkdiscard -o 1G -l 1M "$disk"
try discard.secure blkdiscard -s -o 512K -l 512K "$disk"
try discard.all blkdiscard -f "$disk"
try zero.some blkdiscard -z -o 512K -l 1M "$disk"
try zero.sector blkdiscard -z -o 512 -l 1536 "$disk"
try zero.all blkdiscard -f -z "$disk"
try fallocate.zero fallocate -z -n -o 64K -l 192K "$disk"
try fallocate.punch fallocate -p -n -o 1M -l 512K "$disk"
blkdiscard -f -z "$disk"
cmp -n $((2 << 20)) "$disk" /dev/zero
