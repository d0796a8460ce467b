# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# shellcheck shell=bash
#
# What the tests in this directory have in common. A test is a script
# NN-what.sh that sources this file; it runs in the guest as root, passes when
# it exits with 0, and must leave no managed device and no module behind
# unless it found them. Comment lines at the top of a test declare what it
# needs:
#
#	# vm: --devices 2 --smp 4	options of scripts/vm
#	# timeout: 60			seconds (default 120)
#	# kernels: 6.12 debug		where it is run (default: everywhere)
#	# kmemleak: off			for what costs much and allocates little of ours:
#					kmemleak doubles what the debug kernel costs
#
# Tests with the same "vm:" line share a boot.
#
# With pipefail, "cmd | grep -q" fails by luck: grep goes at the first match and
# cmd gets a SIGPIPE. Write "cmd | grep ... >/dev/null".

set -euo pipefail

TVQ_BUS=/sys/bus/virtio_tvq/devices

fail()
{
	echo "FAIL: $* (${BASH_SOURCE[1]##*/}:${BASH_LINENO[0]})" >&2
	exit 1
}

# skip REASON: this test cannot run here. Not for what should work.
skip()
{
	echo "SKIP: $*" >&2
	exit 77
}

trap 'echo "FAIL: ${BASH_SOURCE[0]##*/}:$LINENO: $BASH_COMMAND" >&2' ERR

# wait_for SECONDS CMD...: until CMD succeeds; fails when it has not in time.
wait_for()
{
	local limit=$((SECONDS + $1 + 1))
	shift

	# Slower machines get more time: what is waited for decides.
	[ -n "$TVQ_SLOW" ] && limit=$((limit + limit - SECONDS))
	until "$@" >/dev/null 2>&1; do
		if [ $SECONDS -ge $limit ]; then
			echo "not in time: $*" >&2
			return 1
		fi
		sleep 0.05
	done
}

# wait_gone SECONDS CMD...: until CMD fails.
wait_gone()
{
	wait_for "$1" tvq_not "${@:2}"
}

tvq_not()
{
	! "$@"
}

# bounded SECONDS CMD...: it succeeds, in time. What waits for ever in the kernel cannot be
# killed, and is left: who waits there is in the log.
bounded()
{
	local pid

	"${@:2}" &
	pid=$!
	wait_gone "$1" kill -0 $pid || {
		echo w >/proc/sysrq-trigger
		fail "'${*:2}' does not end"
	}
	wait $pid || fail "'${*:2}' fails"
}

# The system's text for an error; no program is started, because a test may
# ask for dozens and a guest without KVM is slow.
declare -rA ERRNO_TEXT=(
	[E2BIG]="Argument list too long"
	[EBUSY]="Device or resource busy"
	[EEXIST]="File exists"
	[EINVAL]="Invalid argument"
	[EIO]="Input/output error"
	[ENODEV]="No such device"
	[ENOSPC]="No space left on device"
	[EOPNOTSUPP]="Operation not supported"
	[ETIMEDOUT]="Connection timed out"
	[ERANGE]="Numerical result out of range"
)

# expect_errno NAME CMD...: CMD, a shell function or program that prints the
# system's text for an error, must fail with it.
expect_errno()
{
	local name=$1 text=${ERRNO_TEXT[$1]} out rc=0
	shift

	out=$("$@" 2>&1) || rc=$?
	[ $rc -ne 0 ] || fail "'$*' succeeded, $name expected"
	case $out in
	*"$text"*) ;;
	*) fail "'$*': $name ($text) expected, got: $out" ;;
	esac
}

# sysfs_write FILE TEXT: one write(2) of exactly TEXT; prints the error.
sysfs_write()
{
	printf '%s' "$2" >"$1"
}

