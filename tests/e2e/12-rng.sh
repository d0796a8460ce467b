#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 1
#
# A device without configuration space, by number and without a name.
. "${BASH_SOURCE[0]%/*}/lib.sh"

tvq_load
modprobe virtio-rng
fn=$(tvq_function 0)
tvq_create "$fn" type=4
[ -z "$(ls "$fn/tvq/by-name")" ] || fail "a link without a name"
wait_for 10 grep -q virtio_rng /sys/class/misc/hw_random/rng_available
name=$(tr " " "\n" </sys/class/misc/hw_random/rng_available | grep -m 1 virtio_rng || true)
echo "$name" >/sys/class/misc/hw_random/rng_current
[ "$(head -c 4096 /dev/hwrng | sha256sum)" != "$(head -c 4096 /dev/hwrng | sha256sum)" ] ||
	fail "the same numbers twice"
tvq_destroy "$fn" "$(cat "$TVQ_BUS"/tvq0-*/device_id)"
rmmod virtio_rng
tvq_unload
