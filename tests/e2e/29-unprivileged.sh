#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 1
#
# Who is not root makes the driver send no command and changes nothing, whatever he
# reads or writes.
. "${BASH_SOURCE[0]%/*}/lib.sh"

tvq_load
fn=$(tvq_function 0)
trace=/sys/kernel/tracing
[ -d $trace/events ] || mount -t tracefs none $trace
[ -d /sys/kernel/debug/virtio_tvq ] || mount -t debugfs none /sys/kernel/debug
tvq_create "$fn" 'type=blk name=disk capacity=1M'
tvq_create "$fn" 'type=net name=net'
disk=$(tvq_disk "$fn" disk)
tvq_netdev "$fn" net >/dev/null
dirs=("$fn/tvq" "$(tvq_device "$fn" disk)" "$(tvq_device "$fn" net)"
	/sys/kernel/debug/virtio_tvq /sys/module/virtio_tvq)

# attempt ID: read and write all files of these as that user; what could be read, and
# what could be written
cat >/run/attempt.py <<'END'
import os
import sys

os.setgroups([])
os.setgid(int(sys.argv[1]))
os.setuid(int(sys.argv[1]))
for top in sys.argv[3:]:
    for where, _, names in os.walk(top):
        for name in names:
            path = os.path.join(where, name)
            for flags, done in (os.O_RDONLY, "read"), (os.O_WRONLY, "opened to write"):
                if done != "read" and sys.argv[2] == "read":
                    continue
                try:
                    fd = os.open(path, flags | os.O_NONBLOCK)
                except OSError:
                    continue
                try:
                    if flags == os.O_RDONLY:
                        os.read(fd, 4096)
                    print(done, path)
                except OSError:
                    pass
                os.close(fd)
END
commands()
{
	grep -c ': tvq_[a-z]*_post: ' $trace/trace || true
}

before=$(ls "$fn/tvq/by-name")
echo 1 >$trace/events/virtio_tvq/enable
: >$trace/trace
python3 /run/attempt.py 65534 write "${dirs[@]}" >/run/nobody
ip link show >/dev/null
echo 0 >$trace/events/virtio_tvq/enable
! grep 'opened to write' /run/nobody || fail "somebody may write who is not root"
! grep debug/virtio_tvq /run/nobody || fail "somebody may look who is not root"
grep '^read.*/device_id' /run/nobody >/dev/null || fail "nothing can be read"
[ "$(commands)" = 0 ] || fail "commands: $(grep '_post: ' $trace/trace)"

# It is the user that makes the difference.
echo 1 >$trace/events/virtio_tvq/enable
python3 /run/attempt.py 0 read "${dirs[@]}" >/run/root
echo 0 >$trace/events/virtio_tvq/enable
[ "$(commands)" -gt 0 ] || fail "root's reading sends no command either"
[ "$(wc -l </run/root)" -gt "$(grep -c ^read /run/nobody)" ] || fail "root reads no more"

[ "$(ls "$fn/tvq/by-name")" = "$before" ] || fail "something has changed"
dd if="$disk" of=/dev/null bs=64k count=1 iflag=direct status=none
tvq_destroy "$fn" disk
tvq_destroy "$fn" net
tvq_unload
