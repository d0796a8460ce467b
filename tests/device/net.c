// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/*
 * Network device: a port of the switch.
 *
 * Other threads deliver frames; they are filtered and wait, for one of the
 * receive queues, until the worker finds buffers for them. What a sender left to
 * be done to a frame, its checksum or cutting it in segments, is left to the driver
 * that gets it if that takes such frames, and is otherwise done then.
 */
#include <errno.h>
#include <linux/virtio_net.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "mdev.h"

#define CONFIG_LEN	24	/* to supported_hash_types */
#define CONFIG(field)	offsetof(struct virtio_net_config, field)
static_assert(CONFIG(supported_hash_types) + 4 == CONFIG_LEN, "virtio_net_config");

/* From <linux/virtio_net.h>, which Debian 12's headers have only in part. */
#define F_GUEST_USO4	54
#define F_GUEST_USO6	55
#define F_HOST_USO	56

#define BACKLOG		512	/* frames that wait for one queue, ... */
#define BACKLOG_BYTES	(8u << 20)	/* ... and their bytes */
#define MACS		64	/* of each kind in the filter */
#define RSS_TABLE	128
#define HASH_TYPES	0x3f	/* IP, TCP and UDP, of both versions, without extensions */
#define SPEED		10000	/* Mbit/s; something has to be said */
#define DUPLEX_FULL	1
#define MRG_MAX		64	/* buffers for one frame */
#define CTRL_MAX	4096	/* bytes of a control command */
#define DEFAULT_MTU	1500

struct rx_queue {
	/* Those that wait, under net.lock */
	struct frame *frame[BACKLOG];
	unsigned int first;
	unsigned int num;
	uint32_t bytes;
	/* The worker's: the frame that it is at */
	struct frame *current;
	bool as_it_is;			/* the driver does what is left to do */
	unsigned int segment;		/* the next one */
};

struct mac_list {
	bool overflow;			/* there were too many: everything of the kind matches */
	unsigned int num;
	uint8_t mac[MACS][6];
};

/* VIRTIO_NET_CTRL_MQ_RSS_CONFIG and _HASH_CONFIG */
struct rss {
	bool steers;
	uint32_t types;
	uint8_t key[HASH_KEY_MAX];
	unsigned int num;		/* entries of table, a power of 2 */
	uint16_t table[RSS_TABLE];	/* pairs */
	uint16_t unclassified;
};

struct net {
	struct port port;
	struct mdev *mdev;
	bool link_up;
	bool announce;			/* the driver is asked to */
	uint64_t offloads;		/* of those negotiated, the ones that are on: GUEST_* */
	struct vq_chain rx_chain[MRG_MAX];

	/* lock guards the rest: what frames wait, and which are wanted. */
	pthread_mutex_t lock;
	unsigned int pairs;		/* in use */
	struct rss rss;
	struct rx_queue *rx;		/* one for each pair */
	uint8_t mac[6];
	bool promisc;
	bool allmulti;
	bool alluni;
	bool nomulti;
	bool nouni;
	bool nobcast;
	bool filter_vlans;
	struct mac_list unicast;
	struct mac_list multicast;
	uint64_t vlans[4096 / 64];
};

#define GUEST_OFFLOADS	(BIT64(VIRTIO_NET_F_GUEST_CSUM) | BIT64(VIRTIO_NET_F_GUEST_TSO4) | \
			 BIT64(VIRTIO_NET_F_GUEST_TSO6) | BIT64(VIRTIO_NET_F_GUEST_ECN) | \
			 BIT64(F_GUEST_USO4) | BIT64(F_GUEST_USO6))

static unsigned int max_pairs(const struct mdev *mdev)
{
	return mdev->num_vqs / 2;
}

/* The index of the control queue; num_vqs or above if there is none. */
static uint16_t ctrl_index(const struct mdev *mdev)
{
	if (!mdev_has(mdev, VIRTIO_NET_F_CTRL_VQ))
		return UINT16_MAX;
	return mdev_has(mdev, VIRTIO_NET_F_MQ) || mdev_has(mdev, VIRTIO_NET_F_RSS) ?
	       2 * max_pairs(mdev) : 2;
}

static uint32_t hdr_len(const struct mdev *mdev)
{
	return mdev_has(mdev, VIRTIO_NET_F_HASH_REPORT) ? sizeof(struct virtio_net_hdr_v1_hash) :
							  sizeof(struct virtio_net_hdr_v1);
}

static uint64_t net_default_features(const struct mdev_params *params)
{
	/* It makes every header longer: who wants it asks for it. */
	uint64_t features = net_type.features & ~BIT64(VIRTIO_NET_F_HASH_REPORT);

	if (params->vqs <= 1)
		features &= ~(BIT64(VIRTIO_NET_F_MQ) | BIT64(VIRTIO_NET_F_RSS));
	/* A driver takes it for the largest MTU that it may set. */
	if (!params->have_mtu)
		features &= ~BIT64(VIRTIO_NET_F_MTU);
	return features;
}

