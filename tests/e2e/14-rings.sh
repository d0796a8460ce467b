#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 1
# kmemleak: off
# timeout: 240
#
# Rings of all kinds: a disk and an interface for each, with what is negotiated,
# verified I/O for longer than a ring is, and queues that are reset.
. "${BASH_SOURCE[0]%/*}/lib.sh"

INDIRECT=28 EVENT_IDX=29 VERSION_1=32 ACCESS_PLATFORM=33 PACKED=34 IN_ORDER=35
ORDER_PLATFORM=36 NOTIFICATION_DATA=38 RING_RESET=40 ADMIN_VQ=41

tvq_load
fn=$(tvq_function 0)
trap 'ip -all netns del' EXIT

# offered TYPE: the features of a device for which nothing is asked, 64 bits
offered()
{
	local bits

	tvq_create "$fn" "type=$1 name=default"
	bits=$(cat "$(tvq_device "$fn" default)/features")
	tvq_destroy "$fn" default
	echo "0x${bits: -16}"
}

# with MASK [+|-]BIT...: the mask with bits added and taken out
with()
{
	local mask=$1 bit

	for bit in "${@:2}"; do
		case $bit in
		+*) mask=$((mask | 1 << ${bit#+})) ;;
		-*) mask=$((mask & ~(1 << ${bit#-}))) ;;
		esac
	done
	printf '%#x\n' "$mask"
}

# check_bits NAME [+|-]BIT...: what the driver has taken, and the device has seen
check_bits()
{
	local name=$1 bits bit want seen
	shift

	bits=$(cat "$(tvq_virtio "$fn" "$name")/features")
	for bit in "$@"; do
		want=0
		case $bit in +*) want=1 ;; esac
		# The ring code of 6.12 cannot keep an order.
		[ "$bit $TVQ_KERNEL" = "+$IN_ORDER 6.12" ] && want=0
		[ "${bits:${bit:1}:1}" = $want ] || fail "$name: bit ${bit:1} is not $want: $bits"
	done
	seen=$(host device 0 ctl list | sed -n "s/.* name=$name .* negotiated=\([^ ]*\).*/\1/p")
	[ $((seen)) = $((2#$(rev <<<"${bits:0:64}"))) ] || fail "$name: $seen is not $bits"
}

check_disk()
{
	local disk

	disk=$(tvq_disk "$fn" disk)
	# 300 requests of writing and as many of reading, in a ring of 256
	fio --name=rings --filename="$disk" --rw=randwrite --bs=4k --size=1200k --direct=1 \
		--ioengine=libaio --iodepth=16 --disk_util=0 --verify=crc32c --verify_fatal=1 \
		--minimal >/run/fio.log 2>&1 || fail "fio: $(cat /run/fio.log)"
	# Requests of many pieces
	pattern "$1" 1048576 /run/rings
	dd if=/run/rings of="$disk" bs=256k oflag=direct conv=fsync status=none
	disk_holds "$disk" /run/rings || fail "what was written is not there"
}

# flood N SIZE: echoes between it and the other end
flood()
{
	local got

	got=$(ip netns exec a ping -q -f -c "$1" -s "$2" -w 30 192.0.2.2 |
		sed -n 's/.* \([0-9]*\) received.*/\1/p')
	[ "${got:-0}" -ge $(($1 * 9 / 10)) ] || fail "$got of $1 echoes of $2 bytes"
}

# queues are reset for another size, if they can be
resize()
{
	local dev=$1

	if [ "$2" = no ]; then
		! ip netns exec a ethtool -G "$dev" rx 128 tx 128 2>/dev/null ||
			fail "queues were reset without RING_RESET"
		return
	fi
	ip netns exec a ethtool -G "$dev" rx 64 tx 128
	[ "$(ip netns exec a ethtool -g "$dev" | sed -n '/^Current/,$s/^[RT]X:[[:space:]]*//p')" = \
		"64
128" ] || fail "$(ip netns exec a ethtool -g "$dev")"
	# The ring is used once and again.
	flood 150 56
}

check_net()
{
	local dev

	dev=$(tvq_netdev "$fn" net)
	ip netns add a
	ip link set "$dev" netns a
	ip -n a addr add 192.0.2.1/24 dev "$dev"
	ip -n a link set "$dev" up
	ip netns exec a ping -q -c 1 -w 20 192.0.2.2 >/dev/null || fail "no echo"
	flood 300 1400
	# In pieces, of which several make up a chain
	flood 15 20000
	resize "$dev" "$1"
	ip netns del a
}

# ring KIND [+|-]BIT...
ring()
{
	local kind=$1 net disk reset=yes
	shift

	echo "$kind"
	case " $* " in *" -$RING_RESET "*) reset=no ;; esac
	net=$(with "$net_bits" "$@")
	disk=$(with "$blk_bits" "$@")
	tvq_create "$fn" "type=blk name=disk capacity=4M features=$disk"
	tvq_create "$fn" "type=net name=net features=$net"
	check_bits disk "$@"
	check_bits net "$@"
	check_disk "$kind"
	check_net $reset
	tvq_destroy "$fn" disk
	tvq_destroy "$fn" net
}

net_bits=$(offered net)
blk_bits=$(offered blk)

# The other end is always the same.
tvq_create "$fn" 'type=net name=other'
other=$(tvq_netdev "$fn" other)
ip netns add b
ip link set "$other" netns b
ip -n b addr add 192.0.2.2/24 dev "$other"
ip -n b link set "$other" up

ring "split" +$INDIRECT +$EVENT_IDX -$PACKED -$IN_ORDER -$ORDER_PLATFORM \
	-$NOTIFICATION_DATA +$RING_RESET +$VERSION_1 +$ACCESS_PLATFORM -$ADMIN_VQ
ring "split, bare" -$INDIRECT -$EVENT_IDX -$PACKED -$RING_RESET
ring "split, notification data" -$PACKED +$NOTIFICATION_DATA
ring "split, in order, platform's order" -$PACKED +$IN_ORDER +$ORDER_PLATFORM
ring "packed" +$INDIRECT +$EVENT_IDX +$PACKED -$NOTIFICATION_DATA +$RING_RESET
ring "packed, bare" -$INDIRECT -$EVENT_IDX +$PACKED -$RING_RESET
ring "packed, platform's order, notification data" +$PACKED +$ORDER_PLATFORM \
	+$NOTIFICATION_DATA
ring "packed, in order, notification data" +$PACKED +$IN_ORDER +$NOTIFICATION_DATA

# Not to be withheld, and of no device here
for bits in -$VERSION_1 -$ACCESS_PLATFORM +$ADMIN_VQ; do
	expect_errno EINVAL tvq_create "$fn" "type=blk features=$(with "$blk_bits" "$bits")"
done

trap - EXIT
ip netns del b
tvq_destroy "$fn" other
tvq_unload
