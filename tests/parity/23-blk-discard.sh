#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# needs: disk0
#
# Discarding and writing zeroes: what is read afterwards, and what it took.
. "${BASH_SOURCE[0]%/*}/lib.sh"

disk=$(disk disk0)
pattern parity $((2 << 20)) /run/pattern

# blank FILE OFFSET LENGTH: zeroes there
blank()
{
	[ "$3" = 0 ] || fallocate -p -o "$2" -l "$3" "$1"
}

# try KEY OFFSET LENGTH CMD...: each begins with the pattern on the first 2 MiB, and says
# what is there then: nothing but that range, which may be empty, has changed, and that is
# zeroes. Only what was discarded may be anything, as long as both sides have the same.
try()
{
	local name=$1 offset=$2 length=$3 stat now i result=succeeds

	dd if=/run/pattern of="$disk" bs=1M oflag=direct status=none
	read -ra stat <"/sys/block/${disk##*/}/stat"
	case $name in
	*.odd | *.beyond | *.secure) result=fails ;;
	esac
	$result "$name" "${@:4}"
	read -ra now <"/sys/block/${disk##*/}/stat"
	for i in 11 13; do
		fact "$name.stat.$i" "$((now[i] - stat[i]))"
	done
	dd if="$disk" of=/run/data bs=1M count=2 iflag=direct status=none
	fact "$name.data" "$(sha256sum </run/data)"
	cp /run/pattern /run/wanted
	blank /run/wanted "$offset" "$length"
	case $name in
	discard.*) blank /run/data "$offset" "$length" ;;
	esac
	cmp /run/data /run/wanted || fail "$name: other data than there should be"
}

try discard.some 512K 1M blkdiscard -o 512K -l 1M "$disk"
try discard.steps 0 1M blkdiscard -o 0 -l 1M -p 64k "$disk"
try discard.sector 512 512 blkdiscard -o 512 -l 512 "$disk"
try discard.odd 0 0 blkdiscard -o 511 -l 1000 "$disk"
try discard.beyond 0 0 blkdiscard -o 1G -l 1M "$disk"
try discard.secure 0 0 blkdiscard -s -o 512K -l 512K "$disk"
try discard.all 0 2M blkdiscard -f "$disk"
try zero.some 512K 1M blkdiscard -z -o 512K -l 1M "$disk"
try zero.sector 512 1536 blkdiscard -z -o 512 -l 1536 "$disk"
try zero.all 0 2M blkdiscard -f -z "$disk"
try fallocate.zero 64K 192K fallocate -z -n -o 64K -l 192K "$disk"
try fallocate.punch 1M 512K fallocate -p -n -o 1M -l 512K "$disk"
blkdiscard -f -z "$disk"
cmp -n $((2 << 20)) "$disk" /dev/zero