static bool net_features_ok(uint64_t features)
{
	static const struct {
		uint64_t feature;
		uint64_t needs;		/* one of these */
	} rules[] = {
		{ BIT64(VIRTIO_NET_F_GUEST_TSO4), BIT64(VIRTIO_NET_F_GUEST_CSUM) },
		{ BIT64(VIRTIO_NET_F_GUEST_TSO6), BIT64(VIRTIO_NET_F_GUEST_CSUM) },
		{ BIT64(F_GUEST_USO4), BIT64(VIRTIO_NET_F_GUEST_CSUM) },
		{ BIT64(F_GUEST_USO6), BIT64(VIRTIO_NET_F_GUEST_CSUM) },
		{ BIT64(VIRTIO_NET_F_GUEST_ECN), BIT64(VIRTIO_NET_F_GUEST_TSO4) |
						 BIT64(VIRTIO_NET_F_GUEST_TSO6) },
		{ BIT64(VIRTIO_NET_F_HOST_TSO4), BIT64(VIRTIO_NET_F_CSUM) },
		{ BIT64(VIRTIO_NET_F_HOST_TSO6), BIT64(VIRTIO_NET_F_CSUM) },
		{ BIT64(F_HOST_USO), BIT64(VIRTIO_NET_F_CSUM) },
		{ BIT64(VIRTIO_NET_F_HOST_ECN), BIT64(VIRTIO_NET_F_HOST_TSO4) |
						BIT64(VIRTIO_NET_F_HOST_TSO6) },
		{ BIT64(VIRTIO_NET_F_CTRL_RX), BIT64(VIRTIO_NET_F_CTRL_VQ) },
		{ BIT64(VIRTIO_NET_F_CTRL_RX_EXTRA), BIT64(VIRTIO_NET_F_CTRL_VQ) },
		{ BIT64(VIRTIO_NET_F_CTRL_VLAN), BIT64(VIRTIO_NET_F_CTRL_VQ) },
		{ BIT64(VIRTIO_NET_F_CTRL_MAC_ADDR), BIT64(VIRTIO_NET_F_CTRL_VQ) },
		{ BIT64(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS), BIT64(VIRTIO_NET_F_CTRL_VQ) },
		{ BIT64(VIRTIO_NET_F_GUEST_ANNOUNCE), BIT64(VIRTIO_NET_F_CTRL_VQ) },
		{ BIT64(VIRTIO_NET_F_MQ), BIT64(VIRTIO_NET_F_CTRL_VQ) },
		{ BIT64(VIRTIO_NET_F_RSS), BIT64(VIRTIO_NET_F_CTRL_VQ) },
		{ BIT64(VIRTIO_NET_F_HASH_REPORT), BIT64(VIRTIO_NET_F_CTRL_VQ) },
	};
	unsigned int i;

	for (i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		if ((features & rules[i].feature) && !(features & rules[i].needs))
			return false;
	}
	return true;
}

static bool net_init_field(struct mdev_params *params, uint16_t offset, uint16_t len,
			   const uint8_t *data)
{
	if (offset == CONFIG(mac) && len == 6) {
		memcpy(params->mac, data, 6);
		params->have_mac = true;
		return true;
	}
	if (offset == CONFIG(mtu) && len == 2) {
		params->mtu = data[0] | data[1] << 8;
		params->have_mtu = true;
		return true;
	}
	return false;
}

static bool net_params_ok(const struct mdev_params *params, uint64_t features)
{
	static const uint8_t zero[6];

	if (params->have_capacity)
		return false;
	if (params->have_mac && ((params->mac[0] & 1) || !memcmp(params->mac, zero, 6) ||
				 !(features & BIT64(VIRTIO_NET_F_MAC))))
		return false;
	return !params->have_mtu || (params->mtu >= 68 && (features & BIT64(VIRTIO_NET_F_MTU)));
}

static uint32_t net_num_vqs(const struct mdev_params *params)
{
	return 2 * params->vqs + !!(params->features[0] & BIT64(VIRTIO_NET_F_CTRL_VQ));
}

static uint16_t net_queue_size(struct mdev *mdev, uint16_t index)
{
	return mdev->tvq->opt.queue_size ? mdev->tvq->opt.queue_size : 256;
}

static void choose_mac(struct mdev *mdev, struct mdev_params *params)
{
	if (params->have_mac || !(params->features[0] & BIT64(VIRTIO_NET_F_MAC)))
		return;
	memcpy(params->mac, mdev->tvq->opt.mac_prefix, 3);
	params->mac[3] = mdev->id >> 16;
	params->mac[4] = mdev->id >> 8;
	params->mac[5] = mdev->id;
	params->have_mac = true;
}

static int net_create(struct mdev *mdev)
{
	struct net *net = calloc(1, sizeof(*net));

	if (!net)
		return CMD_ERR(ENOMEM, NONE);
	net->rx = calloc(max_pairs(mdev), sizeof(*net->rx));
	if (!net->rx) {
		free(net);
		return CMD_ERR(ENOMEM, NONE);
	}
	choose_mac(mdev, &mdev->params);
	pthread_mutex_init(&net->lock, NULL);
	net->mdev = mdev;
	net->link_up = !mdev->params.link_down;
	mdev->priv = net;
	net_type.reset(mdev);
	return 0;
}

static void drop_frames(struct net *net)
{
	struct rx_queue *rx;
	unsigned int i;

	for (i = 0; i < max_pairs(net->mdev); i++) {
		rx = &net->rx[i];
		for (; rx->num; rx->num--)
			frame_put(rx->frame[rx->first++ % BACKLOG]);
		rx->first = 0;
		rx->bytes = 0;
		if (rx->current)
			frame_put(rx->current);
		rx->current = NULL;
	}
}

/* Queues, for which no frames wait, in another number */
static int net_provision(struct mdev *mdev, struct mdev_params *params, uint32_t num_vqs)
{
	struct rx_queue *rx = calloc(num_vqs / 2, sizeof(*rx));
	struct net *net = mdev->priv;

	if (!rx)
		return CMD_ERR(ENOMEM, NONE);
	pthread_mutex_lock(&net->lock);
	drop_frames(net);
	free(net->rx);
	net->rx = rx;
	pthread_mutex_unlock(&net->lock);
	choose_mac(mdev, params);
	return 0;
}

static void net_destroy(struct mdev *mdev)
{
	struct net *net = mdev->priv;
	unsigned int i;

	switch_detach(&mdev->tvq->net_switch, &net->port);
	drop_frames(net);
	for (i = 0; i < MRG_MAX; i++)
		vq_chain_free(&net->rx_chain[i]);
	pthread_mutex_destroy(&net->lock);
	free(net->rx);
	free(net);
}

static void put_config16(struct mdev *mdev, unsigned int at, uint16_t value)
{
	mdev->config[at] = value;
	mdev->config[at + 1] = value >> 8;
}

static void put_config32(struct mdev *mdev, unsigned int at, uint32_t value)
{
	put_config16(mdev, at, value);
	put_config16(mdev, at + 2, value >> 16);
}

static uint16_t net_status(struct net *net)
{
	return (net->link_up ? VIRTIO_NET_S_LINK_UP : 0) |
	       (net->announce ? VIRTIO_NET_S_ANNOUNCE : 0);
}

