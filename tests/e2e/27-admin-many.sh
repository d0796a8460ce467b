#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 1 --parallel
# timeout: 300
#
# Admin commands of hundreds of threads, all of them outstanding at once, for many
# members, over all queues: everyone gets the answer to his own. Meanwhile a member is
# stopped and goes on, and its parts are read. A reset ends those that are outstanding.
. "${BASH_SOURCE[0]%/*}/lib.sh"

members=24
threads=300
reads=4
# A device takes 4 s to come there.
[ "$TVQ_KERNEL" = debug ] && members=8 reads=1
# Nobody knows how long it takes until all are there.
tvq_load timeout_ms=120000
fn=$(tvq_function 0)
trace=/sys/kernel/tracing
[ -d $trace/events ] || mount -t tracefs none $trace
[ -d /sys/kernel/debug/virtio_tvq ] || mount -t debugfs none /sys/kernel/debug
for ((i = 1; i <= members; i++)); do
	tvq_create "$fn" "type=blk name=m$i capacity=1M vqs=$((i % 8 + 1))"
done
files=/sys/kernel/debug/virtio_tvq/$(basename "$(realpath "$fn/tvq/by-name/m1")")

# outstanding N: at least so many commands were sent since the device holds them
outstanding()
{
	[ "$(grep -c ' tvq_admin_post: ' $trace/trace)" -ge "$1" ]
}

hold()
{
	host device 0 ctl admin hold
	: >$trace/trace
}

echo 8192 >$trace/buffer_size_kb
hold
echo 1 >$trace/events/virtio_tvq/tvq_admin_post/enable
echo 1 >$trace/events/virtio_tvq/tvq_admin_done/enable
touch /run/busy
while [ -e /run/busy ]; do
	echo stopped >"$files/mode"
	cat "$files/parts" >/run/parts
	echo running >"$files/mode"
done &
busy=$!
python3 - "$fn/tvq/by-name" $members $threads $reads <<'END' &
import sys
import threading

where, members, threads, reads = sys.argv[1], *map(int, sys.argv[2:])
begin = threading.Barrier(threads)
wrong = []


def ask(number):
    member = number % members + 1
    begin.wait()
    for _ in range(reads):
        with open("%s/m%d/vqs" % (where, member), encoding="ascii") as file:
            if int(file.read()) != member % 8 + 1:
                wrong.append(member)


crowd = [threading.Thread(target=ask, args=(i,)) for i in range(threads)]
for thread in crowd:
    thread.start()
for thread in crowd:
    thread.join()
sys.exit(bool(wrong))
END
crowd=$!
wait_for 60 outstanding $threads || fail "not all of them ask"
host device 0 ctl admin go
wait $crowd || fail "an answer was not the one to its command"
rm /run/busy
wait $busy || fail "the member that was stopped"
echo 0 >$trace/events/virtio_tvq/enable

awk -v wanted=$((threads * reads)) -v threads=$threads '
/ tvq_admin_post: / { posts++; if (++now > most) most = now }
/ tvq_admin_done: / {
	now--
	match($0, / queue=[0-9]+ /)
	if (!queue[substr($0, RSTART, RLENGTH)]++)
		queues++
	if (!/ err=0 .* status=0 qualifier=0 /) bad++
	if (/\(MEMBER_GET\)/) got++
	if (/\(DEV_PARTS_GET\)/) parts++
}
END {
	printf "%d commands, %d at once, on %d queues\n", posts, most, queues
	exit now || bad || got != wanted || most < threads || !parts || queues < 2
}' $trace/trace || fail "what the trace shows"

# Who resets the function waits for them for 10 s.
if [ "$TVQ_KERNEL" != debug ]; then
	hold
	echo 1 >$trace/events/virtio_tvq/tvq_admin_post/enable
	for ((i = 1; i <= members; i++)); do
		cat "$fn/tvq/by-name/m$i/vqs" >/dev/null 2>"/run/said.$i" &
		pids[i]=$!
	done
	wait_for 30 outstanding $members || fail "not all members are asked"
	echo 1 >"$fn/tvq/reset"
	for ((i = 1; i <= members; i++)); do
		! wait "${pids[i]}" || fail "an answer from before the reset"
		grep -F "${ERRNO_TEXT[EIO]}" "/run/said.$i" || fail "$(cat "/run/said.$i")"
		[ "$(cat "$fn/tvq/by-name/m$i/vqs")" = $((i % 8 + 1)) ] ||
			fail "no answer after the reset"
	done
	echo 0 >$trace/events/virtio_tvq/enable
fi
for ((i = 1; i <= members; i++)); do
	tvq_destroy "$fn" "m$i"
done
tvq_unload
