// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/* How one input is made from another: operation by operation. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

#define OP_HEAD		3		/* kind and length */
#define OPS_MAX		128
#define ARGS_MAX	600u

struct op {
	uint8_t kind;
	uint16_t len;
	uint8_t args[ARGS_MAX];
};

struct ops {
	uint8_t head[FUZZ_HEAD];
	unsigned int num;
	struct op op[OPS_MAX];
};

static struct ops all, other;
static uint32_t state;

static uint32_t any(uint32_t below)
{
	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return below ? state % below : 0;
}

static void split(struct ops *ops, const uint8_t *data, size_t len)
{
	struct op *op;
	size_t n;

	memset(ops->head, 0, sizeof(ops->head));
	ops->num = 0;
	n = len < FUZZ_HEAD ? len : FUZZ_HEAD;
	memcpy(ops->head, data, n);
	for (data += n, len -= n; len && ops->num < OPS_MAX; data += n, len -= n) {
		op = &ops->op[ops->num++];
		op->kind = data[0];
		n = len < OP_HEAD ? len : OP_HEAD;
		op->len = len < OP_HEAD ? 0 : data[1] | data[2] << 8;
		data += n;
		len -= n;
		n = op->len < len ? op->len : len;
		op->len = n < ARGS_MAX ? n : ARGS_MAX;
		memcpy(op->args, data, op->len);
	}
}

static size_t join(const struct ops *ops, uint8_t *data, size_t max)
{
	const struct op *op;
	size_t len = FUZZ_HEAD;
	unsigned int i;

	if (max < FUZZ_HEAD)
		return 0;
	memcpy(data, ops->head, FUZZ_HEAD);
	for (i = 0; i < ops->num; i++) {
		op = &ops->op[i];
		if (OP_HEAD + op->len > max - len)
			break;
		data[len] = op->kind;
		data[len + 1] = op->len;
		data[len + 2] = op->len >> 8;
		memcpy(data + len + OP_HEAD, op->args, op->len);
		len += OP_HEAD + op->len;
	}
	return len;
}

/* Make room for so many operations at a place. Return: whether there is. */
static bool open_gap(struct ops *ops, unsigned int at, unsigned int num)
{
	if (ops->num + num > OPS_MAX)
		return false;
	memmove(&ops->op[at + num], &ops->op[at], (ops->num - at) * sizeof(ops->op[0]));
	ops->num += num;
	return true;
}

static void insert_new(struct ops *ops)
{
	unsigned int at = any(ops->num + 1), i;
	struct op *op;

	if (!open_gap(ops, at, 1))
		return;
	op = &ops->op[at];
	op->kind = any(FUZZ_OPERATIONS);
	op->len = any(4) ? any(24) : any(200);
	for (i = 0; i < op->len; i++)
		op->args[i] = any(2) ? any(256) : any(8);
}

/* Another order of the threads, from the beginning on */
static void insert_seed(struct ops *ops)
{
	if (!ops->num || ops->op[0].kind % FUZZ_OPERATIONS != FUZZ_SEED) {
		if (!open_gap(ops, 0, 1))
			return;
		ops->op[0].kind = FUZZ_SEED;
	}
	ops->op[0].len = 2;
	ops->op[0].args[0] = any(256);
	ops->op[0].args[1] = any(256);
}

static void insert_copy(struct ops *ops, const struct ops *from)
{
	unsigned int first = any(from->num), num = 1 + any(4), at = any(ops->num + 1);
	static struct op copy[4];

	if (num > from->num - first)
		num = from->num - first;
	memcpy(copy, &from->op[first], num * sizeof(copy[0]));
	if (open_gap(ops, at, num))
		memcpy(&ops->op[at], copy, num * sizeof(copy[0]));
}

static void delete_some(struct ops *ops)
{
	unsigned int first = any(ops->num), num = 1 + any(any(4) ? 2 : 8);

	if (num > ops->num - first)
		num = ops->num - first;
	memmove(&ops->op[first], &ops->op[first + num],
		(ops->num - first - num) * sizeof(ops->op[0]));
	ops->num -= num;
}

static void change_args(struct op *op)
{
	uint32_t at, value;

	switch (any(4)) {
	case 0:
		/* A small number, or nearly nothing, somewhere */
		at = any(op->len + 1);
		if (at < ARGS_MAX) {
			if (at == op->len)
				op->len++;
			op->args[at] = any(2) ? any(20) : -any(4);
		}
		break;
	case 1:
		/* A field: 2 or 4 bytes of a power of 2, or next to one */
		at = any(op->len + 1);
		value = (1u << any(32)) + any(3) - 1;
		if (op->len < 4 || at > op->len - 4u)
			break;
		memcpy(op->args + at, &value, any(2) ? 4 : 2);
		break;
	default:
		op->len = LLVMFuzzerMutate(op->args, op->len, ARGS_MAX);
		break;
	}
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t len, size_t max, unsigned int seed)
{
	unsigned int times;

	state = seed * 2654435761u | 1;
	if (!any(16))
		return LLVMFuzzerMutate(data, len, max);
	split(&all, data, len);
	for (times = 1 + any(4); times; times--) {
		if (!all.num) {
			insert_new(&all);
			continue;
		}
		switch (any(14)) {
		case 0:
		case 1:
			insert_new(&all);
			break;
		case 2:
			insert_copy(&all, &all);
			break;
		case 3:
			delete_some(&all);
			break;
		case 4:
			all.op[any(all.num)].kind = any(FUZZ_OPERATIONS);
			break;
		case 5:
			insert_seed(&all);
			break;
		case 6:
			all.head[any(FUZZ_HEAD)] ^= 1u << any(8);
			break;
		default:
			change_args(&all.op[any(all.num)]);
			break;
		}
	}
	return join(&all, data, max);
}

/* The beginning of one, and some operations of the other. */
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len,
				 uint8_t *out, size_t max, unsigned int seed)
{
	unsigned int times;

	state = seed * 2654435761u | 1;
	split(&all, a, a_len);
	split(&other, b, b_len);
	for (times = 1 + any(3); times && other.num; times--)
		insert_copy(&all, &other);
	return join(&all, out, max);
}