static void net_reset(struct mdev *mdev)
{
	struct net *net = mdev->priv;
	uint8_t old[MDEV_CONFIG_MAX];

	switch_detach(&mdev->tvq->net_switch, &net->port);
	pthread_mutex_lock(&net->lock);
	drop_frames(net);
	net->pairs = 1;
	memcpy(net->mac, mdev->params.mac, 6);
	/* A driver that does not filter gets everything. */
	net->promisc = true;
	net->allmulti = false;
	net->alluni = false;
	net->nomulti = false;
	net->nouni = false;
	net->nobcast = false;
	net->filter_vlans = false;
	memset(&net->unicast, 0, sizeof(net->unicast));
	memset(&net->multicast, 0, sizeof(net->multicast));
	memset(&net->rss, 0, sizeof(net->rss));
	memset(net->vlans, 0, sizeof(net->vlans));
	pthread_mutex_unlock(&net->lock);
	net->announce = false;

	pthread_mutex_lock(&mdev->lock);
	memcpy(old, mdev->config, sizeof(old));
	memcpy(&mdev->config[CONFIG(mac)], mdev->params.mac, 6);
	put_config16(mdev, CONFIG(status), net_status(net));
	put_config16(mdev, CONFIG(max_virtqueue_pairs), max_pairs(mdev));
	put_config16(mdev, CONFIG(mtu), mdev->params.have_mtu ? mdev->params.mtu : DEFAULT_MTU);
	put_config32(mdev, CONFIG(speed), SPEED);
	mdev->config[CONFIG(duplex)] = DUPLEX_FULL;
	mdev->config[CONFIG(rss_max_key_size)] = HASH_KEY_MAX;
	put_config16(mdev, CONFIG(rss_max_indirection_table_length), RSS_TABLE);
	put_config32(mdev, CONFIG(supported_hash_types), HASH_TYPES);
	if (memcmp(old, mdev->config, sizeof(old)))
		mdev->generation++;
	pthread_mutex_unlock(&mdev->lock);
}

/*
 * Reception
 */

static bool in_list(const struct mac_list *list, const uint8_t *mac)
{
	unsigned int i;

	for (i = 0; i < list->num; i++) {
		if (!memcmp(list->mac[i], mac, 6))
			return true;
	}
	return list->overflow;
}

/* Whether the driver wants a frame. With lock. */
static bool wanted(struct net *net, const struct frame *frame)
{
	static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	const uint8_t *mac = frame->data;
	uint16_t tag;

	if (net->promisc)
		return true;
	if (net->filter_vlans && frame->len >= 18 && frame->data[12] == 0x81 && !frame->data[13]) {
		tag = (frame->data[14] << 8 | frame->data[15]) & 4095;
		if (!(net->vlans[tag / 64] & BIT64(tag % 64)))
			return false;
	}
	if (!memcmp(mac, broadcast, 6))
		return !net->nobcast;
	if (mac[0] & 1)
		return !net->nomulti && (net->allmulti || in_list(&net->multicast, mac));
	return !net->nouni && (net->alluni || !memcmp(mac, net->mac, 6) ||
			       in_list(&net->unicast, mac));
}

/* The pair that a frame goes to. With lock. */
static unsigned int steer(struct net *net, const struct frame *frame)
{
	const struct rss *rss = &net->rss;
	uint32_t hash;

	if (rss->steers) {
		if (!frame_hash(frame, rss->types, rss->key, &hash))
			return rss->unclassified;
		return rss->table[hash & (rss->num - 1)];
	}
	return net->pairs > 1 ? frame_flow(frame) % net->pairs : 0;
}

/* From another thread, with switch.lock. */
static void net_deliver(struct port *port, struct frame *frame)
{
	struct net *net = container_of(port, struct net, port);
	struct mdev *mdev = net->mdev;
	struct rx_queue *rx;
	unsigned int pair = 0;
	bool queued = false;

	pthread_mutex_lock(&net->lock);
	if (wanted(net, frame)) {
		pair = steer(net, frame);
		rx = &net->rx[pair];
		if (rx->num < BACKLOG && rx->bytes < BACKLOG_BYTES) {
			rx->frame[(rx->first + rx->num++) % BACKLOG] = frame;
			rx->bytes += frame->len;
			queued = true;
		}
	}
	pthread_mutex_unlock(&net->lock);
	if (queued) {
		mdev_kick_queue(mdev, 2 * pair);
		mailbox_wake(&mdev->mbox);
	} else {
		frame_put(frame);
	}
}

/* Whether the driver does what is left to do. */
static bool driver_does(const struct net *net, const struct frame *frame)
{
	uint64_t need = 0;

	if (frame->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		need |= BIT64(VIRTIO_NET_F_GUEST_CSUM);
	if (frame->ecn)
		need |= BIT64(VIRTIO_NET_F_GUEST_ECN);
	switch (frame->gso_type) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		need |= BIT64(VIRTIO_NET_F_GUEST_TSO4);
		break;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		need |= BIT64(VIRTIO_NET_F_GUEST_TSO6);
		break;
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		/* Which of the two it is matters little: nobody has one of them. */
		need |= BIT64(F_GUEST_USO4) | BIT64(F_GUEST_USO6);
		break;
	}
	return !(need & ~net->offloads);
}

/* Be at a frame. Return: false without one. */
static bool at_frame(struct net *net, struct rx_queue *rx)
{
	if (rx->current)
		return true;
	pthread_mutex_lock(&net->lock);
	if (rx->num) {
		rx->current = rx->frame[rx->first++ % BACKLOG];
		rx->num--;
		rx->bytes -= rx->current->len;
	}
	pthread_mutex_unlock(&net->lock);
	if (!rx->current)
		return false;
	rx->as_it_is = driver_does(net, rx->current);
	rx->segment = 0;
	return true;
}

/* What of the current frame is to be received next. NULL without memory. */
static struct frame *piece(struct rx_queue *rx)
{
	if (rx->as_it_is)
		return frame_get(rx->current);
	if (rx->current->gso_type)
		return frame_segment(rx->current, rx->segment);
	return frame_checksummed(rx->current);
}

/* That piece is done with. */
static void next_piece(struct rx_queue *rx)
{
	if (!rx->as_it_is && rx->current->gso_type &&
	    ++rx->segment < frame_segments(rx->current))
		return;
	frame_put(rx->current);
	rx->current = NULL;
}

