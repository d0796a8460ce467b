/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause */
/* Device parts: a list of headers with values behind them. */
#ifndef TVQ_PARTS_H
#define TVQ_PARTS_H

#include <linux/virtio_tvq_admin.h>
#include <stdbool.h>
#include <stdint.h>

/* Zeroes that have to be behind what a struct parts_reader reads */
#define PARTS_SLACK	65536

struct parts {
	uint8_t *data;
	uint32_t len;
	uint32_t room;
	uint32_t count;
	bool failed;			/* without memory */
};

struct part {
	uint16_t type;
	uint8_t flags;
	uint32_t selector;		/* queue index, or offset */
	const uint8_t *value;
	uint32_t len;
};

struct parts_reader {
	const uint8_t *data;
	uint32_t len;
	uint32_t at;
	uint64_t last;			/* the place in the order, plus 1 */
	bool wrong;			/* an order or a length that cannot be */
};

void parts_add(struct parts *parts, uint16_t type, uint32_t selector, const void *value,
	       uint32_t len);
void parts_free(struct parts *parts);
bool parts_next(struct parts_reader *reader, struct part *part);
void parts_select(struct parts *parts, const void *hdrs, uint32_t len);
void *parts_headers(const struct parts *parts, uint32_t *len);

#endif
