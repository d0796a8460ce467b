#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 2 --parallel
# kernels: debug
# timeout: 300
#
# The function goes away in each phase of its life: its process is killed, it is
# unplugged, it or the port above it is removed by sysfs. Whoever uses it is done within
# bounds, the driver lets go of it, nothing stays behind, and when it is back it works.
# The other function goes on all the time. 61-death and 62-dead-disk have what becomes of
# each kind of user, this has the phases.
. "${BASH_SOURCE[0]%/*}/lib.sh"

[ -d /sys/kernel/debug/irq ] || mount -t debugfs none /sys/kernel/debug
phases=0
pids=()
trap 'rm -f /run/io; kill "${pids[@]}" 2>/dev/null || true' EXIT

# counts: what there is of all that a function has
counts()
{
	local list=(/sys/kernel/irq/* /sys/bus/virtio/devices/* /sys/block/* /sys/class/net/*)

	echo "irqs and devices: ${#list[@]}"
	cat /sys/kernel/debug/dma-api/num_free_entries
	ls /sys/kernel/debug/irq/domains
	# Of the code of the module: size, number, where
	awk '/\[virtio_tvq\]/ && $2 { print $2, $3 }' /proc/allocinfo
}

# write FILE TEXT: a disk that is removed in order takes two seconds here, while others are
# written to.
write()
{
	echo "$2" >/run/text
	bounded 45 cp /run/text "$1"
}

# taken WAY: the function goes
taken()
{
	case $1 in
	kill) host device $n kill ;;
	unplug) bounded 45 host device $n unplug ;;
	remove) write "$fn/remove" 1 ;;
	port) write "$port/remove" 1 ;;
	esac
}

# given WAY: a fresh one comes
given()
{
	case $1 in
	kill)
		host device $n unplug
		host device $n start
		host device $n plug
		;;
	unplug) host device $n plug ;;
	remove | port) write /sys/bus/pci/rescan 1 ;;
	esac
	wait_for 30 test -e "$fn/tvq/create"
}

# all_there: the disks and the interfaces are bound
all_there()
{
	local dev vdev status found=0

	for dev in "$fn"/tvq/by-name/{disk,net}*; do
		vdev=("$dev"/virtio*)
		read -r status <"${vdev[0]}/status" || return
		[ "$status" = 0x0000000f ] || return
		found=$((found + 1))
	done 2>/dev/null
	[ $found = $((disks + 1)) ]
}

# works: what was there is there, and so does what is new
works()
{
	local dev

	wait_for 60 all_there || fail "$1: $(ls "$fn/tvq/by-name")"
	disk_holds "$(tvq_disk "$fn" disk0)" /run/pattern || fail "$1: the disk"
	for dev in "$fn"/tvq/by-name/c*; do
		[ ! -e "$dev" ] || tvq_destroy "$fn" "${dev##*/}"
	done
	tvq_create "$fn" 'type=rng name=fresh'
	[ "$(cat "$(tvq_virtio "$fn" fresh)/status")" = 0x0000000f ] || fail "$1: a fresh device"
	tvq_destroy "$fn" fresh
	kill -0 "$io_pid" || fail "$1: the other function: $(cat /run/fio.log)"
	phases=$((phases + 1))
	echo "$1 ($SECONDS s)"
}

# Phases: what is begun is in the background, in pids; it ends when the function goes.
begin_idle()
{
	pids=()
}

begin_creation()
{
	(
		trap - ERR
		for ((i = 0; ; i++)); do
			tvq_create "$fn" "type=rng name=c$i" 2>/dev/null || exit 0
			[ $i -lt 4 ] || tvq_destroy "$fn" c$((i - 4)) 2>/dev/null || exit 0
		done
	) &
	pids=($!)
	wait_for 20 test -e "$fn/tvq/by-name/c1"
}

begin_destruction()
{
	local i

	for ((i = 0; i < 6; i++)); do
		tvq_create "$fn" "type=rng name=c$i"
	done
	# What is answered late is under way when the function goes.
	host device $n ctl fault kind=delay ms=1500 times=all command=DESTROY >/dev/null
	(
		trap - ERR
		for ((i = 0; i < 6; i++)); do
			tvq_destroy "$fn" c$i 2>/dev/null || exit 0
		done
		touch /run/through
	) &
	pids=($!)
	wait_gone 20 test -e "$fn/tvq/by-name/c0"
}

# done_on DISK: requests so far
done_on()
{
	local reads writes

	read -r reads _ _ _ writes _ <"/sys/block/${1##*/}/stat"
	echo $((reads + writes))
}

goes_on()
{
	[ "$(done_on "$1")" -gt "$2" ]
}

