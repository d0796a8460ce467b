#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 1
#
# Each malformed request gives its documented errno, says why in the log, and
# changes nothing.
. "${BASH_SOURCE[0]%/*}/lib.sh"

tvq_load
fn=$(tvq_function 0)
tvq_create "$fn" 'type=blk name=there capacity=16M'
disk=$(tvq_disk "$fn" there)

# No program is started for a case: there are many, and a guest without KVM is
# slow. What the log said is looked at once, at the end.
state()
{
	local file

	echo "$TVQ_BUS"/* "$fn"/tvq/by-name/*
	for file in devices_used vqs_free vectors_free; do
		read -r REPLY <"$fn/tvq/$file"
		echo "$REPLY"
	done
}

before=$(state)
cases=0

bad()
{
	local errno=$1 file=$2 text=$3

	cases=$((cases + 1))
	printf 'bad-input case %d %s\n' "$cases" "$file" >/dev/kmsg
	expect_errno "$errno" sysfs_write "$fn/tvq/$file" "$text"
	[ "$(state)" = "$before" ] || fail "'$text' was refused and changed something"
}

long=$(printf 'x%.0s' {1..32})
bad EINVAL create $'\n'
bad EINVAL create ' '
bad EINVAL create name=a
bad EINVAL create type
bad EINVAL create type=
bad EINVAL create type=disk
bad EINVAL create type=-1
bad ERANGE create type=0
bad ERANGE create type=128
bad ERANGE create type=4294967297
bad EOPNOTSUPP create type=127
bad EINVAL create 'type=blk colour=red'
bad EINVAL create 'type=blk =x'
bad EINVAL create 'type=blk type=blk'
bad EINVAL create 'type=blk name=a name=a'
bad EINVAL create 'type=blk name='
bad EINVAL create 'type=blk name=.a'
bad EINVAL create 'type=blk name=17'
bad EINVAL create 'type=blk name=a/b'
bad EINVAL create 'type=blk name=../a'
bad EINVAL create "type=blk name=$long"
bad EEXIST create 'type=blk name=there'
bad EEXIST create 'type=net name=there'
bad EINVAL create 'type=blk vqs=two'
bad EINVAL create 'type=blk vqs=-1'
bad EINVAL create 'type=blk vqs=1x'
bad ERANGE create 'type=blk vqs=0'
bad ERANGE create 'type=blk vqs=1025'
bad ERANGE create 'type=blk vqs=18446744073709551616'
bad EINVAL create 'type=blk vqs=1024'
bad ERANGE create 'type=blk vectors=0'
bad ERANGE create 'type=blk vectors=2049'
bad EINVAL create 'type=blk vectors=2048'
bad EINVAL create 'type=blk features=1'
bad EINVAL create 'type=blk features=0x'
bad EINVAL create 'type=blk features=0xg'
bad EINVAL create 'type=blk features=0x0'
bad EINVAL create 'type=blk features=0x100000000'
bad EINVAL create 'type=blk features=0x8000000300000000'
bad ERANGE create "type=blk features=0x1$(printf '0%.0s' {1..32})"
bad EINVAL create 'type=blk capacity=0x'
bad ERANGE create 'type=blk capacity=0'
bad EINVAL create 'type=blk capacity=513'
bad EINVAL create 'type=blk capacity=1Q'
bad EINVAL create 'type=blk capacity=1.5G'
bad ERANGE create 'type=blk capacity=1025T'
bad ERANGE create 'type=blk capacity=99999999999999T'
bad EINVAL create "type=blk serial=$long"
bad EINVAL create 'type=blk serial='
bad EINVAL create 'type=blk mac=02:00:00:00:00:01'
bad EINVAL create 'type=blk mtu=1500'
bad EINVAL create 'type=net capacity=1M'
bad EINVAL create 'type=net serial=1'
bad EINVAL create 'type=net mac=02:00:00:00:00'
bad EINVAL create 'type=net mac=02:00:00:00:00:0g'
bad EINVAL create 'type=net mac=01:00:00:00:00:01'
bad EINVAL create 'type=net mac=00:00:00:00:00:00'
bad EINVAL create 'type=net mac=02:00:00:00:00:01:02'
bad ERANGE create 'type=net mtu=67'
bad ERANGE create 'type=net mtu=65536'
bad EINVAL create 'type=net mtu=big'
bad E2BIG create "type=blk $(printf ' %.0s' {1..1100})"
bad EINVAL create $'type=blk name=\xff\xfe'

bad EINVAL destroy $'\n'
bad EINVAL destroy 0
bad EINVAL destroy 'a b'
bad EINVAL destroy ../there
bad EINVAL destroy "$long"
bad ERANGE destroy 18446744073709551616
bad ENODEV destroy 4711
bad ENODEV destroy nobody
bad EINVAL destroy -1/

# A NUL byte in the middle is no end of the string.
if printf 'type=blk name=a\0b' >"$fn/tvq/create" 2>/dev/null; then
	fail "a NUL byte was taken"
fi
[ "$(state)" = "$before" ] || fail "a NUL byte changed something"

# Behind the mark of each case, one line that says what is wrong.
dmesg | awk -v cases=$cases '
	/bad-input case/ { n++; file = $NF ":"; next }
	n && /virtio_tvq / && index($0, " " file " ") { if (!said[n]++) good++ }
	END { for (i = 1; i <= n; i++) if (!said[i]) print "nothing said of case " i
	      exit n != cases || good != cases }' || fail "refused without a word"

dd if=/dev/urandom of="$disk" bs=1M count=1 oflag=direct status=none
tvq_destroy "$fn" there
expect_errno ENODEV tvq_destroy "$fn" there
tvq_unload
