#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 1 --append tvq.kexec=0
# kernels: 6.12 7.2
# timeout: 120
#
# kexec into the same kernel while a disk is written to: the device is quiet when the
# next kernel begins, which finds what was provisioned, and what was acknowledged.
# There, this test is run again from its beginning, and told so on the command
# line. The debug kernel has no kexec_file_load().
. "${BASH_SOURCE[0]%/*}/lib.sh"
. "${BASH_SOURCE[0]%/*}/sleep.sh"

tvq_load
fn=$(tvq_function 0)
read -r cmdline </proc/cmdline
stage=${cmdline##*tvq.kexec=}
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
' /tvq/boot/vmlinuz /tvq/out/initrd "$cmdline tvq.kexec=$(echo "$ids" | tr ' ' ,):$(cat /run/done0):$(cat /run/done1):$(sha256sum </run/idle | cut -c 1-16)"
	fail "no kexec"
fi

IFS=: read -r ids _ _ sum <<<"$stage"
[ "$(cat "$fn"/tvq/by-name/*/device_id | xargs | tr ' ' ,)" = "$ids" ] || fail "other devices"
[ "$(dd if="$(tvq_disk "$fn" idle)" bs=64k count=16 iflag=direct status=none |
	sha256sum | cut -c 1-16)" = "$sum" ] || fail "the disk that was idle"
disk=$(tvq_disk "$fn" disk)
for cpu in 0 1; do
	last=done$cpu
	dd if="$disk" bs=4k skip=$((cpu * SLEEP_BLOCKS)) count=$SLEEP_BLOCKS iflag=direct status=none |
	awk -v cpu=$cpu -v last="${!last}" -v blocks=$SLEEP_BLOCKS '
		$1 != cpu || $2 % blocks != NR - 1 || $2 <= last - blocks {
			print "block " NR - 1 " of " cpu ": " $1 " " $2 ", acknowledged: " last
			bad = 1 }
		END { exit bad || NR != blocks }' || fail "what was acknowledged is lost"
done
# And all of it works.
left=$(tvq_netdev "$fn" left)
ip link set "$left" up
wait_for 10 grep -q 1 "/sys/class/net/$left/carrier"
io_start "$disk"
for name in idle left right rng; do
	tvq_destroy "$fn" $name
done
io_stop
tvq_destroy "$fn" disk
tvq_unload
