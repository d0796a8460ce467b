#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 1 --device-args '--devices-max 3 --vqs-max 12 --vectors-max 10 --device-vqs-max 8 --device-vectors-max 8 --admin-queues 8 --short-common-cfg'
#
# More than the device has is refused, and what was there goes on. Admin virtqueues are found
# where the vendor capability alone says where they are.
. "${BASH_SOURCE[0]%/*}/lib.sh"

tvq_load
fn=$(tvq_function 0)
cd "$fn/tvq"
[ "$(cat devices_max)" = 3 ] || fail "devices_max"
[ "$(cat vqs_free) $(cat vectors_free)" = '12 10' ] || fail "free at the start"

expect_errno EINVAL tvq_create "$fn" 'type=blk vqs=9'
expect_errno EINVAL tvq_create "$fn" 'type=blk vectors=9'
tvq_create "$fn" 'type=blk name=a vqs=4 vectors=5 capacity=16M'
[ "$(cat vqs_free) $(cat vectors_free) $(cat devices_used)" = '8 5 1' ] || fail "free after one"
expect_errno ENOSPC tvq_create "$fn" 'type=blk name=b vectors=6'
tvq_create "$fn" 'type=blk name=b vqs=8 vectors=4 capacity=16M'
expect_errno ENOSPC tvq_create "$fn" 'type=blk name=c vectors=1'
[ "$(cat vqs_free) $(cat vectors_free) $(cat devices_used)" = '0 1 2' ] || fail "free after two"
tvq_destroy "$fn" b
tvq_create "$fn" 'type=blk name=b vqs=1 vectors=1 capacity=16M'
tvq_create "$fn" 'type=blk name=c vqs=1 vectors=1 capacity=16M'
expect_errno ENOSPC tvq_create "$fn" 'type=blk name=d vectors=1'
[ ! -e by-name/d ] || fail "something came of it"

# Each member is of another one.
[ "$(grep -c ' virtio_tvq-admin$' /proc/interrupts)" = 8 ] || fail "vectors of admin virtqueues"
[ "$(cat by-name/{a,b,c}/vqs | tr '\n' ' ')" = '4 1 1 ' ] || fail "answers of admin virtqueues"

for name in a b c; do
	disk=$(tvq_disk "$fn" $name)
	dd if=/dev/urandom of=/run/pattern bs=1M count=2 status=none
	dd if=/run/pattern of="$disk" bs=1M oflag=direct status=none
	disk_holds "$disk" /run/pattern ||
		fail "$name does not keep its data"
	tvq_destroy "$fn" $name
done
[ "$(cat vqs_free) $(cat vectors_free) $(cat devices_used)" = '12 10 0' ] || fail "free at the end"
cd /
tvq_unload
