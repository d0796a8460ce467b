#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 1
# kmemleak: off
# timeout: 240
#
# The function is reset, by the PCI core and by tvq/reset, while its devices are
# in use: disks stay what they are, and nothing that was acknowledged is lost; the
# others are bound again, whoever looks at them meanwhile. Then devices and the
# function say that they need a reset.
. "${BASH_SOURCE[0]%/*}/lib.sh"

modprobe virtio_rng
modprobe virtio_console
tvq_load
fn=$(tvq_function 0)
for name in disk other; do
	tvq_create "$fn" "type=blk name=$name vqs=2 capacity=16M"
done
tvq_create "$fn" 'type=net name=left mac=02:00:00:00:00:0a'
tvq_create "$fn" 'type=net name=right mac=02:00:00:00:00:0b'
tvq_create "$fn" 'type=rng name=rng'
tvq_create "$fn" 'type=console name=con vqs=2'
disk=$(tvq_disk "$fn" disk)
other=$(tvq_disk "$fn" other)
ip netns add right
pattern other $((1 << 20)) /run/pattern
dd if=/run/pattern of="$other" bs=64k oflag=direct status=none

# What must not change: ids and names, and the disks that users have open.
names()
{
	local dev vdev id status

	# No program is started: on the debug kernel these would take seconds.
	for dev in "$fn"/tvq/by-name/*; do
		vdev=("$dev"/virtio*)
		read -r id <"$dev/device_id" || true
		read -r status <"${vdev[0]}/status" 2>/dev/null || status=none
		case ${dev##*/} in
		disk | other) echo "${dev##*/}" "$id" "$status" "${vdev[0]}"/block/* ;;
		*) echo "${dev##*/}" "$id" "$status" ;;
		esac
	done
}

unchanged()
{
	[ "$(names)" = "$before" ]
}

# Is each device bound to a driver, and in use?
all_bound()
{
	local line

	while read -r line; do
		[[ $line == *" 0x0000000f"* ]] || return
	done < <(names)
}

# An interface is registered anew by a reset, without what it was told before.
cable()
{
	local right

	left=$(tvq_netdev "$fn" left)
	ip link set "$left" up
	ip addr replace 10.9.0.1/24 dev "$left"
	if ! ip -n right -o link show | grep 02:00:00:00:00:0b >/dev/null; then
		right=$(tvq_netdev "$fn" right)
		ip link set "$right" netns right name eth0
	fi
	ip -n right link set eth0 up
	ip -n right addr replace 10.9.0.2/24 dev eth0
	wait_for 20 grep -q 1 "/sys/class/net/$left/carrier"
}

echoes()
{
	local port

	port=$(grep -lx con.1 /sys/class/virtio-ports/*/name)
	port=${port%/name}
	timeout 20 python3 - "/dev/${port##*/}" <<'PYTHON'
import os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
os.write(fd, b"reset")
got = b""
while not got.endswith(b"reset"):
    got += os.read(fd, 64)
PYTHON
}

works()
{
	# What is bound again is bound a moment later.
	wait_for 30 unchanged || fail "$1: $before became $(names)"
	disk_holds "$other" /run/pattern || fail "$1: the disk that was idle"
	cable
	wait_for 10 ping -qc 1 -W 1 -I "$left" 10.9.0.2 || fail "$1: the interfaces"
	timeout 20 dd if=/dev/hwrng of=/dev/null bs=16 count=1 iflag=fullblock status=none ||
		fail "$1: random numbers"
	wait_for 20 echoes || fail "$1: the console's port"
}

wait_for 20 grep -qx con.1 /sys/class/virtio-ports/*/name
before=$(names)
works "at the start"

# Users that look at devices while these are reset: counters of interfaces, a port
# that is read and written, and somebody who binds drivers by hand. They never rest, and
# the resets are not to wait for their turn.
users_start()
{
	touch /run/users
	nice -n 19 python3 - <<'PYTHON' &
import glob, os
bad = 0
while os.path.exists("/run/users"):
    for path in glob.glob("/sys/class/net/*/statistics/rx_packets"):
        try:
            with open(path) as f:
                bad |= int(f.read()) > 1 << 40
        except OSError:
            pass
    for path in glob.glob("/dev/vport*p2"):
        try:
            fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        except OSError:
            continue
        try:
            for _ in range(100):
                os.write(fd, b"x" * 64)
                os.read(fd, 4096)
        except OSError:
            pass
        os.close(fd)
