#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 1
# kernels: debug
# timeout: 600
# kmemleak: off
#
# A device that lies, by seeds that are printed, to each command that its driver
# sends. Nothing hangs, nothing is reported, and when the device tells the truth again, a
# reset brings everything back. Arguments are other seeds to take: random, or one to see
# again.
. "${BASH_SOURCE[0]%/*}/lib.sh"

seeds=(1 2)
[ $# -eq 0 ] || seeds=("$@")
# For each seed: answers to what only asks; devices that come and go; resets;
# queues that end by their rings; and seconds with all of it
questions=50000
lives=36
resets=8
rings=2
seconds=4
replies=100000		# in all
binds=4
told=()
# Lies by command, of those that the driver sends while its device answers. What a reset
# or a stop alone asks for comes too seldom to count on.
declare -A least=(
	[LIMITS]=1000 [MEMBER_GET]=1000 [LIST]=10 [DESCRIBE]=10 [CREATE]=8 [DESTROY]=5
	[NEGOTIATE]=4 [SET_STATUS]=2 [VQ_SETUP]=3 [GET_CONFIG]=2 [SET_CONFIG]=2
	[RESET]=8 [VQ_RESET]=5 [MSI_SET]=1
)

# What went wrong goes wrong again by the same seeds, as far as a guest does the same again.
finish()
{
	local rc=$?

	[ $rc -eq 0 ] || echo "once more: scripts/vm --kernel debug --devices 1" \
		"run tests/e2e/64-hostile.sh ${told[*]}"
	exit $rc
}
trap finish EXIT

dma_free()
{
	cat /sys/kernel/debug/dma-api/num_free_entries
}

# But for what the guest's own devices map from moment to moment
dma_is_back()
{
	[ $((free - $(dma_free))) -le 64 ]
}

[ -d /sys/kernel/debug/dma-api ] || mount -t debugfs none /sys/kernel/debug
modprobe -a virtio_blk virtio_net virtio_console virtio_rng
free=$(dma_free)
# What is not answered for its queue has ended, is not to take the whole time.
tvq_load timeout_ms=3000
fn=$(tvq_function 0)
address=${fn##*/}
driver=/sys/bus/pci/drivers/virtio_tvq

hostile()
{
	host device 0 ctl hostile "$@"
}

# count NAME: of what it has done so far; of a command, the lies
count()
{
	local found

	found=$(hostile show | tr ' ' '\n' | sed -n "s/^$1=\([0-9]*\).*/\1/p")
	echo "${found:-0}"
}

# put FILE TEXT: one write, that ends
put()
{
	local rc=0

	printf '%s' "$2" >/run/text
	timeout 60 cp /run/text "$1" 2>/run/said || rc=$?
	[ $rc -ne 124 ] || fail "a write to $1 takes more than 60 s"
	return $rc
}

# lie SEED WHAT: and it is known, here and in the kernel's log, by which seed
lie()
{
	seed=$(hostile "$1,what=$2")
	seed=${seed#seed=}
	seed=${seed%% *}
	echo "hostile: seed $seed, $2" | tee /dev/kmsg
}

carrier()
{
	[ "$(cat "/sys/class/net/$1/carrier")" = 1 ]
}

# What the device has, and nothing else, is on the bus.
tvq_listed()
{
	local ids dirs

	ids=$(host device 0 ctl list | sed -n 's/^id=\([0-9]*\) .*/\1/p' | sort)
	dirs=$(cat "$TVQ_BUS"/*/device_id 2>/dev/null | sort)
	[ "$ids" = "$dirs" ]
}

tvq_none()
{
	[ -z "$(tvq_left)" ] && [ -z "$(host device 0 ctl list)" ]
}

# The truth again: the driver knows all there is, and that works.
honest()
{
	local dir

	hostile off >/dev/null
	[ -e "$fn/driver" ] || put $driver/bind "$address" || fail "cannot be bound"
	put "$fn/tvq/reset" 1 || fail "cannot be reset"
	! grep -v quarantined=0 /sys/kernel/debug/virtio_tvq/tvq[0-9]/commands ||
		fail "commands are left"
	wait_for 20 tvq_listed
	for dir in "$TVQ_BUS"/*; do
		[ -e "$dir" ] || continue
		put "$fn/tvq/destroy" "$(cat "$dir/device_id")" || fail "cannot be destroyed"
	done
	wait_for 20 tvq_none
	tvq_create "$fn" 'type=blk name=disk capacity=4M vqs=2'
	tvq_create "$fn" 'type=net name=net'
	dd if=/run/pattern of="$(tvq_disk "$fn" disk)" bs=64k oflag=direct status=none
	disk_holds "$(tvq_disk "$fn" disk)" /run/pattern || fail "not what was written"
	ip link set "$(tvq_netdev "$fn" net)" up
	wait_for 20 carrier "$(tvq_netdev "$fn" net)"
	tvq_destroy "$fn" disk
	tvq_destroy "$fn" net
	tvq_none || fail "devices are left: $(tvq_left)"
	! grep pMSI- /proc/interrupts || fail "interrupts are left"
}

# packed TYPE: the features of a device for which nothing is asked, with packed rings
packed()
{
	local bits

	tvq_create "$fn" "type=$1 name=default"
	bits=$(cat "$(tvq_device "$fn" default)/features")
	tvq_destroy "$fn" default
	printf '%#x\n' $((0x${bits: -16} | 1 << 34))
}

act()
{
	PYTHONDONTWRITEBYTECODE=1 python3 "$TVQ_SRC/tests/e2e/hostile.py" "$fn" "$@"
}

pattern truth $((1 << 18)) /run/pattern
PACKED_NET=$(packed net)
PACKED_BLK=$(packed blk)
export PACKED_NET PACKED_BLK
for one in "${seeds[@]}"; do
	tvq_create "$fn" 'type=net name=n0'
	tvq_create "$fn" 'type=net name=n1'
	lie "$one" replies
	told+=("$seed")
	act replies "$seed" $questions
	lie "$seed" replies+queues
	act lives "$seed" $lives
	lie "$seed" replies
	act resets "$seed" $resets
	# Each of these ends a queue, with all that is behind it, and is rare for that.
	lie "$seed" rings,rate=1000
	act rings "$seed" $rings
	lie "$seed" all
	act all "$seed" $seconds
	honest
	hostile show
done

# What is read of the function itself, each time that it is bound
bound=0
for ((n = 0; n < binds; n++)); do
	put $driver/unbind "$address" || fail "the driver does not let go"
	# At the lower rate, much is right before something is not.
	lie "$(printf %u $((told[0] + n)))" "function+interrupts,rate=$((n % 2 ? 300 : 1000))"
	put $driver/bind "$address" && bound=$((bound + 1))
	hostile off >/dev/null
	[ -e "$fn/driver" ] || put $driver/bind "$address" || fail "not bound again"
done
echo "bound $bound times of $binds to a function that lies"
honest

! grep 'unhandled [1-9]' /proc/irq/*/virtio_tvq*/../spurious ||
	fail "interrupts that nobody has handled"
hostile show
[ "$(count replies)" -ge $replies ] || fail "not many replies"
[ "$(count reply-lies)" -gt $((replies / 10)) ] || fail "hardly a lie"
[ "$(count reply-lies)" -lt "$(($(count replies) / 2))" ] || fail "lies alone"
[ "$(count ring-lies)" -ge $rings ] || fail "hardly a lie in a ring"
[ "$(count read-lies)" -ge 2 ] || fail "hardly a lie about the function"
[ "$(count use-lies)" -ge 1 ] || fail "no lie about the function while it was in use"
for what in used-lies packed-lies interrupts; do
	[ "$(count $what)" -gt 20 ] || fail "hardly any $what"
done
for what in "${!least[@]}"; do
	[ "$(count "$what")" -ge "${least[$what]}" ] ||
		fail "$(count "$what") lies for $what, not ${least[$what]}"
done
tvq_unload
wait_for 20 dma_is_back || fail "DMA mappings are left: $(dma_free) free, $free before"
