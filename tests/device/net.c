// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/*
 * Network device: a port of the switch.
 *
 * Other threads deliver frames; they are filtered and wait, for one of the
 * receive queues, until the worker finds buffers for them.
 */
#include <linux/virtio_net.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "mdev.h"

#define CONFIG_LEN	12	/* mac, status, max_virtqueue_pairs, mtu */
#define CONFIG(field)	offsetof(struct virtio_net_config, field)
static_assert(CONFIG(mtu) + 2 == CONFIG_LEN, "virtio_net_config");

#define HDR_LEN		sizeof(struct virtio_net_hdr_v1)
#define BACKLOG		512	/* frames that wait for one queue */
#define MACS		64	/* of each kind in the filter */
#define MRG_MAX		64	/* buffers for one frame */
#define CTRL_MAX	4096	/* bytes of a control command */
#define DEFAULT_MTU	1500

struct rx_queue {
	struct frame *frame[BACKLOG];
	unsigned int first;
	unsigned int num;
};

struct mac_list {
	unsigned int num;
	uint8_t mac[MACS][6];
};

struct net {
	struct port port;
	struct mdev *mdev;
	bool link_up;
	bool announce;			/* the driver is asked to */
	struct vq_chain rx_chain[MRG_MAX];

	/* lock guards the rest: what frames wait, and which are wanted. */
	pthread_mutex_t lock;
	unsigned int pairs;		/* in use */
	struct rx_queue *rx;		/* one for each pair */
	uint8_t mac[6];
	bool promisc;
	bool allmulti;
	bool filter_vlans;
	struct mac_list unicast;
	struct mac_list multicast;
	uint64_t vlans[4096 / 64];
};

static unsigned int max_pairs(const struct mdev *mdev)
{
	return mdev->num_vqs / 2;
}

/* The index of the control queue; num_vqs or above if there is none. */
static uint16_t ctrl_index(const struct mdev *mdev)
{
	if (!mdev_has(mdev, VIRTIO_NET_F_CTRL_VQ))
		return UINT16_MAX;
	return mdev_has(mdev, VIRTIO_NET_F_MQ) ? 2 * max_pairs(mdev) : 2;
}

static uint64_t net_default_features(const struct mdev_params *params)
{
	uint64_t features = net_type.features;

	if (params->vqs <= 1)
		features &= ~BIT64(VIRTIO_NET_F_MQ);
	/* A driver takes it for the largest MTU that it may set. */
	if (!params->have_mtu)
		features &= ~BIT64(VIRTIO_NET_F_MTU);
	return features;
}

static bool net_features_ok(uint64_t features)
{
	const uint64_t need_ctrl = BIT64(VIRTIO_NET_F_CTRL_RX) | BIT64(VIRTIO_NET_F_CTRL_VLAN) |
				   BIT64(VIRTIO_NET_F_GUEST_ANNOUNCE) | BIT64(VIRTIO_NET_F_MQ) |
				   BIT64(VIRTIO_NET_F_CTRL_MAC_ADDR);

	return !(features & need_ctrl) || (features & BIT64(VIRTIO_NET_F_CTRL_VQ));
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

static int net_create(struct mdev *mdev)
{
	struct net *net = calloc(1, sizeof(*net));
	uint64_t id = mdev->id;

	if (!net)
		return CMD_ERR(ENOMEM, NONE);
	net->rx = calloc(max_pairs(mdev), sizeof(*net->rx));
	if (!net->rx) {
		free(net);
		return CMD_ERR(ENOMEM, NONE);
	}
	if (!mdev->params.have_mac && (mdev->features & BIT64(VIRTIO_NET_F_MAC))) {
		memcpy(mdev->params.mac, mdev->tvq->opt.mac_prefix, 3);
		mdev->params.mac[3] = id >> 16;
		mdev->params.mac[4] = id >> 8;
		mdev->params.mac[5] = id;
		mdev->params.have_mac = true;
	}
	pthread_mutex_init(&net->lock, NULL);
	net->mdev = mdev;
	net->link_up = true;
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
	}
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
	net->filter_vlans = false;
	net->unicast.num = 0;
	net->multicast.num = 0;
	memset(net->vlans, 0, sizeof(net->vlans));
	pthread_mutex_unlock(&net->lock);
	net->announce = false;

	pthread_mutex_lock(&mdev->lock);
	memcpy(old, mdev->config, sizeof(old));
	memcpy(&mdev->config[CONFIG(mac)], mdev->params.mac, 6);
	put_config16(mdev, CONFIG(status), net_status(net));
	put_config16(mdev, CONFIG(max_virtqueue_pairs), max_pairs(mdev));
	put_config16(mdev, CONFIG(mtu), mdev->params.have_mtu ? mdev->params.mtu : DEFAULT_MTU);
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
	return false;
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
		return true;
	if (mac[0] & 1)
		return net->allmulti || in_list(&net->multicast, mac);
	return !memcmp(mac, net->mac, 6) || in_list(&net->unicast, mac);
}

