#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 1
#
# What the other side adds, removes, resizes and unplugs shows up.
. "${BASH_SOURCE[0]%/*}/lib.sh"

host device 0 ctl add type=blk name=early capacity=16M
tvq_load
fn=$(tvq_function 0)
[ "$(cat "$(tvq_device "$fn" early)/type")" = blk ] || fail "not discovered at load"
tvq_disk "$fn" early >/dev/null

host device 0 ctl add type=blk name=late capacity=16M
host device 0 ctl add type=net name=net
wait_for 10 test -e "$fn/tvq/by-name/late"
wait_for 10 test -e "$fn/tvq/by-name/net"
disk=$(tvq_disk "$fn" late)
net=$(tvq_netdev "$fn" net)

size_is()
{
	[ "$(cat "/sys/block/${disk##*/}/size")" = "$1" ]
}

size_is $((16 << 11)) || fail "size"
host device 0 ctl resize late 24M
wait_for 10 size_is $((24 << 11)) || fail "size after resize"

ip link set "$net" up
wait_for 10 grep -q 1 "/sys/class/net/$net/carrier"
host device 0 ctl link net down
wait_for 10 grep -q 0 "/sys/class/net/$net/carrier"
host device 0 ctl link net up
wait_for 10 grep -q 1 "/sys/class/net/$net/carrier"

host device 0 ctl remove late
wait_gone 10 test -e "$fn/tvq/by-name/late"
wait_gone 10 test -e "/sys/block/${disk##*/}"
host device 0 ctl remove net
wait_gone 10 test -e "/sys/class/net/$net"
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
