#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# vm: --devices 1 --iommu --append 'iommu.strict=1 iomem=relaxed'
# kernels: 6.12 7.2 rt
# kmemleak: off
# timeout: 400
#
# With an IOMMU that translates DMA and remaps interrupts: the same tests once
# more, and all kinds of traffic to the device at once.
. "${BASH_SOURCE[0]%/*}/lib.sh"

dmesg | grep 'DMAR-IR: Enabled IRQ remapping' >/dev/null || fail "interrupts are not remapped"
dir=${BASH_SOURCE[0]%/*}
for test in 10-blk 11-net 40-affinity 41-cpu-hotplug; do
	"$dir/$test.sh" || fail "$test"
done

tvq_load
fn=$(tvq_function 0)
[ "$(cat "$fn/iommu_group/type")" = DMA ] || fail "DMA is not translated"
tvq_create "$fn" 'type=blk name=disk vqs=2 capacity=64M'
disk=$(tvq_disk "$fn" disk)
grep "tvq0-" /proc/interrupts | grep 'pMSI' >/dev/null || fail "no platform MSI"
# Interrupts come in while BARs and configuration space are read and while DMA
# ranges are unmapped, which strict mode does after each request.
fio --name=x --filename="$disk" --rw=randrw --bs=64k --direct=1 --ioengine=libaio \
	--iodepth=16 --numjobs=2 --size=16M --offset_increment=32M --time_based --runtime=8 \
	--verify=crc32c --verify_fatal=1 --group_reporting --minimal >/run/fio.log 2>&1 &
fio=$!
while kill -0 $fio 2>/dev/null; do
	cat "$fn/config" >/run/config
	cat "$fn/tvq/vectors_free" >/run/vectors_free
	# A BAR that the driver has claimed, which iomem=relaxed permits.
	python3 - "$fn" <<'EOF'
import glob, mmap, os, sys, time
path = sorted(glob.glob(sys.argv[1] + "/resource[0-9]"))[0]
fd = os.open(path, os.O_RDWR)
bar = mmap.mmap(fd, 4096, mmap.MAP_SHARED, mmap.PROT_READ)
for i in range(200):
    begun = time.monotonic()
    status = bar[20]
    took = time.monotonic() - begun
    # device_status of the common configuration: DRIVER_OK, and not all ones.
    assert status & 4 and status != 0xff, f"status {status:#x}"
    assert took < 4, f"a read took {took} s"
EOF
done
wait $fio || fail "fio: $(cat /run/fio.log)"
tvq_destroy "$fn" disk
tvq_unload
