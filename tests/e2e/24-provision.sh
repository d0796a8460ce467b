#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 1
# kernels: 6.12 7.2 rt
# timeout: 240
#
# What each key of "create" says reaches the device and the driver, and stays so
# when drivers come and go. What the device cannot give is refused, with the
# reason, and changes nothing. Many steps, which the debug kernel takes in other
# tests, too.
. "${BASH_SOURCE[0]%/*}/lib.sh"

CTRL_VLAN=19 FLUSH=9 CONFIG_WCE=11 DISCARD=13 HASH_REPORT=57 CTRL_VQ=17

tvq_load
modprobe virtio_console
fn=$(tvq_function 0)

# offered NAME: the low 64 feature bits of a device
offered()
{
	local bits

	bits=$(cat "$(tvq_device "$fn" "$1")/features")
	echo "0x${bits: -16}"
}

# other NAME KEY: what the other side said of a device in $list
other()
{
	sed -n "s/.* name=$1 .*\<$2=\([^ ]*\).*/\1/p" <<<"$list"
}

ask()
{
	list=$(host device 0 ctl list)
}

# is WHAT VALUE WANTED
is()
{
	[ "$2" = "$3" ] || fail "$1 is '$2', not '$3'"
}

irqs()
{
	grep -c "tvq0-$(cat "$(tvq_device "$fn" "$1")/device_id")-" /proc/interrupts
}

