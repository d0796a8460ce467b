// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/*
 * A switch that learns addresses. A frame goes to the port where its destination
 * was last seen as a source, or to all others.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <stddef.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "switch.h"

static int64_t seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return now.tv_sec;
}

/* Four places for each address. */
static struct switch_mac *mac_bucket(struct net_switch *sw, const uint8_t *mac)
{
	uint32_t hash = 2166136261u;
	int i;

	for (i = 0; i < 6; i++)
		hash = (hash ^ mac[i]) * 16777619u;
	return &sw->macs[(hash >> 8) % (SWITCH_MACS / 4) * 4];
}

static struct port *mac_find(struct net_switch *sw, const uint8_t *mac, int64_t now)
{
	struct switch_mac *entry = mac_bucket(sw, mac);
	int i;

	for (i = 0; i < 4; i++, entry++) {
		if (entry->port && !memcmp(entry->mac, mac, 6) && now - entry->seen < SWITCH_AGE)
			return entry->port;
	}
	return NULL;
}

static void mac_learn(struct net_switch *sw, const uint8_t *mac, struct port *port, int64_t now)
{
	struct switch_mac *bucket = mac_bucket(sw, mac), *entry = bucket;
	int i;

	/* The place of the address itself, or a free one, or the oldest. */
	for (i = 0; i < 4; i++) {
		if (bucket[i].port && !memcmp(bucket[i].mac, mac, 6)) {
			entry = &bucket[i];
			break;
		}
		if (entry->port && (!bucket[i].port || bucket[i].seen < entry->seen))
			entry = &bucket[i];
	}
	memcpy(entry->mac, mac, 6);
	entry->port = port;
	entry->seen = now;
}

void switch_attach(struct net_switch *sw, struct port *port)
{
	pthread_mutex_lock(&sw->lock);
	if (!port->attached) {
		port->next = sw->ports;
		sw->ports = port;
		port->attached = true;
	}
	pthread_mutex_unlock(&sw->lock);
}

/* Nothing is delivered to the port any more when this returns. */
void switch_detach(struct net_switch *sw, struct port *port)
{
	struct port **p;
	int i;

	pthread_mutex_lock(&sw->lock);
	if (port->attached) {
		for (p = &sw->ports; *p != port; p = &(*p)->next)
			;
		*p = port->next;
		port->attached = false;
		for (i = 0; i < SWITCH_MACS; i++) {
			if (sw->macs[i].port == port)
				sw->macs[i].port = NULL;
		}
	}
	pthread_mutex_unlock(&sw->lock);
}

/* Forward a frame that came in at a port. Takes the reference. */
void switch_send(struct net_switch *sw, struct port *from, struct frame *frame)
{
	const uint8_t *to_mac = frame->data, *from_mac = frame->data + 6;
	int64_t now = seconds();
	struct port *port = NULL;

	pthread_mutex_lock(&sw->lock);
	if (from->attached) {
		if (!(from_mac[0] & 1))
			mac_learn(sw, from_mac, from, now);
		if (!(to_mac[0] & 1))
			port = mac_find(sw, to_mac, now);
		if (port) {
			if (port != from)
				port->deliver(port, frame_get(frame));
		} else {
			for (port = sw->ports; port; port = port->next) {
				if (port != from)
					port->deliver(port, frame_get(frame));
			}
		}
	}
	pthread_mutex_unlock(&sw->lock);
	frame_put(frame);
}

/*
 * The uplink. Checksums and segments are the kernel's business: frames have a
 * header in both directions.
 */

static void tap_deliver(struct port *port, struct frame *frame)
{
	struct net_switch *sw = (void *)((char *)port - offsetof(struct net_switch, tap));
	struct virtio_net_hdr_v1 hdr = { 0 };
	struct iovec iov[2] = {
		{ .iov_base = &hdr, .iov_len = sizeof(hdr) },
		{ .iov_base = frame->data, .iov_len = frame->len },
	};

	frame_header(frame, (struct virtio_net_hdr *)&hdr);
	/* What the interface does not take now is lost, as on any wire. */
	if (writev(sw->tap_fd, iov, 2) < 0)
		log_debug("tap: a frame is lost: %s", strerror(errno));
	frame_put(frame);
}

