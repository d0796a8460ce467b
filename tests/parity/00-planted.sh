#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# timeout: 60
# kernels: 7.2
#
# No workload: the name under which guest-parity runs those of the directory
# "planted", which all have to fail.