# withheld NAME MASK BIT...: what is offered, and what both sides think of it
withheld()
{
	local name=$1 mask=$2 bits bit

	is "features of $name" $(($(offered "$name"))) $((mask))
	bits=$(cat "$(tvq_virtio "$fn" "$name")/features")
	for bit in "${@:3}"; do
		is "bit $bit of $name" "${bits:bit:1}" 0
	done
	is "negotiated" $(($(other "$name" negotiated))) $((2#$(rev <<<"${bits:0:64}")))
	is "negotiated and not offered" $(($(other "$name" negotiated) & ~mask)) 0
}

tvq_create "$fn" 'type=net name=default vqs=2 mtu=1400'
net_bits=$(offered default)
tvq_destroy "$fn" default
tvq_create "$fn" 'type=blk name=default vqs=2'
blk_bits=$(offered default)
tvq_destroy "$fn" default
net_mask=$(printf '%#x' $(((net_bits & ~(1 << CTRL_VLAN)) | 1 << HASH_REPORT)))
blk_mask=$(printf '%#x' $((blk_bits & ~(1 << FLUSH | 1 << CONFIG_WCE | 1 << DISCARD))))

tvq_create "$fn" "type=net name=net vqs=2 vectors=4 mac=02:aa:00:00:00:07 mtu=1280 features=$net_mask"
tvq_create "$fn" "type=blk name=disk vqs=2 vectors=2 capacity=24M serial=prov-1 features=$blk_mask"
tvq_create "$fn" 'type=console name=con vqs=2 vectors=3'

check()
{
	local dev disk

	ask
	for dev in net:2:5:4 disk:2:2:2 con:2:6:3; do
		IFS=: read -r name vqs queues vectors <<<"$dev"
		is "vqs of $name" "$(other "$name" vqs)" "$vqs"
		is "queues of $name" "$(other "$name" queues)" "$queues"
		is "vectors of $name" "$(other "$name" vectors)" "$vectors"
		dev=$(tvq_device "$fn" "$name")
		is "num_vqs of $name" "$(cat "$dev/num_vqs")" "$queues"
		is "num_vectors of $name" "$(cat "$dev/num_vectors")" "$vectors"
		is "interrupts of $name" "$(irqs "$name")" "$vectors"
	done

	withheld net "$net_mask" $CTRL_VLAN
	dev=$(tvq_netdev "$fn" net)
	is "other mac" "$(other net mac)" 02:aa:00:00:00:07
	is mac "$(cat "/sys/class/net/$dev/address")" 02:aa:00:00:00:07
	is mtu "$(cat "/sys/class/net/$dev/mtu")" 1280
	is "largest mtu" "$(ip -d link show dev "$dev" | sed -n 's/.* maxmtu \([0-9]*\) .*/\1/p')" 1280
	is pairs "$(ethtool -l "$dev" | sed -n '/maximums/,/Current/s/^Combined:[[:space:]]*//p')" 2
	is "VLAN filter" "$(ethtool -k "$dev" | sed -n 's/^rx-vlan-filter: //p')" "off [fixed]"
	ethtool -K "$dev" rxhash on

	withheld disk "$blk_mask" $FLUSH $CONFIG_WCE $DISCARD
	disk=$(tvq_disk "$fn" disk)
	is "other capacity" "$(other disk capacity)" $((24 << 20))
	is capacity "$(blockdev --getsize64 "$disk")" $((24 << 20))
	is "other serial" "$(other disk serial)" prov-1
	disk=/sys/block/${disk#/dev/}
	is serial "$(cat "$disk/serial")" prov-1
	is "queues of the disk" "$(find "$disk/mq" -mindepth 1 -maxdepth 1 | wc -l)" 2
	is "write cache" "$(cat "$disk/queue/write_cache")" "write through"
	is discard "$(cat "$disk/queue/discard_max_hw_bytes")" 0

	wait_for 20 grep -qx con.1 /sys/class/virtio-ports/*/name
	is ports "$(cat /sys/class/virtio-ports/*/name | grep -c ^con)" 2
}

check

# With the driver bound again, the personality, and the module
for pair in net:virtio_net disk:virtio_blk con:virtio_console; do
	vdev=$(basename "$(tvq_virtio "$fn" ${pair%:*})")
	echo "$vdev" >"/sys/bus/virtio/drivers/${pair#*:}/unbind"
	ask
	is "negotiated without a driver" "$(other ${pair%:*} negotiated)" 0
	echo "$vdev" >"/sys/bus/virtio/drivers/${pair#*:}/bind"
done
check
for name in net disk con; do
	tdev=$(basename "$(tvq_device "$fn" $name)")
	echo "$tdev" >/sys/bus/virtio_tvq/drivers/virtio_tvq/unbind
	echo "$tdev" >/sys/bus/virtio_tvq/drivers/virtio_tvq/bind
done
check
tvq_unload
tvq_load
check

# Frames with the hash that the device reports
tvq_create "$fn" 'type=net name=peer'
trap 'ip netns del peer' EXIT
peer=$(tvq_netdev "$fn" peer)
dev=$(tvq_netdev "$fn" net)
ip netns add peer
ip link set "$peer" netns peer
ip -n peer addr add 192.0.2.2/24 dev "$peer"
ip -n peer link set "$peer" up
ip addr add 192.0.2.1/24 dev "$dev"
ip link set "$dev" up
ping -q -c 3 -i 0.2 -w 20 192.0.2.2
trap - EXIT
ip netns del peer
tvq_destroy "$fn" peer

state()
{
	echo "$TVQ_BUS"/* "$fn"/tvq/by-name/*
	cat "$fn"/tvq/{devices_used,vqs_free,vectors_free}
	host device 0 ctl list
}

before=$(state)

# refused ERRNO REASON SPEC
refused()
{
	expect_errno "$1" tvq_create "$fn" "$3"
	is "state behind '$3'" "$(state)" "$before"
	dmesg | tail -n 1 | grep -F "create: $2 (status " >/dev/null ||
		fail "'$3': $(dmesg | tail -n 1)"
}

refused EINVAL features "type=blk features=$(printf '%#x' $((blk_bits | 1 << 41)))"
refused EINVAL features "type=blk features=$(printf '%#x' $((blk_bits | 1 << 37)))"
refused EINVAL features "type=blk features=$(printf '0x1%016x' $((blk_bits)))"
refused EINVAL features "type=net features=$(printf '%#x' $((net_bits & ~(1 << CTRL_VQ))))"
refused EINVAL "mac, mtu or capacity" "type=net mtu=1400 features=$(printf '%#x' $((net_bits & ~(1 << 3))))"
refused EINVAL "mac, mtu or capacity" \
	"type=net mac=02:aa:00:00:00:08 features=$(printf '%#x' $((net_bits & ~(1 << 5))))"
refused EINVAL "number of queues" 'type=net vqs=1024'
refused EINVAL "number of vectors" 'type=net vectors=2048'
refused EINVAL "number of queues" 'type=rng vqs=1000'
refused EEXIST name 'type=rng name=net'

for name in net disk con; do
	tvq_destroy "$fn" $name
done
tvq_unload
