#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 1 --disk 1G --append 'tvq.ram tvq.resume'
# timeout: 180
#
# Suspend to idle, with devices of each type in use: they stay what they are, and
# nothing that was acknowledged is lost. What the other side changes meanwhile
# shows up afterwards.
. "${BASH_SOURCE[0]%/*}/lib.sh"
. "${BASH_SOURCE[0]%/*}/sleep.sh"

suspend()
{
	local count

	count=$(cat /sys/power/suspend_stats/success)
	host wake "$1"
	echo freeze >/sys/power/state
	[ "$(cat /sys/power/suspend_stats/success)" = $((count + 1)) ] || fail "did not sleep"
}

# The clock does not wake a guest of QEMU from this: what comes on a serial line
# does.
echo enabled >/sys/class/tty/ttyS2/power/wakeup
tvq_load
sleep_devices "$(tvq_function 0)"
tvq_create "$fn" 'type=blk name=gone capacity=1M'
gone=$(tvq_disk "$fn" gone)
before=$(sleep_names)
sleep_writers
sleep_check "at the start"
suspend 1
sleep_check "after the first time"

# The other side does not sleep.
asleep='Freezing remaining freezable tasks completed'
host after "$asleep" device 0 ctl remove gone
host after "$asleep" device 0 ctl add type=net name=new
host after "$asleep" device 0 ctl resize idle 24M
suspend 2
wait_gone 20 test -e "$fn/tvq/by-name/gone"
wait_gone 20 test -e "/sys/block/${gone##*/}"
wait_for 20 test -e "$fn/tvq/by-name/new"
tvq_netdev "$fn" new >/dev/null
wait_for 20 grep -qx $((24 << 11)) "/sys/block/${idle##*/}/size"
tvq_destroy "$fn" new
before=$(grep -v '^gone ' <<<"$before")
sleep_check "after changes"
sleep_written
sleep_end
tvq_unload
