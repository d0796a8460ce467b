#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 1 --disk 1G --append 'tvq.ram tvq.resume'
# kernels: debug
# timeout: 120
#
# What 66-removal does, of a system that sleeps: the function's process is killed while the
# system is asleep, or before, the function is unplugged meanwhile, or removed while the
# system falls asleep. It wakes up, whoever writes to a disk gets an error, the driver lets
# go, and a fresh function works.
#
# Not where 81-hibernate is run, in the same guest: QEMU goes on to tell a device whose
# process is dead of the machine's memory, unplugged or not, ignores that it cannot while
# memory goes away, and ends ("DMA mapping failed") when a restart of the machine brings
# some.
. "${BASH_SOURCE[0]%/*}/lib.sh"

asleep='Freezing remaining freezable tasks completed'
phases=0

# A program of the tree for each write would take seconds on the debug kernel.
writer()
{
	local n=0

	trap - ERR
	while dd if=/run/block of="$disk" bs=4k conv=notrunc,nocreat oflag=direct status=none; do
		n=$((n + 1))
		echo $n >/run/written
	done 2>/dev/null
}

begin()
{
	disk=$(tvq_disk "$fn" disk)
	: >/run/written
	writer &
	pid=$!
	wait_for 20 test -s /run/written
}

# The device has forgotten what it was given, and then it is given what was cached: nobody waits
# for that but the disk's driver, when it is to freeze.
begin_forgotten()
{
	disk=$(tvq_disk "$fn" disk)
	# Who closes it last would wait.
	exec 9<"$disk"
	host device 0 ctl reset disk
	dd if=/dev/zero of="$disk" bs=4k count=64 conv=notrunc,nocreat status=none
	wait_for 20 disk_busy "$disk"
	sleep 0 &
	pid=$!
}

suspend()
{
	host wake 2
	echo freeze >/sys/power/state || true
}

# gone WAY: nothing is left of the function
gone()
{
	wait_gone 30 kill -0 "$pid" || {
		echo w >/proc/sysrq-trigger
		fail "$1: I/O does not end"
	}
	[ "$1" != killed ] || host device 0 unplug
	wait_gone 30 test -e "$fn" || fail "$1: the function is still there"
	[ -z "$(tvq_left)" ] || fail "$1: devices of a function that is gone"
}

# fresh WAY: another one in its place works
fresh()
{
	gone "$1"
	case $1 in
	removed) echo 1 >/sys/bus/pci/rescan ;;
	unplugged) host device 0 plug ;;
	killed)
		host device 0 start
		host device 0 plug
		;;
	esac
	wait_for 30 test -e "$fn"
	tvq_loaded || tvq_insmod virtio_tvq
	wait_for 30 test -e "$fn/tvq/by-name/net"
	dd if=/run/block of="$(tvq_disk "$fn" disk)" bs=4k oflag=direct status=none
	tvq_create "$fn" 'type=rng name=new'
	tvq_destroy "$fn" new
	phases=$((phases + 1))
	echo "asleep, $1${2:+, $2} ($SECONDS s)"
}

echo enabled >/sys/class/tty/ttyS2/power/wakeup
head -c 4096 /dev/urandom >/run/block
tvq_load
fn=$(tvq_function 0)
echo "${fn##*/}" >/run/name
tvq_create "$fn" 'type=blk name=disk capacity=1M'
tvq_create "$fn" 'type=net name=net'

begin
host after "$asleep" device 0 kill
suspend
bounded 20 cp /run/name /sys/bus/pci/drivers/virtio_tvq/unbind
fresh killed unbind

begin
host after "$asleep" device 0 kill
suspend
bounded 20 rmmod virtio_tvq
fresh killed rmmod

begin
host after "$asleep" device 0 unplug
suspend
fresh unplugged

begin
echo 1 >"$fn/remove" &
remover=$!
suspend
wait $remover
fresh removed

begin
host device 0 kill
suspend
fresh killed "before it falls asleep"

echo 0 >/sys/power/sync_on_suspend
echo 10 >/proc/sys/vm/dirty_writeback_centisecs
echo 10 >/proc/sys/vm/dirty_expire_centisecs
begin_forgotten
host after "$asleep" device 0 kill
suspend
exec 9<&-
fresh killed "while its driver waits for it"

tvq_destroy "$fn" disk
tvq_destroy "$fn" net
tvq_unload
echo "$phases phases"
