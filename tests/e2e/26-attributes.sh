#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 1
#
# What a managed device is provisioned with can be changed while it has no driver, and
# the driver that comes then finds it.
. "${BASH_SOURCE[0]%/*}/lib.sh"

tvq_load
fn=$(tvq_function 0)
tvq_create "$fn" 'type=net name=t vqs=1'
netdev=$(tvq_netdev "$fn" t)
dev=$(realpath "$fn/tvq/by-name/t")
name=${dev##*/}
drv=/sys/bus/virtio_tvq/drivers/virtio_tvq

provision()
{
	sysfs_write "$dev/$1" "$2"
}

old=$(cat "$dev/mac" "$dev/mtu" "$dev/vqs" "$dev/vectors" "$dev/features" "$dev/num_vqs")
[ "$(cat "$dev/mac")" = "$(cat "/sys/class/net/$netdev/address")" ] || fail "mac"
for attr in mac=02:00:00:00:00:17 mtu=1400 vqs=2 vectors=5 features=0x300000020; do
	expect_errno EBUSY provision "${attr%%=*}" "${attr#*=}"
done
sysfs_write $drv/unbind "$name"
expect_errno EINVAL provision mac 03:00:00:00:00:17
expect_errno EINVAL provision mac 17
expect_errno ERANGE provision mtu 67
expect_errno ERANGE provision vqs 0
expect_errno ERANGE provision vectors 2049
expect_errno EINVAL provision features 0x100000000
expect_errno EINVAL provision vqs 1024
expect_errno EINVAL provision features 0xffffffffffffffff
[ "$(cat "$dev/mac" "$dev/mtu" "$dev/vqs" "$dev/vectors" "$dev/features" "$dev/num_vqs")" = "$old" ] ||
	fail "what was refused has changed something"

provision mac 02:00:00:00:00:17
provision vqs 2
provision vectors 4
[ "$(cat "$dev/mac")" = 02:00:00:00:00:17 ] || fail "mac"
[ "$(cat "$dev/vqs")" = 2 ] || fail "vqs"
[ "$(cat "$dev/num_vqs")" = 5 ] || fail "num_vqs"
[ "$(cat "$dev/num_vectors")" = 4 ] || fail "num_vectors"
sysfs_write $drv/bind "$name"
netdev=$(tvq_netdev "$fn" t)
[ "$(cat "/sys/class/net/$netdev/address")" = 02:00:00:00:00:17 ] || fail "address"
[ -d "/sys/class/net/$netdev/queues/rx-1" ] || fail "one pair of queues"
expect_errno EBUSY provision mac 02:00:00:00:00:18

# It lasts.
echo 1 >"$fn/tvq/reset"
[ "$(cat "$dev/mac")" = 02:00:00:00:00:17 ] || fail "mac after a reset"
tvq_unload
tvq_load
fn=$(tvq_function 0)
dev=$(realpath "$fn/tvq/by-name/t")
[ "$(cat "$dev/mac")" = 02:00:00:00:00:17 ] || fail "mac after a reload"
[ "$(cat "$dev/num_vqs")" = 5 ] || fail "num_vqs after a reload"
tvq_destroy "$fn" t
tvq_unload
