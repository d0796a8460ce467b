#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 1 --pci type=blk,vqs=2,capacity=32M,serial=plain --pci type=net,mac=02:aa:00:00:01:01 --pci type=net,vqs=2 --pci type=rng --pci type=blk,capacity=8M,features=0x14f30000244
# kmemleak: off
#
# Devices that are PCI functions of their own: the kernel's virtio-pci binds to
# them, and they do what managed devices do, with the same backends.
. "${BASH_SOURCE[0]%/*}/lib.sh"

tvq_load
modprobe virtio-rng
for n in 0 1 2 3 4; do
	pci=$(plain_function $n)
	[ "$(basename "$(realpath "$pci/driver")")" = virtio-pci ] || fail "driver of $pci"
done
[ "$(cat "$(plain_function 0)/device" "$(plain_function 0)/class")" = "0x1042
0x010000" ] || fail "ids of blk"

# Disk: two queues with a vector each, serial, data, resize
disk=$(plain_disk 0)
[ "$(cat "/sys/block/${disk#/dev/}/serial")" = plain ] || fail "serial"
[ "$(printf '%s\n' "/sys/block/${disk#/dev/}/mq"/* | wc -l)" = 2 ] || fail "queues"
[ "$(printf '%s\n' "$(plain_function 0)/msi_irqs"/* | wc -l)" = 3 ] || fail "vectors"
pattern plain 1048576 /run/plain
dd if=/run/plain of="$disk" bs=64k oflag=direct conv=fsync status=none
disk_holds "$disk" /run/plain || fail "what was written is not there"
io_start "$disk"
host device 0 ctl resize pci0 48M
wait_for 10 grep -qx 98304 "/sys/block/${disk#/dev/}/size"
io_stop
dd if=/run/plain of="$disk" bs=64k oflag=direct conv=fsync status=none
# The function is reset, and the driver finds it as it was provisioned.
pci=$(plain_function 0)
addr=${pci##*/}
echo "$addr" >/sys/bus/pci/drivers/virtio-pci/unbind
grep -w flr "$pci/reset_method" >/dev/null || fail "reset methods: $(cat "$pci/reset_method")"
echo 1 >"$pci/reset"
echo "$addr" >/sys/bus/pci/drivers/virtio-pci/bind
disk=$(plain_disk 0)
disk_holds "$disk" /run/plain || fail "what was written is gone"

# A packed ring, with NOTIFICATION_DATA, and IN_ORDER where the kernel can
bits=$(cat "$(plain_virtio 4)/features")
[ "${bits:34:1}${bits:38:1}${bits:40:1}" = 111 ] || fail "negotiated: $bits"
[ "$TVQ_KERNEL" = 6.12 ] || [ "${bits:35:1}" = 1 ] || fail "negotiated: $bits"
disk=$(plain_disk 4)
fio --name=packed --filename="$disk" --rw=randwrite --bs=4k --size=2M --direct=1 \
	--ioengine=libaio --iodepth=16 --verify=crc32c --verify_fatal=1 --minimal \
	>/run/fio.log 2>&1 || fail "fio: $(cat /run/fio.log)"

# Network: between plain functions, and with a managed device
fn=$(tvq_function 0)
tvq_create "$fn" 'type=net name=managed'
a=$(plain_netdev 1)
b=$(plain_netdev 2)
c=$(tvq_netdev "$fn" managed)
[ "$(cat "/sys/class/net/$a/address")" = 02:aa:00:00:01:01 ] || fail "mac"
ethtool -L "$b" combined 2
n=1
trap 'ip -all netns del' EXIT
for dev in $a $b $c; do
	ip netns add n$n
	ip link set "$dev" netns n$n
	ip -n n$n addr add 192.0.2.$n/24 dev "$dev"
	ip -n n$n link set "$dev" up
	n=$((n + 1))
done
ip netns exec n1 ping -q -c 3 -i 0.2 -w 20 192.0.2.2
ip netns exec n1 ping -q -c 3 -i 0.2 -w 20 192.0.2.3
ip netns exec n2 iperf3 -s -1 -D --pidfile /run/iperf3.pid
wait_for 10 test -s /run/iperf3.pid
ip netns exec n1 iperf3 -c 192.0.2.2 -n 2M >/run/iperf3.txt || fail "$(cat /run/iperf3.txt)"
host device 0 ctl link pci1 down
wait_for 10 ip netns exec n1 grep -qx down "/sys/class/net/$a/operstate"
trap - EXIT
ip -all netns del

# Entropy
wait_for 10 grep -q virtio_rng /sys/class/misc/hw_random/rng_available
name=$(tr " " "\n" </sys/class/misc/hw_random/rng_available | grep -m 1 virtio_rng || true)
echo "$name" >/sys/class/misc/hw_random/rng_current
[ "$(head -c 4096 /dev/hwrng | sha256sum)" != "$(head -c 4096 /dev/hwrng | sha256sum)" ] ||
	fail "the same numbers twice"

[ "$(host device 0 ctl list | grep -c ' pci$')" = 5 ] || fail "list: $(host device 0 ctl list)"
! host device 0 ctl remove pci3 2>/run/error || fail "a function was removed"
grep "PCI function" /run/error >/dev/null || fail "$(cat /run/error)"
tvq_destroy "$fn" managed
rmmod virtio_rng
tvq_unload
