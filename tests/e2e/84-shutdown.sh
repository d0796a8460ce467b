#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 1 --append tvq.reboot
# timeout: 150
#
# An orderly reboot while devices are in use: it does not hang, and the function is
# reset, by its driver, before the machine is. After it this test is run again from
# its beginning, and knows that by the devices that it finds.
. "${BASH_SOURCE[0]%/*}/lib.sh"
. "${BASH_SOURCE[0]%/*}/sleep.sh"

tvq_load
fn=$(tvq_function 0)
if [ ! -e "$fn/tvq/by-name/disk" ]; then
	sleep_devices "$fn"
	sleep_writers
	for cpu in 0 1; do
		wait_for 40 sleep_beyond $cpu $SLEEP_BLOCKS
	done
	ip netns exec right ping -qf 10.9.0.1 >/dev/null &
	sleep_check "before"
	# What is acknowledged by now is noted on the other disk.
	printf '%-511s\n' "$(sleep_count 0) $(sleep_count 1)" |
		dd of="$idle" bs=512 seek=2048 oflag=direct status=none
	# A reset of the machine is otherwise the end of the guest.
	host qmp '{"execute": "set-action", "arguments": {"reboot": "reset"}}' >/dev/null
	python3 -c 'import ctypes; ctypes.CDLL(None).reboot(0x01234567)'
	fail "no reboot"
fi

host qmp '{"execute": "set-action", "arguments": {"reboot": "shutdown"}}' >/dev/null
# QEMU turns bus mastering off, too, but the memory space with it; and it resets
# the function twice.
host device 0 log | awk '
	/bus mastering is off/ { off = $0 }
	/the client resets the function/ && off { before = off; off = "" }
	END {
		if (before !~ /memory space on, status 0$/) {
			print "when the machine was reset: " before
			exit 1
		}
	}' || fail "the driver has not reset the function"

idle=$(tvq_disk "$fn" idle)
disk=$(tvq_disk "$fn" disk)
read -r done0 done1 < <(dd if="$idle" bs=512 skip=2048 count=1 iflag=direct status=none)
sleep_kept "$done0" "$done1"
for name in disk idle left right rng con; do
	tvq_destroy "$fn" $name
done
tvq_unload
