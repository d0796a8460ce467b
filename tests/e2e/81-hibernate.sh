#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 1 --disk 1G --append 'tvq.ram tvq.resume'
# kernels: 6.12 7.2 rt
# timeout: 400
#
# Hibernation, with devices of each type in use, through a reboot in which the
# device process lives on. What the other side changes meanwhile shows up afterwards.
. "${BASH_SOURCE[0]%/*}/lib.sh"
. "${BASH_SOURCE[0]%/*}/sleep.sh"

tvq_load
mkswap -q /dev/vda
swapon /dev/vda
sleep_devices "$(tvq_function 0)"
tvq_create "$fn" 'type=blk name=gone capacity=1M'
gone=$(tvq_disk "$fn" gone)
before=$(sleep_names)
sleep_writers
sleep_check "at the start"

# A reset of the machine is otherwise the end of the guest.
host qmp '{"execute": "set-action", "arguments": {"reboot": "reset"}}' >/dev/null
echo reboot >/sys/power/disk
# As small an image as there can be.
echo 0 >/sys/power/image_size
cat /sys/block/vda/dev >/sys/power/resume
# Said by the kernel that boots to read the image.
asleep='Linux version'
host after "$asleep" device 0 ctl remove gone
host after "$asleep" device 0 ctl add type=net name=new
host after "$asleep" device 0 ctl resize idle 24M
echo disk >/sys/power/state
host qmp '{"execute": "set-action", "arguments": {"reboot": "shutdown"}}' >/dev/null
dmesg | grep 'PM: hibernation: hibernation exit' >/dev/null || fail "no hibernation"
wait_gone 20 test -e "$fn/tvq/by-name/gone"
wait_gone 20 test -e "/sys/block/${gone##*/}"
wait_for 20 test -e "$fn/tvq/by-name/new"
tvq_netdev "$fn" new >/dev/null
wait_for 20 grep -qx $((24 << 11)) "/sys/block/${idle##*/}/size"
tvq_destroy "$fn" new
before=$(grep -v '^gone ' <<<"$before")
sleep_check "after hibernation"
sleep_written
sleep_end
swapoff /dev/vda
tvq_unload
