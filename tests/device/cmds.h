/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause */
/* The commands of the transport virtqueue, by table. */
#ifndef TVQ_CMDS_H
#define TVQ_CMDS_H

#include <stdbool.h>
#include <stdint.h>

struct job;
struct command_desc;

const struct command_desc *cmds_find(uint16_t class, uint16_t command);
const char *cmds_name(const struct command_desc *desc);
bool cmds_knows(const char *name);
bool cmds_for_mdev(const struct command_desc *desc);
void cmds_run(struct job *job);

#endif