/* The same number for both directions of a flow. */
static unsigned int flow(const struct frame *frame)
{
	const uint8_t *p = frame->data + 14;
	uint32_t len = frame->len - 14, at, hash = 0, i;
	uint8_t protocol;

	if (frame->data[12] == 0x08 && !frame->data[13] && len >= 20) {
		at = 4 * (p[0] & 15);
		protocol = p[9];
		for (i = 12; i < 20; i++)
			hash += p[i];
		if ((p[6] & 0x3f) || p[7])
			at = len;	/* a fragment has no ports */
	} else if (frame->data[12] == 0x86 && frame->data[13] == 0xdd && len >= 40) {
		at = 40;
		protocol = p[6];
		for (i = 8; i < 40; i++)
			hash += p[i];
	} else {
		return 0;
	}
	if ((protocol == 6 || protocol == 17) && at + 4 <= len)
		hash += p[at] + p[at + 1] + p[at + 2] + p[at + 3];
	return hash;
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
		if (net->pairs > 1)
			pair = flow(frame) % net->pairs;
		rx = &net->rx[pair];
		if (rx->num < BACKLOG) {
			rx->frame[(rx->first + rx->num++) % BACKLOG] = frame;
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

static struct frame *take_frame(struct net *net, unsigned int pair)
{
	struct rx_queue *rx = &net->rx[pair];
	struct frame *frame = NULL;

	pthread_mutex_lock(&net->lock);
	if (rx->num) {
		frame = rx->frame[rx->first++ % BACKLOG];
		rx->num--;
	}
	pthread_mutex_unlock(&net->lock);
	return frame;
}

/* There were no buffers for a frame: it stays the next one. */
static void untake_frame(struct net *net, unsigned int pair, struct frame *frame)
{
	struct rx_queue *rx = &net->rx[pair];

	pthread_mutex_lock(&net->lock);
	if (rx->num < BACKLOG) {
		rx->frame[--rx->first % BACKLOG] = frame;
		rx->num++;
		frame = NULL;
	}
	pthread_mutex_unlock(&net->lock);
	if (frame)
		frame_put(frame);
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
			vq_unpop(vq, num);
			return 0;
		}
		room += net->rx_chain[num++].in_len;
		if (room >= len)
			return num;
	}
	/* The frame does not fit in what a frame may take; another one may. */
	vq_unpop(vq, num);
	return -1;
}

