#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 1
#
# A device is brought up with four commands, of which three are waited for,
# whatever the number of its queues. Read off the trace events. Where interrupts
# are not remapped, x86 moves one to another CPU when it comes in for the first
# time: so the vectors that are spread may each be moved once, by a command that
# is posted behind these.
. "${BASH_SOURCE[0]%/*}/lib.sh"

tvq_load
fn=$(tvq_function 0)
trace=/sys/kernel/tracing
[ -d $trace/events ] || mount -t tracefs none $trace

commands()
{
	grep -o "$1:.*" $trace/trace | sed -n 's/.*device_id=\([0-9]*\) .*(\([A-Z_]*\)).*/\2/p' | xargs
}

for spec in 'type=blk name=t vqs=1' 'type=blk name=t vqs=8' 'type=net name=t vqs=1'; do
	: >$trace/trace
	echo 1 >$trace/events/virtio_tvq/enable
	tvq_create "$fn" "$spec"
	if [[ $spec = *blk* ]]; then tvq_disk "$fn" t; else tvq_netdev "$fn" t; fi
	wait_for 10 grep -q 'tvq_cmd_done.*SET_STATUS' $trace/trace
	echo 0 >$trace/events/virtio_tvq/enable
	[[ $(commands tvq_cmd_post) =~ ^'CREATE NEGOTIATE SETUP_VQS SET_STATUS'( MSI_SET)*$ ]] ||
		fail "$spec: $(commands tvq_cmd_post)"
	[[ $(commands tvq_cmd_done) =~ ^'CREATE NEGOTIATE SETUP_VQS SET_STATUS'( MSI_SET)*$ ]] ||
		fail "$spec: $(commands tvq_cmd_done)"
	[ "$(grep 'tvq_cmd_post' $trace/trace | grep -vc 'posted$')" = 3 ] ||
		fail "$spec: not three commands were waited for"
	grep 'tvq_cmd_post.*SET_STATUS' $trace/trace | grep 'posted$' >/dev/null || fail "$spec: DRIVER_OK was waited for"
	! grep tvq_cmd_done $trace/trace | grep -v 'err=0 .*ack=0 ' || fail "$spec: a command failed"
	grep tvq_cmd_ $trace/trace
	tvq_destroy "$fn" t
done
tvq_unload
