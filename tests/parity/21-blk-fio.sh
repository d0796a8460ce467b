#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# needs: disk0
# timeout: 180
#
# Verified input and output by fio, in all the ways that applications have.
. "${BASH_SOURCE[0]%/*}/lib.sh"

disk=$(disk disk0)
size=$(small 2M 1M)
cat >/run/parity.fio <<END
[global]
filename=$disk
size=$size
offset_increment=$size
verify=crc32c
verify_fatal=1
group_reporting
thread
bs=4k
cpus_allowed=0-1
cpus_allowed_policy=split

[direct]
stonewall
rw=randrw
direct=1
ioengine=libaio
iodepth=16
numjobs=4

[uring]
stonewall
rw=randwrite
direct=1
ioengine=io_uring
iodepth=16
numjobs=2
bs=16k

[threads]
stonewall
rw=randrw
direct=1
ioengine=psync
numjobs=4

[buffered]
stonewall
rw=randrw
ioengine=psync
fsync=16
numjobs=2

[o_sync]
stonewall
rw=write
ioengine=psync
sync=1
bs=16k

[o_dsync]
stonewall
rw=randwrite
direct=1
ioengine=psync
sync=dsync
bs=32k

[big]
stonewall
rw=write
direct=1
ioengine=libaio
iodepth=4
bs=1M

[odd]
stonewall
rw=randwrite
direct=1
ioengine=libaio
iodepth=8
bsrange=512-64k
bs_unaligned=0
verify=md5

# Beside the one before.
[trim]
new_group
offset=64M
rw=randtrim
direct=1
ioengine=psync
bs=64k
verify=0

[trimwrite]
stonewall
rw=trimwrite
direct=1
ioengine=psync
bs=64k
verify=0
END
fio --output-format=json --output=/run/parity.json /run/parity.fio
jq -r '.jobs[] | .jobname as $job | "\($job).error=\(.error)",
	(["read", "write", "trim"][] as $d | "\($job).\($d)=\(.[$d].total_ios)"),
	"\($job).sync=\(.sync.total_ios)"' <(sed -n '/^{/,$p' /run/parity.json) | facts fio

# Not by fio: its mmap engine says MADV_REMOVE to what is mapped, which on a
# disk punches holes into what it has just written.
python3 - "$disk" <<'END'
import mmap, os, sys
size = 1 << 20
data = bytes(i * i >> 8 & 0xff for i in range(size))
fd = os.open(sys.argv[1], os.O_RDWR)
with mmap.mmap(fd, size) as mapped:
    for i in reversed(range(0, size, 4096)):
        mapped[i:i + 4096] = data[i:i + 4096]
    mapped.flush()
os.close(fd)
fd = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECT)
buffer = mmap.mmap(-1, size)
assert os.readv(fd, [buffer]) == size and buffer[:] == data
END
fact mmap 0