begin_io()
{
	local i disk block begun disks_of_it=()

	# Not the first, of which the content is looked at. They are there, see works().
	for ((i = 1; i < disks; i++)); do
		block=("$fn/tvq/by-name/disk$i"/virtio*/block/*)
		disk=/dev/${block[0]##*/}
		disks_of_it+=("$disk")
	done
	begun=$(done_on "$disk")
	# One job, that has some requests at each disk and leaves time to others on two slow
	# CPUs: with a job for each disk, all else takes minutes. So does disk_util, which looks
	# for each of them in sysfs. Without that last option it would go on in a file of that
	# name.
	fio --thread --name=disks --filename="$(IFS=: && echo "${disks_of_it[*]}")" \
		--rw=randrw --bs=4k --direct=1 --size=$((disks - 1))M --ioengine=libaio \
		--iodepth=$((8 * (disks - 1))) --iodepth_batch=$((4 * (disks - 1))) \
		--iodepth_batch_complete_min=$((4 * (disks - 1))) \
		--time_based --runtime=1000 --disk_util=0 --allow_file_create=0 \
		>/run/fio.removal 2>&1 &
	pids=($!)
	ip link set "$(tvq_netdev "$fn" net)" up
	wait_for 60 goes_on "$disk" $((begun + 8))
}

described()
{
	local told

	told=$(host device $n ctl fault show)
	[[ $told =~ hits=[1-9] ]]
}

# Killed while the devices are described, unplugged while they are put on the bus.
begin_discovery()
{
	write /sys/bus/pci/drivers/virtio_tvq/unbind "${fn##*/}"
	[ "$1" != kill ] ||
		host device $n ctl fault kind=delay ms=3000 times=all command=DESCRIBE >/dev/null
	(
		trap - ERR
		echo "${fn##*/}" >/sys/bus/pci/drivers/virtio_tvq/bind || exit 0
		# Who unplugs in order waits for this.
		[ "$1" != kill ] || [ ! -e "$fn/tvq/by-name/net" ] || touch /run/through
	) 2>/dev/null &
	pids=($!)
	case $1 in
	kill) wait_for 20 described ;;
	unplug)
		wait_for 30 test -e "$fn/tvq/by-name/disk0"
		[ ! -e "$fn/tvq/by-name/net" ] || fail "the function is there already"
		;;
	esac
}

ended()
{
	local pid

	for pid in "${pids[@]}"; do
		wait_gone 30 kill -0 "$pid" || {
			echo w >/proc/sysrq-trigger
			fail "$1: somebody waits for ever"
		}
	done
	for pid in "${pids[@]}"; do
		wait "$pid" || true
	done
	[ ! -e /run/through ] || fail "$1: the function went too late"
}

# phase NAME WAY [AFTERWARDS]: unbind, rmmod or remove, of one that is dead
phase()
{
	local what=$1 way=$2 after=${3:-}

	begin_"$what" "$way"
	taken "$way"
	ended "$what, $way"
	case $after in
	unbind) write /sys/bus/pci/drivers/virtio_tvq/unbind "${fn##*/}" ;;
	remove) write "$fn/remove" 1 ;;
	rmmod)
		io_stop
		bounded 45 rmmod virtio_tvq
		[ -z "$(tvq_left)" ] || fail "$what, $way: devices without a driver"
		;;
	esac
	if [ "$after" = rmmod ]; then
		tvq_insmod virtio_tvq
		io_start "$(tvq_disk "$other" other)" --size=1M --rate_iops=5
	fi
	given "$way"
	case $what in
	destruction | discovery) host device $n ctl fault off >/dev/null ;;
	esac
	works "$what, $way${after:+, $after}"
}

# provide: what the function has all the time
provide()
{
	local i

	for ((i = 0; i < disks; i++)); do
		tvq_create "$fn" "type=blk name=disk$i capacity=1M"
	done
	tvq_create "$fn" 'type=net name=net'
	dd if=/run/pattern of="$(tvq_disk "$fn" disk0)" bs=64k oflag=direct status=none
}

take_back()
{
	local i

	for ((i = 0; i < disks; i++)); do
		tvq_destroy "$fn" "disk$i"
	done
	tvq_destroy "$fn" net
}

modprobe virtio_rng
tvq_load
other=$(tvq_function 0)
fn=$(tvq_function 1)
before=$(counts)
pattern removal $((1 << 16)) /run/pattern
tvq_create "$other" 'type=blk name=other capacity=16M'
# Seldom, for each new fio takes seconds from all the rest.
io_start "$(tvq_disk "$other" other)" --size=1M --rate_iops=5

# Of a function with little
n=1
disks=1
port=$(dirname "$(realpath "$fn")")
provide
works "at the start"
phase idle kill remove
phase idle port
phase creation kill unbind
phase creation unplug
phase creation remove
phase destruction kill remove
phase destruction unplug
take_back

# And of one with much: 16 disks that are in use, and one for its content
disks=17
provide
phase discovery kill unbind
phase discovery unplug
phase io kill rmmod
phase io unplug
phase io port
take_back

io_stop
tvq_destroy "$other" other
same()
{
	[ "$(counts)" = "$before" ]
}
wait_for 20 same || fail "$before became $(counts)"
tvq_unload
echo "$phases phases"
