#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 1
#
# A console with three ports, which give back what is written to them: the console
# and two ports with names. It is removed while a port is open.
. "${BASH_SOURCE[0]%/*}/lib.sh"

tvq_load
modprobe virtio_console
fn=$(tvq_function 0)
case " $(cat "$fn/tvq/types") " in
*" console "*) ;;
*) fail "no type console" ;;
esac
tvq_create "$fn" 'type=console name=con vqs=3'
[ "$(cat "$(tvq_device "$fn" con)/type")" = console ] || fail "type"
[ "$(cat "$(tvq_device "$fn" con)/num_vqs")" = 8 ] || fail "num_vqs"

# port N: the character device of the port with that name, waiting for it.
port()
{
	local name

	wait_for 20 grep -qx "con.$1" /sys/class/virtio-ports/*/name
	name=$(grep -lx "con.$1" /sys/class/virtio-ports/*/name)
	name=${name%/name}
	wait_for 20 test -c "/dev/${name##*/}"
	echo "/dev/${name##*/}"
}

ports=("$(port 0)" "$(port 1)" "$(port 2)")

# The console is a terminal, the one of eight that can be opened. If it echoed, it and
# the port would go on for ever; it forgets what it was told when it is closed.
python3 - <<'PYTHON'
import glob, os, select, tty
def opened():
    for path in sorted(glob.glob("/dev/hvc*")):
        try:
            return os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError:
            pass
    raise SystemExit("no terminal")
fd = opened()
tty.setraw(fd)
want = bytes(33 + i % 90 for i in range(3000))
got = b""
for at in range(0, len(want), 100):
    part = want[at:at + 100]
    while part:
        select.select([], [fd], [], 20)
        part = part[os.write(fd, part):]
    while len(got) < at + 100:
        assert select.select([fd], [], [], 20)[0], f"{len(got)} of {at + 100} bytes came back"
        got += os.read(fd, 4096)
assert got == want, "other bytes"
PYTHON

# The ports, both at once, with more than they hold
python3 - "${ports[@]:1}" <<'PYTHON'
import os, random, select, sys
fds = [os.open(path, os.O_RDWR | os.O_NONBLOCK) for path in sys.argv[1:]]
want = {fd: random.Random(fd).randbytes(300000) for fd in fds}
left = dict(want)
got = {fd: b"" for fd in fds}
while any(len(got[fd]) < len(want[fd]) for fd in fds):
    readable, writable, _ = select.select(fds, [fd for fd in fds if left[fd]], [], 20)
    assert readable or writable, "nothing moves"
    for fd in writable:
        try:
            left[fd] = left[fd][os.write(fd, left[fd][:30000]):]
        except BlockingIOError:
            pass
    for fd in readable:
        got[fd] += os.read(fd, 65536)
assert got == want, "other bytes"
PYTHON

# Closed, and opened again
for ((i = 0; i < 3; i++)); do
	exec 5<>"${ports[1]}"
	echo "line $i" >&5
	read -r -t 20 line <&5
	[ "$line" = "line $i" ] || fail "'$line' instead of 'line $i'"
	exec 5>&-
done

# Bound again: the same ports
name=$(basename "$(tvq_virtio "$fn" con)")
echo "$name" >/sys/bus/virtio/drivers/virtio_console/unbind
[ -z "$(ls /sys/class/virtio-ports)" ] || fail "ports without a driver"
echo "$name" >/sys/bus/virtio/drivers/virtio_console/bind
ports[2]=$(port 2)

# Removed while it is open, and read from
exec 5<>"${ports[2]}"
(trap - ERR; read -r -t 60 line <&5 || true; : >/run/reader) &
reader=$!
tvq_destroy "$fn" con
wait_for 20 test -e /run/reader
wait $reader
rm /run/reader
! echo more >&5 2>/dev/null || fail "written to a port that is gone"
exec 5>&-
[ -z "$(ls /sys/class/virtio-ports)" ] || fail "ports without a device"

# One port, without the feature for more (bits 32 and 33 alone)
tvq_create "$fn" 'type=console features=0x300000000'
expect_errno EINVAL tvq_create "$fn" 'type=console vqs=2 features=0x300000000'
id=$(cat "$TVQ_BUS"/tvq0-*/device_id)
[ "$(cat "$TVQ_BUS/tvq0-$id/num_vqs")" = 2 ] || fail "num_vqs of a simple console"
tvq_destroy "$fn" "$id"
tvq_unload
