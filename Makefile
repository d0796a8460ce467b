# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
#
# The kernel modules themselves are built by Kbuild; this is the front end.

KERNEL ?=
kernel_option = $(if $(KERNEL),--kernel $(KERNEL))

help:
	@echo 'make demo [KERNEL=6.12|7.2|debug]       the main job, shown in a guest'
	@echo 'make check                              every test'
	@echo 'make check-style                        coding style, static checkers'
	@echo 'make check-testbed                      the test bed itself'
	@echo 'make check-device                       the reference device alone'
	@echo 'make check-kunit                        unit tests, on the debug kernel'
	@echo 'make check-e2e [KERNEL=...] [TESTS=...] end-to-end tests'
	@echo 'make check-admin [KERNEL=...]           what concerns admin virtqueues of all these'
	@echo 'make check-parity [KERNEL=...] [TESTS=...]'
	@echo '                                        managed devices against virtio-pci'
	@echo 'make check-faults                       faults and hostile devices, on the debug kernel'
	@echo 'make check-rt                           end-to-end tests on a PREEMPT_RT kernel'
	@echo 'make check-kcsan                        some of them on a kernel that looks for'
	@echo '                                        data races'
	@echo 'make churn [CHURN_SECONDS=600] [KERNEL=...] [SEED=...]'
	@echo '                                        everything at once, on the debug kernel'
	@echo 'make check-fuzz                         fuzzing of the reference device, shortly'
	@echo 'make fuzz [FUZZ_SECONDS=600]            the same, for so long'
	@echo 'make fuzz-replay INPUT=FILE             one input, with the log of the device'
	@echo 'make modules [KERNEL=...]               kernel modules, in build/KERNEL/modules'
	@echo 'make device                             the reference device, build/device'
	@echo 'make vm-shell [KERNEL=...] [DEVICES=N]  a prompt in a guest'
	@echo 'make debug-kernel                       build the debug kernel'
	@echo 'KERNEL is 6.12, 7.2, debug, rt or kcsan.'
	@echo 'make clean                              remove build/'
	@echo 'What is set up once is kept in $${TVQ_CACHE:-/var/cache/virtio-tvq}.'

demo:
	@scripts/demo $(kernel_option)

check:
	@scripts/check

check-style check-testbed check-device check-kunit check-fuzz check-kcsan:
	@scripts/check $(@:check-%=%)

check-e2e:
	@scripts/check-e2e $(kernel_option) $(TESTS)

check-rt:
	@scripts/check e2e-rt

CHURN_SECONDS ?= 600
churn:
	@scripts/churn $(kernel_option) --seconds $(CHURN_SECONDS) $(if $(SEED),--seed $(SEED))

check-faults:
	@scripts/check faults-device faults-kernel

check-admin:
	@scripts/check device kunit admin-$(or $(KERNEL),7.2)

check-parity:
	@scripts/check-parity $(kernel_option) $(TESTS)

FUZZ_SECONDS ?= 600
fuzz:
	@scripts/fuzz --seconds $(FUZZ_SECONDS)

fuzz-replay:
	@scripts/fuzz --replay "$(INPUT)"

modules device:
	@scripts/build $(kernel_option) $@

DEVICES ?= 1
vm-shell:
	@scripts/vm $(kernel_option) --devices $(DEVICES) shell

debug-kernel:
	@bash -c '. scripts/testbed/lib.sh; tvq_debug'

clean:
	rm -rf build

.PHONY: help demo check check-style check-testbed check-device check-kunit \
	check-fuzz fuzz fuzz-replay check-e2e check-rt check-kcsan churn check-faults check-admin \
	check-parity modules device vm-shell debug-kernel clean