/* Take buffers for len bytes. Return: how many, 0 if there are too few, -1 if it cannot be. */
static int take_buffers(struct mdev *mdev, struct virtq *vq, uint64_t len)
{
	struct net *net = mdev->priv;
	unsigned int num, max = mdev_has(mdev, VIRTIO_NET_F_MRG_RXBUF) ? MRG_MAX : 1;
	uint64_t room = 0;
	int ret;

	for (num = 0; num < max; ) {
		ret = vq_pop(vq, &net->rx_chain[num]);
		if (ret < 0)
			return -1;
		if (!ret) {
			vq_unpop(vq, net->rx_chain, num);
			return 0;
		}
		room += net->rx_chain[num++].in_len;
		if (room >= len)
			return num;
	}
	/* The frame does not fit in what a frame may take; another one may. */
	vq_unpop(vq, net->rx_chain, num);
	return -1;
}

static void make_header(struct mdev *mdev, const struct frame *frame, uint16_t num_buffers,
			struct virtio_net_hdr_v1_hash *hdr)
{
	struct net *net = mdev->priv;
	uint32_t hash;

	memset(hdr, 0, sizeof(*hdr));
	/* Its beginning is the same. */
	frame_header(frame, (struct virtio_net_hdr *)hdr);
	if (!(net->offloads & BIT64(VIRTIO_NET_F_GUEST_CSUM)))
		hdr->hdr.flags = 0;
	hdr->hdr.num_buffers = htole16(num_buffers);
	if (mdev_has(mdev, VIRTIO_NET_F_HASH_REPORT)) {
		hdr->hash_report = htole16(frame_hash(frame, net->rss.types, net->rss.key, &hash));
		hdr->hash_value = htole32(hash);
	}
}

/* Put a frame into buffers. In a section. Return: 1, 0 without buffers, -1 if it is dropped. */
static int receive(struct mdev *mdev, struct virtq *vq, const struct frame *frame)
{
	struct virtio_net_hdr_v1_hash hdr;
	struct net *net = mdev->priv;
	struct mem *mem = mdev->mem;
	uint64_t done = 0, at, part, len = hdr_len(mdev) + frame->len;
	int num, i;

	num = take_buffers(mdev, vq, len);
	if (!num && vq_enable_notify(vq))
		num = take_buffers(mdev, vq, len);
	if (num <= 0)
		return num;
	make_header(mdev, frame, num, &hdr);
	for (i = 0; i < num; i++) {
		struct vq_chain *chain = &net->rx_chain[i];

		at = 0;
		if (!i) {
			at = hdr_len(mdev);
			vq_write(mem, chain, 0, &hdr, at);
		}
		part = chain->in_len > at ? chain->in_len - at : 0;
		if (part > frame->len - done)
			part = frame->len - done;
		vq_write(mem, chain, at, frame->data + done, part);
		done += part;
		vq_fill(vq, chain, at + part);
	}
	vq_flush(vq);
	mdev_notify(mdev, vq);
	return 1;
}

static bool serve_rx(struct mdev *mdev, struct virtq *vq)
{
	struct net *net = mdev->priv;
	struct rx_queue *rx = &net->rx[vq->index / 2];
	unsigned int budget;
	struct frame *frame;
	int ret;

	for (budget = MDEV_BUDGET; budget; budget--) {
		if (!at_frame(net, rx))
			return false;
		frame = piece(rx);
		if (frame) {
			if (!mem_enter(mdev->mem, mdev->epoch)) {
				frame_put(frame);
				return false;
			}
			vq_disable_notify(vq);
			ret = receive(mdev, vq, frame);
			mem_leave(mdev->mem);
			frame_put(frame);
			if (!ret)
				return false;
		}
		next_piece(rx);
	}
	return true;
}

/*
 * Transmission
 */

/* Whether the driver may leave to the device what it leaves. */
static bool header_allowed(const struct mdev *mdev, const struct virtio_net_hdr *hdr)
{
	if ((hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) && !mdev_has(mdev, VIRTIO_NET_F_CSUM))
		return false;
	if ((hdr->gso_type & VIRTIO_NET_HDR_GSO_ECN) && !mdev_has(mdev, VIRTIO_NET_F_HOST_ECN))
		return false;
	switch (hdr->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_NONE:
		return true;
	case VIRTIO_NET_HDR_GSO_TCPV4:
		return mdev_has(mdev, VIRTIO_NET_F_HOST_TSO4);
	case VIRTIO_NET_HDR_GSO_TCPV6:
		return mdev_has(mdev, VIRTIO_NET_F_HOST_TSO6);
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		return mdev_has(mdev, F_HOST_USO);
	default:
		return false;
	}
}

/* The frame in a chain, NULL for one that goes nowhere. In a section. */
static struct frame *read_frame(struct mdev *mdev, const struct vq_chain *chain)
{
	struct mem *mem = mdev->mem;
	uint32_t skip = hdr_len(mdev);
	struct virtio_net_hdr hdr;
	struct frame *frame;

	if (chain->out_len < skip + FRAME_MIN || chain->out_len > skip + FRAME_MAX)
		return NULL;
	frame = frame_alloc(chain->out_len - skip);
	if (!frame)
		return NULL;
	if (!vq_read(mem, chain, 0, &hdr, sizeof(hdr)) &&
	    !vq_read(mem, chain, skip, frame->data, frame->len)) {
		/* It is the device that says so, not the driver. */
		hdr.flags &= ~VIRTIO_NET_HDR_F_DATA_VALID;
		if (header_allowed(mdev, &hdr) && frame_offload(frame, &hdr))
			return frame;
		log_debug("device %llu: a frame of %u bytes with a wrong header",
			  (unsigned long long)mdev->id, frame->len);
	}
	frame_put(frame);
	return NULL;
}

static bool serve_tx(struct mdev *mdev, struct virtq *vq)
{
	struct mem *mem = mdev->mem;
	struct net *net = mdev->priv;
	struct vq_chain *chain = &mdev->chain;
	unsigned int budget;
	struct frame *frame;
	int ret;

	for (budget = MDEV_BUDGET; budget; budget--) {
		if (!mem_enter(mem, mdev->epoch))
			return false;
		ret = vq_pop(vq, chain);
		if (ret <= 0) {
			ret = ret < 0 ? 0 : vq_enable_notify(vq);
			mem_leave(mem);
			if (!ret)
				return false;
			continue;
		}
		vq_disable_notify(vq);
		frame = net->link_up ? read_frame(mdev, chain) : NULL;
		vq_push(vq, chain, 0);
		mdev_notify(mdev, vq);
		mem_leave(mem);
		if (frame)
			switch_send(&mdev->tvq->net_switch, &net->port, frame);
	}
	return true;
}

/*
 * The control queue
 */

