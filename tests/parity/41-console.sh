#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# needs: con0
#
# A console with a terminal and two more ports, all of which give back what they
# are given.
. "${BASH_SOURCE[0]%/*}/lib.sh"

bytes=$(small 100000 30000)
cat >/run/parity-echo.py <<'END'
"""echo BYTES PORT...: what each port gives back of so many bytes of its own."""
import hashlib, os, random, select, sys
size = int(sys.argv[1])
fds = [os.open(path, os.O_RDWR | os.O_NONBLOCK) for path in sys.argv[2:]]
want = {fd: random.Random(n).randbytes(size) for n, fd in enumerate(fds)}
left = dict(want)
got = {fd: b"" for fd in fds}
while any(len(got[fd]) < size for fd in fds):
    readable, writable, _ = select.select(fds, [fd for fd in fds if left[fd]], [], 60)
    if not readable and not writable:
        sys.exit(f"nothing moves: {[len(got[fd]) for fd in fds]} of {size} bytes came back")
    for fd in writable:
        try:
            left[fd] = left[fd][os.write(fd, left[fd][:30000]):]
        except BlockingIOError:
            pass
    for fd in readable:
        got[fd] += os.read(fd, 65536)
for fd in fds:
    if got[fd] != want[fd]:
        sys.exit(f"{fds.index(fd)}: other bytes came back")
    print(f"{fds.index(fd)}:", hashlib.sha256(got[fd]).hexdigest())
END

# port N: the character device of port N of the console, waiting for it.
port()
{
	wait_for 20 compgen -G "$(virtio con0)/virtio-ports/vport*p$1"
	basename "$(virtio con0)/virtio-ports"/vport*p"$1"
}

# ports KEY: their names, of which the first part is the device's own.
ports()
{
	local n

	for n in 0 1 2; do
		wait_for 20 test -c "/dev/$(port $n)"
		# Told in a message of its own, after the port has come.
		wait_for 20 test -e "/sys/class/virtio-ports/$(port $n)/name"
		fact "$1.port.$n" "$(sed 's/.*\././' "/sys/class/virtio-ports/$(port $n)/name")"
	done
	want "$1.ports" 3 "$(find "$(virtio con0)/virtio-ports" -mindepth 1 -maxdepth 1 | wc -l)"
}

# through KEY PORT...
through()
{
	python3 /run/parity-echo.py "$bytes" "${@:2}" | facts "$1"
}

ports first

# The terminal is a line of hvc: of the eight that there are, the one which has a
# device behind it can be opened. It echoes nothing itself, or a byte would go round
# for ever.
python3 - <<'END' | facts hvc
import glob, os, select, termios, tty
def opened():
    for path in sorted(glob.glob("/dev/hvc*")):
        try:
            return path, os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError:
            pass
    raise SystemExit("no terminal")
path, fd = opened()
tty.setraw(fd)
want = bytes(33 + i % 90 for i in range(3000))
got = b""
for at in range(0, len(want), 100):
    part = want[at:at + 100]
    while part:
        select.select([], [fd], [], 60)
        part = part[os.write(fd, part):]
    while len(got) < at + 100:
        if not select.select([fd], [], [], 60)[0]:
            raise SystemExit(f"{len(got)} of {at + 100} bytes came back")
        got += os.read(fd, 4096)
if got != want:
    raise SystemExit("other bytes came back")
print("bytes:", len(got))
# Lines, as the terminal makes them: erased and ended by what was received.
mode = termios.tcgetattr(fd)
mode[tty.IFLAG] |= termios.ICRNL
mode[tty.LFLAG] |= termios.ICANON
termios.tcsetattr(fd, termios.TCSANOW, mode)
os.write(fd, b"abx\x7fc\r")
if not select.select([fd], [], [], 60)[0]:
    raise SystemExit("no line came back")
line = os.read(fd, 4096)
if line != b"abc\n":
    raise SystemExit(f"{line} came back")
print("line:", line)
print("window:", os.get_terminal_size(fd))
END

through one "/dev/$(port 1)"
through both "/dev/$(port 1)" "/dev/$(port 2)"
for n in 0 1 2; do
	exec 5<>"/dev/$(port 2)"
	echo "line $n" >&5
	read -r -t 60 line <&5
	want "again.$n" "line $n" "$line"
	fails "twice.$n" dd if="/dev/$(port 2)" of=/run/parity-twice count=1 status=none
	exec 5>&-
done

name=$(basename "$(virtio con0)")
sysfs_write /sys/bus/virtio/drivers/virtio_console/unbind "$name"
want unbound 0 "$(find "$(virtio con0)/" -path '*virtio-ports/*' | wc -l)"
sysfs_write /sys/bus/virtio/drivers/virtio_console/bind "$name"
ports again
through third "/dev/$(port 2)"
