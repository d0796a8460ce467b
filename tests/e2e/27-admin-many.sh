#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 1
# timeout: 300
#
# Admin commands of hundreds of threads at once, for many members, over all queues:
# everyone gets the answer to his own. Meanwhile a member is stopped and goes on, and
# its parts are read.
. "${BASH_SOURCE[0]%/*}/lib.sh"

members=24
threads=300
reads=4
tvq_load
fn=$(tvq_function 0)
trace=/sys/kernel/tracing
[ -d $trace/events ] || mount -t tracefs none $trace
[ -d /sys/kernel/debug/virtio_tvq ] || mount -t debugfs none /sys/kernel/debug
for ((i = 1; i <= members; i++)); do
	tvq_create "$fn" "type=blk name=m$i capacity=1M vqs=$((i % 8 + 1))"
done
files=/sys/kernel/debug/virtio_tvq/$(basename "$(realpath "$fn/tvq/by-name/m1")")

echo 8192 >$trace/buffer_size_kb
: >$trace/trace
echo 1 >$trace/events/virtio_tvq/tvq_admin_post/enable
echo 1 >$trace/events/virtio_tvq/tvq_admin_done/enable
touch /run/busy
while [ -e /run/busy ]; do
	echo stopped >"$files/mode"
	cat "$files/parts" >/run/parts
	echo running >"$files/mode"
done &
busy=$!
python3 - "$fn/tvq/by-name" $members $threads $reads <<'END' || fail "an answer was not the one to its command"
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
rm /run/busy
wait $busy || fail "the member that was stopped"
echo 0 >$trace/events/virtio_tvq/enable

awk -v wanted=$((threads * reads)) '
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
	exit now || bad || got != wanted || !parts || queues < 2
}' $trace/trace || fail "what the trace shows"
for ((i = 1; i <= members; i++)); do
	tvq_destroy "$fn" "m$i"
done
tvq_unload