static uint8_t ctrl_rx(struct mdev *mdev, uint8_t cmd, const uint8_t *data, size_t len)
{
	struct net *net = mdev->priv;

	bool *mode[] = {
		[VIRTIO_NET_CTRL_RX_PROMISC] = &net->promisc,
		[VIRTIO_NET_CTRL_RX_ALLMULTI] = &net->allmulti,
		[VIRTIO_NET_CTRL_RX_ALLUNI] = &net->alluni,
		[VIRTIO_NET_CTRL_RX_NOMULTI] = &net->nomulti,
		[VIRTIO_NET_CTRL_RX_NOUNI] = &net->nouni,
		[VIRTIO_NET_CTRL_RX_NOBCAST] = &net->nobcast,
	};

	if (cmd > VIRTIO_NET_CTRL_RX_NOBCAST || len != 1 || data[0] > 1 ||
	    !mdev_has(mdev, cmd <= VIRTIO_NET_CTRL_RX_ALLMULTI ? VIRTIO_NET_F_CTRL_RX :
								  VIRTIO_NET_F_CTRL_RX_EXTRA))
		return VIRTIO_NET_ERR;
	pthread_mutex_lock(&net->lock);
	*mode[cmd] = data[0];
	pthread_mutex_unlock(&net->lock);
	return VIRTIO_NET_OK;
}

/* One of the two lists of MAC_TABLE_SET. Return: the bytes that it takes, 0 if it is wrong. */
static size_t get_macs(const uint8_t *data, size_t len, uint32_t *num, const uint8_t **macs)
{
	uint32_t n;

	if (len < sizeof(n))
		return 0;
	memcpy(&n, data, sizeof(n));
	*num = le32toh(n);
	*macs = data + sizeof(n);
	return *num <= (len - sizeof(n)) / 6 ? sizeof(n) + 6 * *num : 0;
}

static void set_macs(struct mac_list *list, uint32_t num, const uint8_t *macs)
{
	list->overflow = num > MACS;
	list->num = list->overflow ? 0 : num;
	memcpy(list->mac, macs, 6 * list->num);
}

static uint8_t ctrl_mac(struct mdev *mdev, uint8_t cmd, const uint8_t *data, size_t len)
{
	const uint8_t *unicast, *multicast;
	uint32_t num_unicast, num_multicast;
	struct net *net = mdev->priv;
	size_t used;

	if (cmd == VIRTIO_NET_CTRL_MAC_ADDR_SET) {
		if (!mdev_has(mdev, VIRTIO_NET_F_CTRL_MAC_ADDR) || len != 6 || (data[0] & 1))
			return VIRTIO_NET_ERR;
		pthread_mutex_lock(&net->lock);
		memcpy(net->mac, data, 6);
		pthread_mutex_unlock(&net->lock);
		pthread_mutex_lock(&mdev->lock);
		if (memcmp(&mdev->config[CONFIG(mac)], data, 6)) {
			memcpy(&mdev->config[CONFIG(mac)], data, 6);
			mdev->generation++;
		}
		pthread_mutex_unlock(&mdev->lock);
		return VIRTIO_NET_OK;
	}
	if (cmd != VIRTIO_NET_CTRL_MAC_TABLE_SET || !mdev_has(mdev, VIRTIO_NET_F_CTRL_RX))
		return VIRTIO_NET_ERR;
	used = get_macs(data, len, &num_unicast, &unicast);
	if (!used || !get_macs(data + used, len - used, &num_multicast, &multicast))
		return VIRTIO_NET_ERR;
	pthread_mutex_lock(&net->lock);
	set_macs(&net->unicast, num_unicast, unicast);
	set_macs(&net->multicast, num_multicast, multicast);
	pthread_mutex_unlock(&net->lock);
	return VIRTIO_NET_OK;
}

static uint8_t ctrl_vlan(struct mdev *mdev, uint8_t cmd, const uint8_t *data, size_t len)
{
	struct net *net = mdev->priv;
	uint16_t id;

	if (!mdev_has(mdev, VIRTIO_NET_F_CTRL_VLAN) || len != 2)
		return VIRTIO_NET_ERR;
	id = data[0] | data[1] << 8;
	if (id >= 4096 || (cmd != VIRTIO_NET_CTRL_VLAN_ADD && cmd != VIRTIO_NET_CTRL_VLAN_DEL))
		return VIRTIO_NET_ERR;
	pthread_mutex_lock(&net->lock);
	if (cmd == VIRTIO_NET_CTRL_VLAN_ADD)
		net->vlans[id / 64] |= BIT64(id % 64);
	else
		net->vlans[id / 64] &= ~BIT64(id % 64);
	pthread_mutex_unlock(&net->lock);
	return VIRTIO_NET_OK;
}

static uint8_t ctrl_announce(struct mdev *mdev, uint8_t cmd)
{
	struct net *net = mdev->priv;

	if (!mdev_has(mdev, VIRTIO_NET_F_GUEST_ANNOUNCE) || cmd != VIRTIO_NET_CTRL_ANNOUNCE_ACK)
		return VIRTIO_NET_ERR;
	net->announce = false;
	pthread_mutex_lock(&mdev->lock);
	put_config16(mdev, CONFIG(status), net_status(net));
	mdev->generation++;
	pthread_mutex_unlock(&mdev->lock);
	return VIRTIO_NET_OK;
}

/*
 * The hash key at the end of a command. There may be a byte too many: Linux 7.2
 * (commit_rss_command) counts the padding of a structure that ends with the key.
 */
static bool get_key(struct rss *rss, const uint8_t *data, size_t len)
{
	if (!len || data[0] > HASH_KEY_MAX || len < 1u + data[0] || len > 2u + data[0])
		return false;
	/* Without a key there is no hash. */
	if (rss->types && !data[0])
		return false;
	memcpy(rss->key, data + 1, data[0]);
	return true;
}

static uint16_t get16(const uint8_t *data)
{
	return data[0] | data[1] << 8;
}

