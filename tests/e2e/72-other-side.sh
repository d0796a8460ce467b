#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 1
#
# What the other side adds, removes, resizes and unplugs shows up, and is announced
# to those who listen for uevents.
. "${BASH_SOURCE[0]%/*}/lib.sh"

host device 0 ctl add type=blk name=early capacity=16M
tvq_load
fn=$(tvq_function 0)
[ "$(cat "$(tvq_device "$fn" early)/type")" = blk ] || fail "not discovered at load"
tvq_disk "$fn" early >/dev/null

python3 - <<'PYTHON' &
import socket
sock = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 15)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
sock.bind((0, 1))
with open("/run/uevents", "w", buffering=1) as out:
    print("listening", file=out)
    while True:
        print(*sock.recv(65536).decode().split("\0")[1:], file=out)
PYTHON
listener=$!
trap 'kill $listener; rm -f /run/uevents' EXIT
wait_for 20 grep -qx listening /run/uevents

# event ACTION SUBSYSTEM REGEX: it was announced
event()
{
	wait_for 20 grep -E "^ACTION=$1 .*SUBSYSTEM=$2( .*)? $3( |\$)" /run/uevents ||
		fail "no uevent $*: $(cat /run/uevents)"
}

host device 0 ctl add type=blk name=late capacity=16M
host device 0 ctl add type=net name=net
wait_for 10 test -e "$fn/tvq/by-name/late"
wait_for 10 test -e "$fn/tvq/by-name/net"
disk=$(tvq_disk "$fn" late)
net=$(tvq_netdev "$fn" net)
for name in late:2 net:1; do
	type=${name#*:} name=${name%:*}
	id=$(cat "$(tvq_device "$fn" "$name")/device_id")
	event add virtio_tvq "TVQ_DEVICE_ID=$id TVQ_TYPE=$type TVQ_NAME=$name"
	event bind virtio_tvq "TVQ_DEVICE_ID=$id TVQ_TYPE=$type TVQ_NAME=$name"
	event add virtio "MODALIAS=virtio:d0000000${type}v[0-9A-F]{8}"
done
event add block "DEVNAME=${disk##*/}"
event add net "INTERFACE=$net"

size_is()
{
	[ "$(cat "/sys/block/${disk##*/}/size")" = "$1" ]
}

# In use
size_is $((16 << 11)) || fail "size"
mkfs.ext4 -q "$disk"
mount "$disk" /mnt
io_start /mnt/io
host device 0 ctl resize late 24M
wait_for 10 size_is $((24 << 11)) || fail "size after resize"
[ "$(blockdev --getsz "$disk")" = $((24 << 11)) ] || fail "size of $disk"
event change block RESIZE=1
io_stop
umount /mnt

ip link set "$net" up
wait_for 10 grep -q 1 "/sys/class/net/$net/carrier"
host device 0 ctl link net down
wait_for 10 grep -q 0 "/sys/class/net/$net/carrier"
ip link show dev "$net" | grep -w NO-CARRIER >/dev/null || fail "$(ip link show dev "$net")"
host device 0 ctl link net up
wait_for 10 grep -q 1 "/sys/class/net/$net/carrier"
! ip link show dev "$net" | grep -w NO-CARRIER >/dev/null || fail "$(ip link show dev "$net")"

id=$(cat "$(tvq_device "$fn" late)/device_id")
host device 0 ctl remove late
wait_gone 10 test -e "$fn/tvq/by-name/late"
wait_gone 10 test -e "/sys/block/${disk##*/}"
host device 0 ctl remove net
wait_gone 10 test -e "/sys/class/net/$net"
event remove block "DEVNAME=${disk##*/}"
event remove virtio "MODALIAS=virtio:d00000002v[0-9A-F]{8}"
event remove virtio_tvq "TVQ_DEVICE_ID=$id TVQ_TYPE=2 TVQ_NAME=late"
event remove net "INTERFACE=$net"
kill $listener
trap - EXIT
rm /run/uevents
[ "$(cat "$fn/tvq/devices_used")" = 1 ] || fail "devices_used"
# A race of both sides for one device has one winner and no loser.
for ((i = 0; i < 5; i++)); do
	tvq_create "$fn" 'type=blk name=race capacity=1M'
	host device 0 ctl remove race &
	tvq_destroy "$fn" race 2>/dev/null || true
	wait $! || true
	wait_gone 10 test -e "$fn/tvq/by-name/race"
done
tvq_destroy "$fn" early
tvq_unload