static struct frame *tap_frame(const uint8_t *buf, size_t len)
{
	struct virtio_net_hdr hdr;
	struct frame *frame;

	if (len < sizeof(struct virtio_net_hdr_v1) + FRAME_MIN)
		return NULL;
	len -= sizeof(struct virtio_net_hdr_v1);
	frame = frame_alloc(len);
	if (!frame)
		return NULL;
	memcpy(&hdr, buf, sizeof(hdr));
	memcpy(frame->data, buf + sizeof(struct virtio_net_hdr_v1), len);
	if (frame_offload(frame, &hdr))
		return frame;
	log_debug("tap: a frame of %zu bytes with a wrong header", len);
	frame_put(frame);
	return NULL;
}

static void *tap_thread(void *arg)
{
	struct net_switch *sw = arg;
	struct pollfd fds[2] = {
		{ .fd = sw->stop_fd, .events = POLLIN },
		{ .fd = sw->tap_fd, .events = POLLIN },
	};
	static uint8_t buf[sizeof(struct virtio_net_hdr_v1) + FRAME_MAX];
	struct frame *frame;
	ssize_t n;

	for (;;) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			break;
		if (fds[0].revents)
			break;
		n = read(sw->tap_fd, buf, sizeof(buf));
		if (n < 0 && errno != EAGAIN && errno != EINTR) {
			log_error("tap: %s", strerror(errno));
			break;
		}
		frame = n > 0 ? tap_frame(buf, n) : NULL;
		if (frame)
			switch_send(sw, &sw->tap, frame);
	}
	return NULL;
}

/* Linux 6.2 and newer: in Debian 12's headers there is none. */
#ifndef TUN_F_USO4
#define TUN_F_USO4	0x20
#define TUN_F_USO6	0x40
#endif

static int tap_open(const char *name)
{
	const unsigned int offload = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int fd, size = sizeof(struct virtio_net_hdr_v1), little = 1;

	if (strlen(name) >= sizeof(ifr.ifr_name)) {
		log_error("tap %s: the name is too long", name);
		return -1;
	}
	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0) {
		log_error("tap: /dev/net/tun: %s", strerror(errno));
		return -1;
	}
	strcpy(ifr.ifr_name, name);
	if (ioctl(fd, TUNSETIFF, &ifr) || ioctl(fd, TUNSETVNETHDRSZ, &size) ||
	    ioctl(fd, TUNSETVNETLE, &little) ||
	    (ioctl(fd, TUNSETOFFLOAD, offload | TUN_F_USO4 | TUN_F_USO6) &&
	     ioctl(fd, TUNSETOFFLOAD, offload))) {
		log_error("tap %s: %s", name, strerror(errno));
		close(fd);
		return -1;
	}
	return fd;
}

int switch_start(struct net_switch *sw, const char *tap)
{
	memset(sw, 0, sizeof(*sw));
	pthread_mutex_init(&sw->lock, NULL);
	sw->tap_fd = -1;
	if (!tap)
		return 0;
	sw->tap_fd = tap_open(tap);
	if (sw->tap_fd < 0)
		return -1;
	sw->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (sw->stop_fd < 0 || pthread_create(&sw->thread, NULL, tap_thread, sw)) {
		log_error("tap %s: out of threads", tap);
		close(sw->tap_fd);
		sw->tap_fd = -1;
		return -1;
	}
	sw->tap.deliver = tap_deliver;
	switch_attach(sw, &sw->tap);
	return 0;
}

void switch_stop(struct net_switch *sw)
{
	uint64_t one = 1;

	if (sw->tap_fd >= 0) {
		switch_detach(sw, &sw->tap);
		if (write(sw->stop_fd, &one, sizeof(one)) < 0)
			log_error("tap: %s", strerror(errno));
		pthread_join(sw->thread, NULL);
		close(sw->stop_fd);
		close(sw->tap_fd);
	}
	pthread_mutex_destroy(&sw->lock);
}
