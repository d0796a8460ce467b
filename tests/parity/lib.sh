# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# shellcheck shell=bash
#
# What the workloads in this directory have in common. A workload is a script
# NN-what.sh that sources this file. It is run twice in the guest, as root: once
# on plain virtio-pci functions, once on managed devices, and is not told which.
# It finds its devices by the names of the file "devices", notes what it sees as
# facts, and exits with 0 if all went well. It passes when both runs did, noted
# the same facts, and left nothing behind. Comment lines at the top declare
#
#	# needs: disk0 net0		the devices that are there
#	# timeout: 60			seconds for one run (default 120)
#	# kernels: 7.2 debug		where it is run (default: everywhere)
#	# differs: REGEX: REASON	facts that must differ, and why: REGEX
#					matches the whole key. Documentation/
#					parity.rst has all of them
#
# What a workload prints is its log, shown when it fails.

# shellcheck source=tests/e2e/lib.sh
. "${BASH_SOURCE[0]%/*}/../e2e/lib.sh"

PARITY=/run/parity

# fact KEY VALUE: what the other side has to agree on.
fact()
{
	printf '%s=%s\n' "$1" "${*:2}" >&3
}

# facts PREFIX: of lines "key: value" or "key=value"; keys that come again get
# a number.
facts()
{
	awk -v prefix="$1" '
	{
		at = match($0, /[:=]/)
		key = at ? substr($0, 1, at - 1) : $0
		value = at ? substr($0, at + 1) : ""
		gsub(/^[ \t]+|[ \t]+$/, "", key)
		gsub(/^[ \t]+|[ \t]+$/, "", value)
		gsub(/[ \t]+/, "-", key)
		if (key == "")
			next
		if (n[key]++)
			key = key "." n[key]
		print prefix "." key "=" value
	}' >&3
}

# want KEY WANTED VALUE: a fact that is known beforehand, so that it is not enough
# if both sides are wrong in the same way.
want()
{
	fact "$1" "$3"
	[ "$3" = "$2" ] || fail "$1: '$3' instead of '$2'"
}

# rc_fact KEY CMD...: whether a command succeeds.
rc_fact()
{
	local key=$1 rc=0
	shift

	"$@" || rc=$?
	fact "$key" "$rc"
	case $rc in
	126 | 127) fail "$key: cannot be run: $*" ;;
	esac
}

# succeeds KEY CMD...: the same, and it has to.
succeeds()
{
	local key=$1
	shift

	"$@" || fail "$key: status $?: $*"
	fact "$key" 0
}

# fails KEY CMD...: the same, and it must not.
fails()
{
	local key=$1 rc=0
	shift

	"$@" || rc=$?
	fact "$key" "$rc"
	case $rc in
	0) fail "$key: succeeded: $*" ;;
	126 | 127) fail "$key: cannot be run: $*" ;;
	esac
}

# small N M: N, or M on the debug kernel, where everything takes longer.
small()
{
	[ "$TVQ_KERNEL" = debug ] && echo "$2" || echo "$1"
}

# virtio NAME: sysfs directory of its virtio device.
virtio()
{
	realpath -e "$PARITY/$1/virtio"
}

# control VERB NAME ARG...: a command on the reference device's control socket
# that concerns one device.
control()
{
	host device 0 ctl "$1" "$(<"$PARITY/$2/control")" "${@:3}"
}

# child NAME CLASS: the name of its device of that class, waiting for it.
child()
{
	local dir

	dir=$(virtio "$1")
	wait_for 20 compgen -G "$dir/$2/*"
	dir=$(echo "$dir/$2"/*)
	echo "${dir##*/}"
}

disk()
{
	local name

	name=$(child "$1" block)
	wait_for 20 test -b "/dev/$name"
	echo "/dev/$name"
}

netdev()
{
	child "$1" net
}

# --- network namespaces -----------------------------------------------------

# net_pair: net0 and net1 in namespaces a and b, as $net0 and $net1, up, with
# the addresses 192.0.2.1 and .2, 2001:db8::1 and ::2.
net_pair()
{
	net0=$(netdev net0)
	net1=$(netdev net1)
	ip netns add a
	ip netns add b
	ip link set "$net0" netns a
	ip link set "$net1" netns b
	net_addresses a "$net0" 1
	net_addresses b "$net1" 2
	in_a ip link set lo up
	in_b ip link set lo up
}

# net_addresses NETNS INTERFACE N
net_addresses()
{
	ip -n "$1" addr add "192.0.2.$3/24" dev "$2"
	ip -n "$1" addr add "2001:db8::$3/64" dev "$2" nodad
	ip -n "$1" link set "$2" up
}

in_a()
{
	in_netns a "$@"
}

in_b()
{
	in_netns b "$@"
}

# ip enters a namespace by itself; others need one more process, and mounts.
in_netns()
{
	if [ "$2" = ip ]; then
		ip -n "$1" "${@:3}"
	else
		ip netns exec "$@"
	fi
}

# net_reached: as soon as one side reaches the other, or not at all.
net_reached()
{
	wait_for 20 in_a ping -q -c 1 -W 1 192.0.2.2
}

# net_done: the namespaces go, and the interfaces back to the first.
net_done()
{
	local netns

	for netns in $(ip netns list | cut -d ' ' -f 1); do
		ip netns del "$netns"
	done
}

# pings KEY WANTED NETNS ARG...: how many answers there were. Without a deadline ping
# waits for the last ones for twice as long as the slowest took so far, which on a
# busy machine is too short. With one it goes on asking until there are enough, and
# those that were late may make it more.
pings()
{
	local key=$1 wanted=$2 netns=$3 out got
	shift 3

	[ "$wanted" -eq 0 ] || set -- -w 30 "$@"
	out=$(ip netns exec "$netns" ping -q "$@") || true
	echo "$out"
	got=$(sed -n 's/.* \([0-9]*\) received.*/\1/p' <<<"$out")
	[ "$wanted" -eq 0 ] || [ "${got:-0}" -le "$wanted" ] || got=$wanted
	want "$key" "$wanted" "$got"
}