raise SystemExit(bad)
PYTHON
	users=$!
	(
		trap - ERR
		set +e
		renice -n 19 -p $BASHPID >/dev/null
		while [ -e /run/users ]; do
			for dev in "$fn"/tvq/by-name/{rng,other}/virtio*; do
				name=${dev##*/}
				drv=$(basename "$(readlink "$dev/driver")")
				[ -n "$drv" ] || continue
				echo "$name" >"/sys/bus/virtio/drivers/$drv/unbind"
				echo "$name" >"/sys/bus/virtio/drivers/$drv/bind"
			done
		done 2>/dev/null
		true
	) &
	binder=$!
}

users_end()
{
	rm /run/users
	wait "$users" || fail "counters of an interface that nobody has counted"
	wait "$binder"
}

[ "$(cat "$fn/reset_method")" = flr ] || echo flr >"$fn/reset_method"
io_start "$disk" --size=1M
for ((i = 0; i < 2; i++)); do
	echo 1 >"$fn/reset"
	works "function-level reset $i"
done
[ "$(host device 0 log | grep -c 'function-level reset')" -ge 2 ] || fail "that was no function-level reset"
for ((i = 0; i < 2; i++)); do
	echo 1 >"$fn/tvq/reset"
	works "tvq/reset $i"
done
users_start
for ((i = 0; i < 3; i++)); do
	echo 1 >"$fn/reset"
	echo 1 >"$fn/tvq/reset" &
	echo 1 >"$fn/tvq/reset"
	wait $!
done
users_end
kill -0 "$io_pid" || fail "I/O has ended: $(cat /run/fio.log)"
io_stop
wait_for 30 all_bound || fail "resets with users: $(names)"
# The disk that was bound by hand may have another name now.
other=$(tvq_disk "$fn" other)
before=$(names)
works "resets with users"

for text in 0 2 yes '1 1'; do
	expect_errno EINVAL sysfs_write "$fn/tvq/reset" "$text"
done

# Creation and destruction go on at the same time.
for ((i = 0; i < 3; i++)); do
	echo 1 >"$fn/tvq/reset" &
	tvq_create "$fn" 'type=blk name=more capacity=1M'
	tvq_disk "$fn" more >/dev/null
	tvq_destroy "$fn" more
	wait $!
done
works "creation meanwhile"

# needs_reset NAME: the device says so. With requests in flight: 62-dead-disk.
needs_reset()
{
	host device 0 ctl needs-reset "$1"
	wait_for 10 grep -qx 0x0000004f "$(tvq_virtio "$fn" "$1")/status" ||
		fail "$1: status $(cat "$(tvq_virtio "$fn" "$1")/status")"
}

# Its driver is told, at once: nobody waits for what never comes.
needs_reset left
! timeout 5 ping -qc 1 -W 1 -I "$left" 10.9.0.2 >/dev/null || fail "needs a reset and goes on"
timeout 10 ip link set "$left" promisc on || true
needs_reset other
expect_errno EIO dd if="$other" of=/dev/null bs=4k count=1 iflag=direct status=none
needs_reset rng
needs_reset con
timeout 10 dd if="$disk" of=/dev/null bs=64k count=4 iflag=direct status=none || fail "a device that needs no reset"

# tvq/reset brings them back.
echo 1 >"$fn/tvq/reset"
works "managed devices that needed a reset"

# The other way is to bind the driver again.
needs_reset rng
dev=$(tvq_virtio "$fn" rng)
echo "${dev##*/}" >/sys/bus/virtio/drivers/virtio_rng/unbind
echo "${dev##*/}" >/sys/bus/virtio/drivers/virtio_rng/bind
works "a driver that was bound again"

# The function: nothing works until it is reset.
host device 0 ctl needs-reset
wait_for 20 sh -c 'dmesg | grep "needs a reset, all its devices fail"'
expect_errno EIO tvq_create "$fn" 'type=blk name=more capacity=1M'
expect_errno EIO dd if="$other" of=/dev/null bs=4k count=1 iflag=direct status=none
echo 1 >"$fn/tvq/reset"
works "a function that needed a reset"
host device 0 ctl needs-reset
# shellcheck disable=SC2016
wait_for 20 sh -c '[ $(dmesg | grep -c "needs a reset, all its devices fail") = 2 ]'
echo 1 >"$fn/reset"
works "a function-level reset of one that needed it"
io_start "$disk" --size=1M
works "at the end"
io_stop

ip netns del right
for name in disk other left right rng con; do
	tvq_destroy "$fn" $name
done
tvq_unload