# pattern TEXT SIZE FILE: SIZE bytes of lines of TEXT.
pattern()
{
	python3 -c 'import sys
text, size = (sys.argv[1] + "\n").encode(), int(sys.argv[2])
sys.stdout.buffer.write((text * (size // len(text) + 1))[:size])' "$1" "$2" >"$3"
}

# disk_holds DISK FILE: does it begin with this? Read past the page cache.
disk_holds()
{
	dd if="$1" bs=64k count="$(($(stat -c %s "$2") >> 16))" iflag=direct status=none |
		cmp -s - "$2"
}

# io_start DISK [FIO-OPTION...]: verified writes by two jobs until io_stop,
# which fails if one of them did.
io_start()
{
	local disk=$1
	shift

	touch /run/io
	(
		trap - ERR
		while [ -e /run/io ]; do
			fio --name=io --filename="$disk" --rw=randwrite --bs=4k --direct=1 \
				--ioengine=libaio --iodepth=4 --numjobs=2 --size=2M \
				--disk_util=0 --offset_increment=2M "$@" \
				--verify=crc32c --verify_fatal=1 --group_reporting --minimal \
				>/run/fio.log 2>&1 || exit 1
		done
	) &
	io_pid=$!
}

io_stop()
{
	rm -f /run/io
	wait "$io_pid" || fail "fio: $(cat /run/fio.log)"
}

# --- the driver -------------------------------------------------------------

tvq_loaded()
{
	[ -d /sys/module/virtio_tvq ]
}

# tvq_insmod NAME [PARAM=VALUE...]: with the modules that it depends on.
tvq_insmod()
{
	local name=$1 dep deps
	shift

	deps=$(modinfo -F depends "$TVQ_MODULES/$name.ko")
	for dep in ${deps//,/ }; do
		[ -d "/sys/module/${dep//-/_}" ] && continue
		if [ -e "$TVQ_MODULES/$dep.ko" ]; then
			tvq_insmod "$dep"
		else
			modprobe "$dep"
		fi
	done
	insmod "$TVQ_MODULES/$name.ko" "$@"
}

# tvq_load [PARAM=VALUE...]: the driver, and the drivers for what it makes.
# There is no udev in the guest that would load those.
tvq_load()
{
	modprobe -a virtio_blk virtio_net
	tvq_loaded || tvq_insmod virtio_tvq "$@"
}

tvq_unload()
{
	rmmod virtio_tvq
}

# tvq_functions: sysfs directories of the management devices' functions, in
# the order of the devices' numbers.
tvq_functions()
{
	local dir

	for dir in /sys/bus/pci/devices/*/tvq; do
		[ -d "$dir" ] && echo "${dir%/tvq}"
	done
	return 0
}

# tvq_function N: the sysfs directory of management device N.
tvq_function()
{
	tvq_functions | sed -n "$(($1 + 1))p" | grep .
}

# tvq_create FUNCTION 'type=blk name=x ...'
tvq_create()
{
	sysfs_write "$1/tvq/create" "$2"
}

# tvq_destroy FUNCTION NAME-OR-ID
tvq_destroy()
{
	sysfs_write "$1/tvq/destroy" "$2"
}

# disk_busy DISK: are requests in flight?
disk_busy()
{
	local in out

	read -r in out <"/sys/block/${1##*/}/inflight"
	[ $((in + out)) -gt 0 ]
}

# tvq_device FUNCTION NAME: sysfs directory of the managed device.
tvq_device()
{
	realpath -e "$1/tvq/by-name/$2"
}

# tvq_virtio FUNCTION NAME: sysfs directory of its virtio device.
tvq_virtio()
{
	local dir

	dir=$(tvq_device "$1" "$2")
	realpath -e "$dir"/virtio[0-9]*
}

# tvq_disk FUNCTION NAME: its block device, waiting for it to appear.
tvq_disk()
{
	local dir

	dir=$(tvq_virtio "$1" "$2")
	wait_for 20 compgen -G "$dir/block/*"
	dir=$(echo "$dir"/block/*)
	wait_for 20 test -b "/dev/${dir##*/}"
	echo "/dev/${dir##*/}"
}

# tvq_netdev FUNCTION NAME: its network interface, waiting for it to appear.
tvq_netdev()
{
	local dir

	dir=$(tvq_virtio "$1" "$2")
	wait_for 20 compgen -G "$dir/net/*"
	dir=$(echo "$dir"/net/*)
	echo "${dir##*/}"
}

# tvq_irqs FUNCTION NAME: the interrupt numbers of a managed device.
tvq_irqs()
{
	local dir

	dir=$(tvq_device "$1" "$2")
	ls "$dir/msi_irqs" 2>/dev/null
}

# plain_function N: the sysfs directory of the PCI function of the N-th --pci.
plain_function()
{
	local port

	port=$(printf '0000:00:%02x.%x' $((0x14 + $1 / 8)) $(($1 % 8)))
	realpath -e "/sys/bus/pci/devices/$port"/0000:*:00.0
}

# plain_virtio N: sysfs directory of its virtio device.
plain_virtio()
{
	realpath -e "$(plain_function "$1")"/virtio[0-9]*
}

# plain_disk N: its block device.
plain_disk()
{
	wait_for 20 compgen -G "$(plain_virtio "$1")/block/*"
	echo "/dev/$(ls "$(plain_virtio "$1")/block")"
}

# plain_netdev N: its network interface.
plain_netdev()
{
	wait_for 20 compgen -G "$(plain_virtio "$1")/net/*"
	ls "$(plain_virtio "$1")/net"
}

# tvq_left: names of managed devices that exist.
tvq_left()
{
	local dir

	for dir in "$TVQ_BUS"/*; do
		[ -e "$dir" ] && echo "${dir##*/}"
	done
	return 0
}
