#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 1
#
# Two interfaces in two network namespaces reach each other.
. "${BASH_SOURCE[0]%/*}/lib.sh"

tvq_load
fn=$(tvq_function 0)
tvq_create "$fn" 'type=net name=left mac=02:aa:00:00:00:01 mtu=1400'
tvq_create "$fn" 'type=net name=right vqs=2'
left=$(tvq_netdev "$fn" left)
right=$(tvq_netdev "$fn" right)

[ "$(cat "/sys/class/net/$left/address")" = 02:aa:00:00:00:01 ] || fail "mac"
[ "$(cat "/sys/class/net/$left/mtu")" = 1400 ] || fail "mtu"
[ "$(cat "$(tvq_device "$fn" right)/num_vqs")" = 5 ] || fail "two pairs and control make 5 queues"
ethtool -i "$left" | grep "bus-info: tvq0-" >/dev/null || fail "bus-info"
ethtool -L "$right" combined 2
ethtool -l "$right" | tail -n 5 | grep "Combined:.*2" >/dev/null || fail "two pairs"
# A CPU for each pair: the driver says so, and does not keep what it said.
id=$(cat "$(tvq_device "$fn" right)/device_id")
for queue in 0 1; do
	irq=$(sed -n "s/^ *\([0-9]*\):.*tvq0-$id-input\.$queue\$/\1/p" /proc/interrupts)
	hint=$(cat "/proc/irq/$irq/affinity_hint")
	[ $((0x${hint##*,})) = $((1 << queue)) ] || fail "queue $queue: affinity_hint $hint"
done

ip netns add left
ip netns add right
trap 'ip netns del left; ip netns del right' EXIT
ip link set "$left" netns left
ip link set "$right" netns right
ip -n left addr add 192.0.2.1/24 dev "$left"
ip -n right addr add 192.0.2.2/24 dev "$right"
ip -n left link set "$left" up
ip -n right link set "$right" up

ip netns exec left ping -q -c 5 -i 0.2 -w 20 192.0.2.2
ip netns exec right iperf3 -s -1 -D --pidfile /run/iperf3.pid
wait_for 10 test -s /run/iperf3.pid
ip netns exec left iperf3 -c 192.0.2.2 -n 4M -J >/run/iperf3.json
python3 - <<'EOF'
import json
sent = json.load(open("/run/iperf3.json"))["end"]["sum_received"]["bytes"]
assert sent >= 1 << 20, f"only {sent} bytes arrived"
EOF

trap - EXIT
ip netns del left
ip netns del right
tvq_destroy "$fn" left
tvq_destroy "$fn" right
tvq_unload
