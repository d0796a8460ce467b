# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# shellcheck shell=bash
#
# For the tests that put the guest to sleep, which runs without the Debian tree
# then (see scripts/testbed/ram-root): devices of each type in use, without fio and
# python.

# sleep_devices FUNCTION: a disk and an idle one, two interfaces, one of them in
# a namespace, a source of random numbers, and a console with a port that gives
# back what it is told.
sleep_devices()
{
	fn=$1
	modprobe -a virtio_rng virtio_console
	tvq_create "$fn" 'type=blk name=disk vqs=2 capacity=16M'
	tvq_create "$fn" 'type=blk name=idle capacity=16M'
	tvq_create "$fn" 'type=net name=left mac=02:00:00:00:00:0a'
	tvq_create "$fn" 'type=net name=right'
	tvq_create "$fn" 'type=rng name=rng'
	tvq_create "$fn" 'type=console name=con vqs=2'
	disk=$(tvq_disk "$fn" disk)
	idle=$(tvq_disk "$fn" idle)
	left=$(tvq_netdev "$fn" left)
	right=$(tvq_netdev "$fn" right)
	ip netns add right
	ip link set "$right" netns right
	ip addr add 10.9.0.1/24 dev "$left"
	ip link set "$left" up
	ip -n right addr add 10.9.0.2/24 dev "$right"
	ip -n right link set "$right" up
	head -c 1M /dev/urandom >/run/idle
	dd if=/run/idle of="$idle" bs=64k oflag=direct status=none
	before=$(sleep_names)
}

# What must not change: ids, names, drivers, and what users know them by.
sleep_names()
{
	local dev vdev id status

	# No program is started: on the debug kernel these would take seconds.
	for dev in "$fn"/tvq/by-name/*; do
		vdev=("$dev"/virtio*)
		read -r id <"$dev/device_id" || true
		read -r status <"${vdev[0]}/status" || true
		echo "${dev##*/}" "$id" "$status" "${vdev[0]}"/{block,net}/*
	done
}

# sleep_check WHAT: are they the same, and do they work?
sleep_check()
{
	[ "$(sleep_names)" = "$before" ] || fail "$1: $before became $(sleep_names)"
	disk_holds "$idle" /run/idle || fail "$1: the disk that was idle"
	wait_for 10 ping -qc 1 -W 1 -I "$left" 10.9.0.2 || fail "$1: the interfaces"
	timeout 20 dd if=/dev/hwrng of=/dev/null bs=16 count=1 iflag=fullblock status=none ||
		fail "$1: random numbers"
	sleep_echo || fail "$1: the console's port"
	kill -0 "${writers[@]}" || fail "$1: a writer has ended"
}

sleep_echo()
{
	local port line

	wait_for 20 grep -qx con.1 /sys/class/virtio-ports/*/name
	port=$(grep -lx con.1 /sys/class/virtio-ports/*/name)
	port=${port%/name}
	wait_for 20 test -c "/dev/${port##*/}"
	exec 7<>"/dev/${port##*/}"
	echo awake >&7
	read -r -t 20 line <&7
	exec 7>&-
	[ "$line" = awake ]
}

# A writer numbers the blocks that it writes, and notes what was acknowledged.
SLEEP_BLOCKS=16
sleep_writer()
{
	local cpu=$1 n=0

	trap - ERR
	while [ -e /run/io ]; do
		n=$((n + 1))
		printf '%-4095s\n' "$cpu $n" >"/run/block$cpu"
		taskset -c "$cpu" dd if="/run/block$cpu" of="$disk" bs=4k conv=notrunc \
			seek=$((cpu * SLEEP_BLOCKS + n % SLEEP_BLOCKS)) \
			oflag=direct status=none || exit 1
		echo $n >"/run/done$cpu"
	done
}

sleep_writers()
{
	local cpu

	touch /run/io
	writers=()
	for cpu in 0 1; do
		sleep_writer $cpu &
		writers+=($!)
	done
	for cpu in 0 1; do
		wait_for 20 test -s /run/done$cpu
	done
}

# sleep_count CPU: how many blocks this writer has seen on the disk. While it says so, which is to
# begin its file anew, there is nothing in it for a moment.
sleep_count()
{
	local n

	wait_for 20 sleep_counts "$1"
	echo "$n"
}

sleep_counts()
{
	read -r n <"/run/done$1"
}

# sleep_written: is all on the disk that was acknowledged, and is it going on?
sleep_written()
{
	local cpu pid n

	for cpu in 0 1; do
		n=$(sleep_count $cpu)
		wait_for 60 sleep_beyond $cpu "$n" || {
			echo l >/proc/sysrq-trigger
			echo w >/proc/sysrq-trigger
			ps -eo pid,stat,psr,wchan:32,args | tail -n 30
			tail /sys/block/vd*/inflight
			fail "writer $cpu does not go on"
		}
	done
	rm /run/io
	for pid in "${writers[@]}"; do
		wait "$pid" || fail "a writer failed"
	done
	for cpu in 0 1; do
		dd if="$disk" bs=4k skip=$((cpu * SLEEP_BLOCKS)) count=$SLEEP_BLOCKS \
			iflag=direct status=none |
		awk -v cpu=$cpu -v last="$(sleep_count $cpu)" -v blocks=$SLEEP_BLOCKS '
			{ want = last - (last - (NR - 1)) % blocks
			  if (last >= NR - 1 && want && $0 !~ "^" cpu " " want " *$") {
				print "block " NR - 1 " of " cpu ": " want " expected, " $1 " " $2
				bad = 1 } }
			END { exit bad }' || fail "what was acknowledged is lost"
	done
}

# sleep_kept LAST0 LAST1: is on the disk what the writers had acknowledged by then,
# or what they wrote after that? All of their blocks are to have been written.
sleep_kept()
{
	local cpu last=("$@")

	for cpu in 0 1; do
		dd if="$disk" bs=4k skip=$((cpu * SLEEP_BLOCKS)) count=$SLEEP_BLOCKS \
			iflag=direct status=none |
		awk -v cpu=$cpu -v last="${last[cpu]}" -v blocks=$SLEEP_BLOCKS '
			$1 != cpu || $2 % blocks != NR - 1 || $2 <= last - blocks {
				print "block " NR - 1 " of " cpu ": " $1 " " $2 ", acknowledged: " last
				bad = 1 }
			END { exit bad || NR != blocks }' || fail "what was acknowledged is lost"
	done
}

sleep_beyond()
{
	[ "$(cat "/run/done$1")" -gt "$2" ]
}

sleep_end()
{
	local name

	ip netns del right
	for name in disk idle left right rng con; do
		tvq_destroy "$fn" $name
	done
}