/* Put a frame into buffers. In a section. Return: 1, 0 without buffers, -1 if it is dropped. */
static int receive(struct mdev *mdev, struct virtq *vq, const struct frame *frame)
{
	struct virtio_net_hdr_v1 hdr = { 0 };
	struct net *net = mdev->priv;
	struct mem *mem = mdev->mem;
	uint64_t done = 0, at, part;
	int num, i;

	num = take_buffers(mdev, vq, HDR_LEN + frame->len);
	if (!num && vq_enable_notify(vq))
		num = take_buffers(mdev, vq, HDR_LEN + frame->len);
	if (num <= 0)
		return num;
	hdr.num_buffers = htole16(num);
	for (i = 0; i < num; i++) {
		struct vq_chain *chain = &net->rx_chain[i];

		at = 0;
		if (!i) {
			at = HDR_LEN;
			vq_write(mem, chain, 0, &hdr, HDR_LEN);
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
	unsigned int budget, pair = vq->index / 2;
	struct frame *frame;
	int ret;

	for (budget = MDEV_BUDGET; budget; budget--) {
		frame = take_frame(net, pair);
		if (!frame)
			return false;
		if (!mem_enter(mdev->mem, mdev->epoch)) {
			untake_frame(net, pair, frame);
			return false;
		}
		vq_disable_notify(vq);
		ret = receive(mdev, vq, frame);
		mem_leave(mdev->mem);
		if (!ret) {
			untake_frame(net, pair, frame);
			return false;
		}
		frame_put(frame);
	}
	return true;
}

/*
 * Transmission
 */

static bool serve_tx(struct mdev *mdev, struct virtq *vq)
{
	struct mem *mem = mdev->mem;
	struct net *net = mdev->priv;
	struct vq_chain *chain = &mdev->chain;
	unsigned int budget;
	struct frame *frame;
	uint64_t len;
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
		frame = NULL;
		len = chain->out_len;
		if (len >= HDR_LEN + FRAME_MIN && len <= HDR_LEN + FRAME_MAX && net->link_up)
			frame = frame_alloc(len - HDR_LEN);
		if (frame && vq_read(mem, chain, HDR_LEN, frame->data, frame->len)) {
			frame_put(frame);
			frame = NULL;
		}
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

	if (!mdev_has(mdev, VIRTIO_NET_F_CTRL_RX) || len != 1 || data[0] > 1)
		return VIRTIO_NET_ERR;
	if (cmd != VIRTIO_NET_CTRL_RX_PROMISC && cmd != VIRTIO_NET_CTRL_RX_ALLMULTI)
		return VIRTIO_NET_ERR;
	pthread_mutex_lock(&net->lock);
	if (cmd == VIRTIO_NET_CTRL_RX_PROMISC)
		net->promisc = data[0];
	else
		net->allmulti = data[0];
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
	list->num = num;
	memcpy(list->mac, macs, 6 * num);
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
	/* More than there is room for: take everything of the kind. */
	if (num_unicast > MACS)
		net->promisc = true;
	else
		set_macs(&net->unicast, num_unicast, unicast);
	if (num_multicast > MACS)
		net->allmulti = true;
	else
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

static uint8_t ctrl_mq(struct mdev *mdev, uint8_t cmd, const uint8_t *data, size_t len)
{
	struct net *net = mdev->priv;
	uint16_t pairs;

	if (!mdev_has(mdev, VIRTIO_NET_F_MQ) || cmd != VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET || len != 2)
		return VIRTIO_NET_ERR;
	pairs = data[0] | data[1] << 8;
	if (!pairs || pairs > max_pairs(mdev))
		return VIRTIO_NET_ERR;
	pthread_mutex_lock(&net->lock);
	net->pairs = pairs;
	pthread_mutex_unlock(&net->lock);
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
	pthread_mutex_unlock(&net->lock);
	net->port.deliver = net_deliver;
	if (net->link_up)
		switch_attach(&mdev->tvq->net_switch, &net->port);
}

static int net_link(struct mdev *mdev, bool up)
{
	struct net *net = mdev->priv;

	if (net->link_up == up)
		return 0;
	net->link_up = up;
	net->announce = up && mdev_has(mdev, VIRTIO_NET_F_GUEST_ANNOUNCE);
	if (!up)
		switch_detach(&mdev->tvq->net_switch, &net->port);
	else if (mdev->status & S_DRIVER_OK)
		switch_attach(&mdev->tvq->net_switch, &net->port);
	pthread_mutex_lock(&mdev->lock);
	put_config16(mdev, CONFIG(status), net_status(net));
	pthread_mutex_unlock(&mdev->lock);
	mdev_config_changed(mdev);
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
		    BIT64(VIRTIO_NET_F_CTRL_VLAN) | BIT64(VIRTIO_NET_F_CTRL_MAC_ADDR) |
		    BIT64(VIRTIO_NET_F_GUEST_ANNOUNCE) | BIT64(VIRTIO_NET_F_MRG_RXBUF),
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
	.link = net_link,
	.describe = net_describe,
};
