#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# needs: disk0
#
# Discarding and writing zeroes: what is read afterwards, and what it took.
. "${BASH_SOURCE[0]%/*}/lib.sh"

disk=$(disk disk0)
pattern parity $((8 << 20)) /run/pattern

# Each begins with the pattern on the first 8 MiB, and says what is there then.
try()
{
	local name=$1 stat now i

	dd if=/run/pattern of="$disk" bs=1M oflag=direct status=none
	read -ra stat <"/sys/block/${disk##*/}/stat"
	rc_fact "$name" "${@:2}"
	read -ra now <"/sys/block/${disk##*/}/stat"
	for i in 11 13; do
		fact "$name.stat.$i" "$((now[i] - stat[i]))"
	done
	fact "$name.data" "$(dd if="$disk" bs=1M count=8 iflag=direct status=none | sha256sum)"
}

try discard.some blkdiscard -o 1M -l 2M "$disk"
try discard.steps blkdiscard -o 0 -l 4M -p 64k "$disk"
try discard.sector blkdiscard -o 512 -l 512 "$disk"
try discard.odd blkdiscard -o 511 -l 1000 "$disk"
try discard.beyond blkdiscard -o 1G -l 1M "$disk"
try discard.secure blkdiscard -s -o 1M -l 1M "$disk"
try discard.all blkdiscard -f "$disk"
try zero.some blkdiscard -z -o 1M -l 2M "$disk"
try zero.sector blkdiscard -z -o 512 -l 1536 "$disk"
try zero.all blkdiscard -f -z "$disk"
try fallocate.zero fallocate -z -n -o 64K -l 192K "$disk"
try fallocate.punch fallocate -p -n -o 1M -l 1M "$disk"
blkdiscard -f -z "$disk"
cmp -n $((64 << 20)) "$disk" /dev/zero
