/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause */
#ifndef TVQ_SOCK_H
#define TVQ_SOCK_H

int sock_listen(const char *path);

#endif
