#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 1
#
# Commands that are not answered end at their deadline, and nothing of them is freed as
# long as the device may still write to it; a reset ends that.
. "${BASH_SOURCE[0]%/*}/lib.sh"

tvq_load timeout_ms=3000
fn=$(tvq_function 0)
[ -d /sys/kernel/debug/virtio_tvq ] || mount -t debugfs none /sys/kernel/debug
tvq_create "$fn" 'type=blk name=disk capacity=1M'
name=$(basename "$(tvq_device "$fn" disk)")
commands=/sys/kernel/debug/virtio_tvq/${name%-*}/commands

# counts QUEUES KEY: the sum over the admin queues, or that of the transport queue
counts()
{
	awk -v queues="$1" -v key="$2" '
	$1 ~ "^" queues {
		for (i = 2; i <= NF; i++)
			if (split($i, word, "=") == 2 && word[1] == key)
				sum += word[2]
	}
	END { print sum + 0 }' "$commands"
}

# expect QUEUES KEY NUMBER
expect()
{
	[ "$(counts "$1" "$2")" = "$3" ] || fail "$1: $2=$3 expected: $(cat "$commands")"
}

attribute()
{
	cat "$(tvq_device "$fn" disk)/vqs"
}

[ "$(cat /sys/module/virtio_tvq/parameters/timeout_ms)" = 3000 ] || fail "the parameter"
attribute >/run/vqs
for queues in transport admin; do
	expect $queues quarantined 0
	expect $queues expired 0
	expect $queues broken 0
done

# One command; nothing else is answered, so the queue is given up.
host device 0 ctl admin hold
start=$EPOCHREALTIME
expect_errno ETIMEDOUT attribute
awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { exit b - a < 3 }' || fail "not at its deadline"
broken()
{
	[ "$(counts admin broken)" = 1 ]
}
wait_for 20 broken || fail "not given up: $(cat "$commands")"
# The command, and the one that asked whether the queue still works.
expect admin quarantined 2
expect admin expired 2
expect_errno EIO attribute
expect admin in_flight 0
# The other queue is another one.
expect transport expired 0
expect transport broken 0
tvq_create "$fn" 'type=net name=other'
tvq_destroy "$fn" other

echo 1 >"$fn/tvq/reset"
host device 0 ctl admin go
for queues in transport admin; do
	expect $queues quarantined 0
	expect $queues broken 0
done
attribute | cmp - /run/vqs || fail "another answer after the reset"
tvq_disk "$fn" disk >/dev/null
tvq_destroy "$fn" disk

# A device that answers each command just before its deadline does not keep those who let go
# of it: what is left of its list is not asked for any more.
hits()
{
	local told

	told=$(host device 0 ctl fault show)
	told=${told##* hits=}
	echo "${told%% *}"
}
described()
{
	[ "$(hits)" -ge 1 ]
}
# They come all at once.
host device 0 ctl fault kind=fail times=all command=LIST >/dev/null
for ((i = 0; i < 6; i++)); do
	[ $i -lt 5 ] ||
		host device 0 ctl fault kind=delay ms=2500 times=all command=DESCRIBE >/dev/null
	host device 0 ctl add type=net name=slow$i >/dev/null
done
wait_for 20 described
echo "${fn##*/}" >/run/name
cp /run/name /sys/bus/pci/drivers/virtio_tvq/unbind
[ "$(hits)" -lt 6 ] || fail "all of them were described before the driver let go"
host device 0 ctl fault off >/dev/null
for ((i = 0; i < 6; i++)); do
	host device 0 ctl remove slow$i
done
cp /run/name /sys/bus/pci/drivers/virtio_tvq/bind
tvq_create "$fn" 'type=net name=after'
tvq_destroy "$fn" after
tvq_unload
