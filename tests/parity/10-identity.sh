#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# shellcheck disable=SC2012 # names in sysfs have no blanks
# needs: disk0 net0 net1 rng0 con0
# differs: rng0\.irqs: no configuration, so a managed device has no vector for its changes
#
# What tells one virtio device from another: type, negotiated features, status,
# queues, and the interrupts that they have.
. "${BASH_SOURCE[0]%/*}/lib.sh"

# The interrupts of a device, without the name that each begins with.
irqs()
{
	local irq text names=() dir

	dir=$(virtio "$1")
	while read -r irq text; do
		if [ -e "${dir%/*}/msi_irqs/${irq%:}" ]; then
			names+=("${text##*-}")
		fi
	done </proc/interrupts
	printf '%s\n' "${names[@]}" | sort | tr '\n' ' '
}

identity()
{
	local name=$1 dir bits driver i

	dir=$(virtio "$name")
	bits=$(<"$dir/features")
	for ((i = 0; i < ${#bits}; i++)); do
		fact "$name.feature.$i" "${bits:i:1}"
	done
	for i in status vendor device modalias; do
		fact "$name.$i" "$(<"$dir/$i")"
	done
	driver=$(realpath "$dir/driver")
	fact "$name.driver" "${driver##*/}"
	fact "$name.attributes" "$(ls "$dir" | tr '\n' ' ')"
	fact "$name.irqs" "$(irqs "$name")"
	sysfs_write "$driver/unbind" "${dir##*/}"
	fact "$name.status.unbound" "$(<"$dir/status")"
	sysfs_write "$driver/bind" "${dir##*/}"
	fact "$name.status.bound-again" "$(<"$dir/status")"
}

ls "/sys/block/$(child disk0 block)/mq" | facts disk0.hctx
for name in net0 net1; do
	ls "/sys/class/net/$(netdev $name)/queues" | facts $name.queues
	# The interrupts of an interface are there when it is up.
	ip link set "$(netdev $name)" up
done
for name in disk0 net0 net1 rng0 con0; do
	identity $name
done