/* struct virtio_net_rss_config: types, mask, unclassified, table, max_tx_vq, key */
static uint8_t ctrl_rss(struct mdev *mdev, const uint8_t *data, size_t len)
{
	struct rss rss = { .steers = true };
	struct net *net = mdev->priv;
	uint16_t pairs, i;

	if (!mdev_has(mdev, VIRTIO_NET_F_RSS) || len < 8)
		return VIRTIO_NET_ERR;
	rss.types = get16(data) | (uint32_t)get16(data + 2) << 16;
	rss.num = get16(data + 4) + 1u;
	rss.unclassified = get16(data + 6);
	if ((rss.types & ~HASH_TYPES) || rss.num > RSS_TABLE || (rss.num & (rss.num - 1)) ||
	    rss.unclassified >= max_pairs(mdev) || len < 8 + 2 * rss.num + 2)
		return VIRTIO_NET_ERR;
	for (i = 0; i < rss.num; i++) {
		rss.table[i] = get16(data + 8 + 2 * i);
		if (rss.table[i] >= max_pairs(mdev))
			return VIRTIO_NET_ERR;
	}
	data += 8 + 2 * rss.num;
	len -= 8 + 2 * rss.num;
	pairs = get16(data);
	if (!pairs || pairs > max_pairs(mdev) || !get_key(&rss, data + 2, len - 2))
		return VIRTIO_NET_ERR;
	pthread_mutex_lock(&net->lock);
	net->pairs = pairs;
	net->rss = rss;
	pthread_mutex_unlock(&net->lock);
	return VIRTIO_NET_OK;
}

/* struct virtio_net_hash_config: types, 4 reserved words, key */
static uint8_t ctrl_hash(struct mdev *mdev, const uint8_t *data, size_t len)
{
	struct net *net = mdev->priv;
	struct rss rss = { 0 };

	if (!mdev_has(mdev, VIRTIO_NET_F_HASH_REPORT) || len < 12)
		return VIRTIO_NET_ERR;
	rss.types = get16(data) | (uint32_t)get16(data + 2) << 16;
	if ((rss.types & ~HASH_TYPES) || !get_key(&rss, data + 12, len - 12))
		return VIRTIO_NET_ERR;
	pthread_mutex_lock(&net->lock);
	net->rss = rss;
	pthread_mutex_unlock(&net->lock);
	return VIRTIO_NET_OK;
}

static uint8_t ctrl_mq(struct mdev *mdev, uint8_t cmd, const uint8_t *data, size_t len)
{
	struct net *net = mdev->priv;
	uint16_t pairs;

	if (cmd == VIRTIO_NET_CTRL_MQ_RSS_CONFIG)
		return ctrl_rss(mdev, data, len);
	if (cmd == VIRTIO_NET_CTRL_MQ_HASH_CONFIG)
		return ctrl_hash(mdev, data, len);
	if (!mdev_has(mdev, VIRTIO_NET_F_MQ) || cmd != VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET || len != 2)
		return VIRTIO_NET_ERR;
	pairs = get16(data);
	if (!pairs || pairs > max_pairs(mdev))
		return VIRTIO_NET_ERR;
	pthread_mutex_lock(&net->lock);
	net->pairs = pairs;
	net->rss.steers = false;
	pthread_mutex_unlock(&net->lock);
	return VIRTIO_NET_OK;
}

static uint8_t ctrl_offloads(struct mdev *mdev, uint8_t cmd, const uint8_t *data, size_t len)
{
	struct net *net = mdev->priv;
	uint64_t offloads;

	if (!mdev_has(mdev, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) ||
	    cmd != VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET || len != sizeof(offloads))
		return VIRTIO_NET_ERR;
	memcpy(&offloads, data, sizeof(offloads));
	offloads = le64toh(offloads);
	if (offloads & ~(mdev->driver_features & GUEST_OFFLOADS))
		return VIRTIO_NET_ERR;
	net->offloads = offloads;
	return VIRTIO_NET_OK;
}

static uint8_t ctrl_command(struct mdev *mdev, const uint8_t *cmd, size_t len)
{
	if (len < 2)
		return VIRTIO_NET_ERR;
	switch (cmd[0]) {
	case VIRTIO_NET_CTRL_RX:
		return ctrl_rx(mdev, cmd[1], cmd + 2, len - 2);
	case VIRTIO_NET_CTRL_MAC:
		return ctrl_mac(mdev, cmd[1], cmd + 2, len - 2);
	case VIRTIO_NET_CTRL_VLAN:
		return ctrl_vlan(mdev, cmd[1], cmd + 2, len - 2);
	case VIRTIO_NET_CTRL_ANNOUNCE:
		return ctrl_announce(mdev, cmd[1]);
	case VIRTIO_NET_CTRL_MQ:
		return ctrl_mq(mdev, cmd[1], cmd + 2, len - 2);
	case VIRTIO_NET_CTRL_GUEST_OFFLOADS:
		return ctrl_offloads(mdev, cmd[1], cmd + 2, len - 2);
	default:
		return VIRTIO_NET_ERR;
	}
}

static bool serve_ctrl(struct mdev *mdev, struct virtq *vq)
{
	struct mem *mem = mdev->mem;
	struct vq_chain *chain = &mdev->chain;
	unsigned int budget;
	uint8_t cmd[CTRL_MAX], ack;
	int ret;

	for (budget = MDEV_BUDGET; budget; budget--) {
		if (!mem_enter(mem, mdev->epoch))
			return false;
		ret = vq_pop(vq, chain);
		if (ret <= 0) {
			ret = ret < 0 ? 0 : vq_enable_notify(vq);
			mem_leave(mem);
			if (!ret)
				return false;
			continue;
		}
		ack = VIRTIO_NET_ERR;
		if (chain->out_len <= sizeof(cmd) && !vq_read(mem, chain, 0, cmd, chain->out_len))
			ack = ctrl_command(mdev, cmd, chain->out_len);
		ret = vq_write(mem, chain, 0, &ack, sizeof(ack));
		vq_push(vq, chain, ret ? 0 : sizeof(ack));
		mdev_notify(mdev, vq);
		mem_leave(mem);
	}
	return true;
}

static bool net_serve(struct mdev *mdev, struct virtq *vq)
{
	uint16_t ctrl = ctrl_index(mdev);

	if (vq->index == ctrl)
		return serve_ctrl(mdev, vq);
	/* Queues that the negotiated features leave without a use */
	if (vq->index > ctrl || vq->index >= 2 * max_pairs(mdev))
		return false;
	return vq->index % 2 ? serve_tx(mdev, vq) : serve_rx(mdev, vq);
}

