#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 1 --append tvq.kexec=0
# kernels: 6.12 7.2 rt
# timeout: 120
#
# kexec into the same kernel while a disk is written to: the device is quiet when the
# next kernel begins, which finds what was provisioned, and what was acknowledged.
# There, this test is run again from its beginning, and told so on the command
# line. The debug kernel has no kexec_file_load().
. "${BASH_SOURCE[0]%/*}/lib.sh"
. "${BASH_SOURCE[0]%/*}/sleep.sh"

read -r cmdline </proc/cmdline
stage=${cmdline##*tvq.kexec=}
if [ "$stage" != 0 ]; then
	# Before a driver has touched it.
	active=$(host device 0 ctl list | sed -E '/ status=0( |$)/d')
	[ -z "$active" ] || fail "active after kexec: $active"
	host device 0 log | grep 'bus mastering is off' | tail -n 1 |
		grep 'memory space on, status 0$' >/dev/null ||
		fail "the function was not reset before kexec"
fi
tvq_load
fn=$(tvq_function 0)
if [ "$stage" = 0 ]; then
	sleep_devices "$fn"
	ids=$(cat "$fn"/tvq/by-name/*/device_id | xargs)
	sleep_writers
	for cpu in 0 1; do
		wait_for 40 sleep_beyond $cpu $SLEEP_BLOCKS
	done
	sleep_check "before"
	python3 -c '
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
kernel, initrd = (os.open(name, os.O_RDONLY) for name in sys.argv[1:3])
cmdline = sys.argv[3].encode() + b"\0"
KEXEC_FILE_LOAD, CMD_KEXEC = 320, 0x45584543
if libc.syscall(KEXEC_FILE_LOAD, kernel, initrd, len(cmdline), cmdline, 0):
    sys.exit("kexec_file_load: " + os.strerror(ctypes.get_errno()))
libc.reboot(CMD_KEXEC)
' /tvq/boot/vmlinuz /tvq/out/initrd "$cmdline tvq.kexec=$(echo "$ids" | tr ' ' ,):$(sleep_count 0):$(sleep_count 1):$(sha256sum </run/idle | cut -c 1-16)"
	fail "no kexec"
fi

IFS=: read -r ids done0 done1 sum <<<"$stage"
[ "$(cat "$fn"/tvq/by-name/*/device_id | xargs | tr ' ' ,)" = "$ids" ] || fail "other devices"
[ "$(dd if="$(tvq_disk "$fn" idle)" bs=64k count=16 iflag=direct status=none |
	sha256sum | cut -c 1-16)" = "$sum" ] || fail "the disk that was idle"
disk=$(tvq_disk "$fn" disk)
sleep_kept "$done0" "$done1"
# And all of it works.
left=$(tvq_netdev "$fn" left)
ip link set "$left" up
wait_for 10 grep -q 1 "/sys/class/net/$left/carrier"
io_start "$disk"
for name in idle left right rng con; do
	tvq_destroy "$fn" $name
done
io_stop
tvq_destroy "$fn" disk
tvq_unload
