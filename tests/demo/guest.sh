#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
#
# The main job, step by step, in a guest: see scripts/demo. Each step prints
# one line with the time it took, and below it what there is to see.

# shellcheck source=tests/e2e/lib.sh
. "$TVQ_SRC/tests/e2e/lib.sh"

exec 5>&1
begin=$EPOCHREALTIME

# do_step TEXT CMD...: what CMD prints is shown, indented.
do_step()
{
	local text=$1 start=$EPOCHREALTIME rc=0
	shift

	set +e
	(set -e; "$@") >/tmp/step 2>&1
	rc=$?
	set -e
	if [ $rc -ne 0 ]; then
		text="FAILED: $text"
	fi
	awk -v a="$start" -v b="$EPOCHREALTIME" -v t="$text" \
		'BEGIN { printf "%7.1f s  %s\n", b - a, t }' >&5
	sed 's/^/             /' /tmp/step >&5
	if [ $rc -ne 0 ]; then
		echo "           what the kernel said:" >&5
		dmesg | tail -n 20 | sed 's/^/             /' >&5
		echo "Verdict: FAILED" >&5
		exit 1
	fi
}

create()
{
	echo "echo '$1' > $fn/tvq/create"
	echo "$1" >"$fn/tvq/create"
}

destroy()
{
	echo "echo $1 > $fn/tvq/destroy"
	echo "$1" >"$fn/tvq/destroy"
}

load()
{
	modprobe -a virtio_blk virtio_net ext4
	tvq_insmod virtio_tvq
	modinfo -F filename "$TVQ_MODULES/virtio_tvq.ko"
	wait_for 10 tvq_function 0
}

disk_use()
{
	local before after

	mkfs.ext4 -q -F "$disk"
	mkdir -p /mnt/disk0
	mount "$disk" /mnt/disk0
	head -c 16M /dev/urandom >/mnt/disk0/file
	sync
	before=$(sha256sum </mnt/disk0/file)
	umount /mnt/disk0
	mount "$disk" /mnt/disk0
	echo 3 >/proc/sys/vm/drop_caches
	after=$(sha256sum </mnt/disk0/file)
	echo "written: ${before%% *}"
	echo "read:    ${after%% *}"
	umount /mnt/disk0
	[ "$before" = "$after" ]
}

net_up()
{
	local n

	for n in 0 1; do
		ip netns add ns$n
		ip link set "${net[n]}" netns ns$n
		ip -n ns$n addr add 192.0.2.$((n + 1))/24 dev "${net[n]}"
		ip -n ns$n link set lo up
		ip -n ns$n link set "${net[n]}" up
		ip -n ns$n -d link show dev "${net[n]}"
		ip netns exec ns$n ethtool -i "${net[n]}"
	done
}

net_ping()
{
	ip netns exec ns0 ping -i 0.2 -c 5 -W 5 192.0.2.2
}

net_stream()
{
	ip netns exec ns1 iperf3 -s -1 -D -I /tmp/iperf3.pid
	wait_for 10 eval "ip netns exec ns1 ss -ltn | grep -q :5201"
	ip netns exec ns0 iperf3 -c 192.0.2.2 -t 3 -f m | grep -E 'sender|receiver'
}

net_down()
{
	ip netns del ns0
	ip netns del ns1
	# A namespace's end gives the interface back, a little later.
	wait_for 20 test -d "/sys/class/net/${net[0]}"
	wait_for 20 test -d "/sys/class/net/${net[1]}"
}

destroy_all()
{
	destroy disk0
	destroy net0
	destroy net1
	[ -z "$(tvq_left)" ]
	[ "$(cat "$fn/tvq/devices_used")" = 0 ]
	[ ! -e "$disk" ]
}

echo "           In the guest: $(uname -sr), $(nproc) CPUs"
do_step "insmod virtio_tvq.ko" load
fn=$(tvq_function 0)
do_step "create a virtio-blk device" create "type=blk name=disk0 capacity=64M"
do_step "create a virtio-net device" create "type=net name=net0"
do_step "create another" create "type=net name=net1"
disk=$(tvq_disk "$fn" disk0)
net=("$(tvq_netdev "$fn" net0)" "$(tvq_netdev "$fn" net1)")
do_step "lsblk" lsblk -o NAME,SIZE,TYPE,TRAN,MOUNTPOINTS "$disk"
do_step "ext4 on $disk: write 16 MiB, sync, drop caches, read back" disk_use
do_step "${net[0]} and ${net[1]} in network namespaces of their own" net_up
do_step "ping" net_ping
do_step "a TCP stream" net_stream
do_step "/proc/interrupts" grep -E 'CPU|virtio|tvq' /proc/interrupts
do_step "take the namespaces away" net_down
do_step "destroy all three" destroy_all
do_step "rmmod virtio_tvq" tvq_unload
awk -v a="$begin" -v b="$EPOCHREALTIME" \
	'BEGIN { printf "%7.1f s  in the guest, all together\n", b - a }'