static void net_start(struct mdev *mdev)
{
	struct net *net = mdev->priv;

	pthread_mutex_lock(&net->lock);
	net->filter_vlans = mdev_has(mdev, VIRTIO_NET_F_CTRL_VLAN);
	/* That of before the reset, where the device's parts were set. */
	memcpy(net->mac, &mdev->config[CONFIG(mac)], 6);
	pthread_mutex_unlock(&net->lock);
	net->offloads = mdev->driver_features & GUEST_OFFLOADS;
	net->port.deliver = net_deliver;
	if (net->link_up)
		switch_attach(&mdev->tvq->net_switch, &net->port);
}

/*
 * What a driver has set through the control queue, as it is carried over
 */

#define STATE_VERSION	1
#define STATE_OVERFLOW	0xffff	/* of a list of addresses, instead of their number */

#define STATE_PROMISC	0x01
#define STATE_ALLMULTI	0x02
#define STATE_ALLUNI	0x04
#define STATE_NOMULTI	0x08
#define STATE_NOUNI	0x10
#define STATE_NOBCAST	0x20
#define STATE_STEERS	0x40
#define STATE_ANNOUNCE	0x80

struct net_state {
	uint8_t version;
	uint8_t flags;
	uint16_t pairs;
	uint16_t num_unicast;
	uint16_t num_multicast;
	uint64_t offloads;
	uint8_t unicast[MACS][6];
	uint8_t multicast[MACS][6];
	uint64_t vlans[4096 / 64];
	uint32_t rss_types;
	uint16_t rss_num;
	uint16_t rss_unclassified;
	uint8_t rss_key[HASH_KEY_MAX];
	uint16_t rss_table[RSS_TABLE];
} __attribute__((packed));

static uint16_t save_list(const struct mac_list *list, uint8_t mac[MACS][6])
{
	memcpy(mac, list->mac, 6 * list->num);
	return htole16(list->overflow ? STATE_OVERFLOW : list->num);
}

static uint32_t net_get_state(struct mdev *mdev, uint8_t **out)
{
	struct net_state *state = calloc(1, sizeof(*state));
	struct net *net = mdev->priv;
	unsigned int i;

	*out = (uint8_t *)state;
	if (!state)
		return 0;
	pthread_mutex_lock(&net->lock);
	state->version = STATE_VERSION;
	state->flags = (net->promisc ? STATE_PROMISC : 0) | (net->allmulti ? STATE_ALLMULTI : 0) |
		       (net->alluni ? STATE_ALLUNI : 0) | (net->nomulti ? STATE_NOMULTI : 0) |
		       (net->nouni ? STATE_NOUNI : 0) | (net->nobcast ? STATE_NOBCAST : 0) |
		       (net->rss.steers ? STATE_STEERS : 0) |
		       (net->announce ? STATE_ANNOUNCE : 0);
	state->pairs = htole16(net->pairs);
	state->num_unicast = save_list(&net->unicast, state->unicast);
	state->num_multicast = save_list(&net->multicast, state->multicast);
	state->offloads = htole64(net->offloads);
	for (i = 0; i < 4096 / 64; i++)
		state->vlans[i] = htole64(net->vlans[i]);
	state->rss_types = htole32(net->rss.types);
	state->rss_num = htole16(net->rss.num);
	state->rss_unclassified = htole16(net->rss.unclassified);
	memcpy(state->rss_key, net->rss.key, HASH_KEY_MAX);
	for (i = 0; i < net->rss.num; i++)
		state->rss_table[i] = htole16(net->rss.table[i]);
	pthread_mutex_unlock(&net->lock);
	return sizeof(*state);
}

static uint32_t net_state_max(struct mdev *mdev)
{
	return sizeof(struct net_state);
}

static bool list_ok(uint16_t num)
{
	return le16toh(num) <= MACS || le16toh(num) == STATE_OVERFLOW;
}

/* As the commands for these things would have it. */
static bool net_state_ok(struct mdev *mdev, uint64_t features, const uint8_t *in, uint32_t len)
{
	const uint8_t rx = STATE_ALLMULTI;
	const uint8_t extra = STATE_ALLUNI | STATE_NOMULTI | STATE_NOUNI | STATE_NOBCAST;
	const struct net_state *state = (void *)in;
	uint16_t pairs, num, i;
	bool vlans = false;

	if (len != sizeof(*state) || state->version != STATE_VERSION)
		return false;
	if (!(features & BIT64(VIRTIO_NET_F_CTRL_RX)) &&
	    ((state->flags & rx) || !(state->flags & STATE_PROMISC) || state->num_unicast ||
	     state->num_multicast))
		return false;
	if (!(features & BIT64(VIRTIO_NET_F_CTRL_RX_EXTRA)) && (state->flags & extra))
		return false;
	if (!(features & BIT64(VIRTIO_NET_F_GUEST_ANNOUNCE)) && (state->flags & STATE_ANNOUNCE))
		return false;
	if (!list_ok(state->num_unicast) || !list_ok(state->num_multicast) ||
	    (le64toh(state->offloads) & ~(features & GUEST_OFFLOADS)))
		return false;
	for (i = 0; i < 4096 / 64; i++)
		vlans |= state->vlans[i];
	if (vlans && !(features & BIT64(VIRTIO_NET_F_CTRL_VLAN)))
		return false;
	pairs = le16toh(state->pairs);
	if (!pairs || pairs > max_pairs(mdev) ||
	    (pairs > 1 && !(features & (BIT64(VIRTIO_NET_F_MQ) | BIT64(VIRTIO_NET_F_RSS)))))
		return false;

	num = le16toh(state->rss_num);
	if ((state->flags & STATE_STEERS) ?
	    !(features & BIT64(VIRTIO_NET_F_RSS)) || !num || num > RSS_TABLE || (num & (num - 1)) :
	    num != 0)
		return false;
	if ((le32toh(state->rss_types) & ~HASH_TYPES) ||
	    le16toh(state->rss_unclassified) >= max_pairs(mdev))
		return false;
	for (i = 0; i < num; i++) {
		if (le16toh(state->rss_table[i]) >= max_pairs(mdev))
			return false;
	}
	return true;
}

static void load_list(struct mac_list *list, uint16_t num, const uint8_t mac[MACS][6])
{
	list->overflow = le16toh(num) == STATE_OVERFLOW;
	list->num = list->overflow ? 0 : le16toh(num);
	memcpy(list->mac, mac, 6 * list->num);
}

