#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# needs: rng0
#
# Random numbers, by way of /dev/hwrng.
. "${BASH_SOURCE[0]%/*}/lib.sh"

cd /sys/class/misc/hw_random
wait_for 20 grep virtio_rng rng_available
name=$(tr ' ' '\n' <rng_available | grep virtio_rng)
fact name "$name"
fact quality "$(<rng_quality)"
fact before "$(<rng_current)"
succeeds select sysfs_write rng_current "$name"
fact current "$(<rng_current)"
fact selected "$(<rng_selected)"
for size in 1 7 64 65 4096 40000; do
	want "read.$size" $size "$(dd if=/dev/hwrng bs=$size count=1 iflag=fullblock status=none | wc -c)"
done
one=$(head -c 64 /dev/hwrng | sha256sum)
two=$(head -c 64 /dev/hwrng | sha256sum)
[ "$one" != "$two" ] || fail "the same numbers twice"
# Compressed, random numbers do not get shorter.
want dense 1 "$(($(head -c 20000 /dev/hwrng | gzip -c | wc -c) > 20000))"
# Each of four readers gets what it asks for.
readers()
{
	trap - ERR
	for _ in 1 2 3 4; do
		head -c 10000 /dev/hwrng | wc -c &
	done
	wait
}
want parallel "10000 10000 10000 10000 " "$(readers | tr '\n' ' ')"
