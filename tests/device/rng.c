// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/* Entropy source: one queue whose buffers are filled with random bytes. */
#include <string.h>
#include <sys/random.h>

#include "mdev.h"

#define RNG_MAX		65536	/* bytes for one request */

static uint64_t rng_default_features(const struct mdev_params *params)
{
	return rng_type.features;
}

static bool rng_features_ok(uint64_t features)
{
	return true;
}

static bool rng_init_field(struct mdev_params *params, uint16_t offset, uint16_t len,
			   const uint8_t *data)
{
	return false;
}

static bool rng_params_ok(const struct mdev_params *params, uint64_t features)
{
	return !params->have_capacity && !params->have_mac && !params->have_mtu;
}

static uint32_t rng_num_vqs(const struct mdev_params *params)
{
	return params->vqs;
}

static uint16_t rng_queue_size(struct mdev *mdev, uint16_t index)
{
	return mdev->tvq->opt.queue_size ? mdev->tvq->opt.queue_size : 64;
}

static int rng_create(struct mdev *mdev)
{
	/* There is one, says the specification. */
	return mdev->num_vqs == 1 ? 0 : CMD_ERR(EINVAL, VQS);
}

static void rng_destroy(struct mdev *mdev)
{
}

static void rng_reset(struct mdev *mdev)
{
}

static bool rng_serve(struct mdev *mdev, struct virtq *vq)
{
	struct mem *mem = mdev->mem;
	unsigned int budget;
	uint8_t buf[4096];
	uint64_t done;
	ssize_t n;
	int ret;

	for (budget = MDEV_BUDGET; budget; budget--) {
		if (!mem_enter(mem, mdev->epoch))
			return false;
		ret = vq_pop(vq, &mdev->chain);
		if (ret <= 0) {
			ret = ret < 0 ? 0 : vq_enable_notify(vq);
			mem_leave(mem);
			if (!ret)
				return false;
			continue;
		}
		for (done = 0; done < mdev->chain.in_len && done < RNG_MAX; done += n) {
			n = mdev->chain.in_len - done;
			if ((size_t)n > sizeof(buf))
				n = sizeof(buf);
			n = getrandom(buf, n, 0);
			if (n <= 0 || vq_write(mem, &mdev->chain, done, buf, n))
				break;
		}
		vq_push(vq, &mdev->chain, done);
		mdev_notify(mdev, vq);
		mem_leave(mem);
	}
	return true;
}

const struct mdev_type rng_type = {
	.type = 4,
	.name = "rng",
	.features = BIT64(F_VERSION_1) | BIT64(F_ACCESS_PLATFORM) | BIT64(F_RING_INDIRECT) |
		    BIT64(F_RING_EVENT_IDX) | BIT64(F_RING_RESET),
	.default_features = rng_default_features,
	.features_ok = rng_features_ok,
	.init_field = rng_init_field,
	.params_ok = rng_params_ok,
	.num_vqs = rng_num_vqs,
	.queue_size = rng_queue_size,
	.create = rng_create,
	.destroy = rng_destroy,
	.reset = rng_reset,
	.serve = rng_serve,
};