static void net_set_state(struct mdev *mdev, const uint8_t *in)
{
	const struct net_state *state = (void *)in;
	struct net *net = mdev->priv;
	unsigned int i;

	pthread_mutex_lock(&net->lock);
	net->promisc = state->flags & STATE_PROMISC;
	net->allmulti = state->flags & STATE_ALLMULTI;
	net->alluni = state->flags & STATE_ALLUNI;
	net->nomulti = state->flags & STATE_NOMULTI;
	net->nouni = state->flags & STATE_NOUNI;
	net->nobcast = state->flags & STATE_NOBCAST;
	net->pairs = le16toh(state->pairs);
	load_list(&net->unicast, state->num_unicast, state->unicast);
	load_list(&net->multicast, state->num_multicast, state->multicast);
	for (i = 0; i < 4096 / 64; i++)
		net->vlans[i] = le64toh(state->vlans[i]);
	memset(&net->rss, 0, sizeof(net->rss));
	net->rss.steers = state->flags & STATE_STEERS;
	net->rss.types = le32toh(state->rss_types);
	net->rss.num = le16toh(state->rss_num);
	net->rss.unclassified = le16toh(state->rss_unclassified);
	memcpy(net->rss.key, state->rss_key, HASH_KEY_MAX);
	for (i = 0; i < net->rss.num; i++)
		net->rss.table[i] = le16toh(state->rss_table[i]);
	pthread_mutex_unlock(&net->lock);
	net->offloads = le64toh(state->offloads);
	net->announce = (state->flags & STATE_ANNOUNCE) && net->link_up;
	pthread_mutex_lock(&mdev->lock);
	put_config16(mdev, CONFIG(status), net_status(net));
	pthread_mutex_unlock(&mdev->lock);
}

static bool net_config_ok(struct mdev *mdev, uint64_t features, const uint8_t *config)
{
	const uint8_t *mac = &config[CONFIG(mac)];

	return !memcmp(mac, mdev->params.mac, 6) ||
	       ((features & BIT64(VIRTIO_NET_F_CTRL_MAC_ADDR)) && !(mac[0] & 1));
}

static void status_changed(struct mdev *mdev)
{
	pthread_mutex_lock(&mdev->lock);
	put_config16(mdev, CONFIG(status), net_status(mdev->priv));
	pthread_mutex_unlock(&mdev->lock);
	mdev_config_changed(mdev);
}

static int net_link(struct mdev *mdev, bool up)
{
	struct net *net = mdev->priv;

	if (net->link_up == up)
		return 0;
	net->link_up = up;
	/* Linux turns the carrier on behind announcing, and needs another one then. */
	net->announce = up && mdev_has(mdev, VIRTIO_NET_F_GUEST_ANNOUNCE);
	if (!up)
		switch_detach(&mdev->tvq->net_switch, &net->port);
	else if (mdev->status & S_DRIVER_OK)
		switch_attach(&mdev->tvq->net_switch, &net->port);
	pthread_mutex_lock(&mdev->lock);
	mdev->params.link_down = !up;
	pthread_mutex_unlock(&mdev->lock);
	status_changed(mdev);
	return 0;
}

static int net_announce(struct mdev *mdev)
{
	struct net *net = mdev->priv;

	if (!net->link_up || !mdev_has(mdev, VIRTIO_NET_F_GUEST_ANNOUNCE))
		return -ENETDOWN;
	net->announce = true;
	status_changed(mdev);
	return 0;
}

static void net_describe(struct mdev *mdev, char *text, size_t size)
{
	const uint8_t *mac = &mdev->config[CONFIG(mac)];
	bool up = mdev->config[CONFIG(status)] & VIRTIO_NET_S_LINK_UP;

	snprintf(text, size, "mac=%02x:%02x:%02x:%02x:%02x:%02x link=%s", mac[0], mac[1], mac[2],
		 mac[3], mac[4], mac[5], up ? "up" : "down");
}

const struct mdev_type net_type = {
	.type = 1,
	.name = "net",
	.has_config_interrupt = true,
	.config_len = CONFIG_LEN,
	.features = BIT64(F_VERSION_1) | BIT64(F_ACCESS_PLATFORM) | BIT64(F_RING_INDIRECT) |
		    BIT64(F_RING_EVENT_IDX) | BIT64(F_RING_RESET) | BIT64(VIRTIO_NET_F_MAC) |
		    BIT64(VIRTIO_NET_F_STATUS) | BIT64(VIRTIO_NET_F_MTU) | BIT64(VIRTIO_NET_F_MQ) |
		    BIT64(VIRTIO_NET_F_CTRL_VQ) | BIT64(VIRTIO_NET_F_CTRL_RX) |
		    BIT64(VIRTIO_NET_F_CTRL_RX_EXTRA) | BIT64(VIRTIO_NET_F_CTRL_VLAN) |
		    BIT64(VIRTIO_NET_F_CTRL_MAC_ADDR) | BIT64(VIRTIO_NET_F_GUEST_ANNOUNCE) |
		    BIT64(VIRTIO_NET_F_MRG_RXBUF) | BIT64(VIRTIO_NET_F_CSUM) |
		    BIT64(VIRTIO_NET_F_HOST_TSO4) | BIT64(VIRTIO_NET_F_HOST_TSO6) |
		    BIT64(VIRTIO_NET_F_HOST_ECN) | BIT64(F_HOST_USO) | GUEST_OFFLOADS |
		    BIT64(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) | BIT64(VIRTIO_NET_F_RSS) |
		    BIT64(VIRTIO_NET_F_HASH_REPORT) | BIT64(VIRTIO_NET_F_SPEED_DUPLEX),
	.default_features = net_default_features,
	.features_ok = net_features_ok,
	.init_field = net_init_field,
	.params_ok = net_params_ok,
	.num_vqs = net_num_vqs,
	.queue_size = net_queue_size,
	.create = net_create,
	.destroy = net_destroy,
	.reset = net_reset,
	.start = net_start,
	.serve = net_serve,
	.get_state = net_get_state,
	.state_max = net_state_max,
	.state_ok = net_state_ok,
	.set_state = net_set_state,
	.config_driver = { CONFIG(mac), 6 },
	.config_live = { CONFIG(status), 2 },
	.config_ok = net_config_ok,
	.provision = net_provision,
	.link = net_link,
	.announce = net_announce,
	.describe = net_describe,
};
