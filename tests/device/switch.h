/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause */
/* The network switch between managed network devices, and a TAP interface. */
#ifndef TVQ_SWITCH_H
#define TVQ_SWITCH_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define FRAME_MIN	14
#define FRAME_MAX	65550		/* the largest IP packet, with its Ethernet header */
#define SWITCH_MACS	1024
#define SWITCH_AGE	300		/* seconds that an address is remembered */

/* An Ethernet frame. Several ports may hold one, so nobody changes it. */
struct frame {
	unsigned int refs;
	uint32_t len;
	uint8_t data[];
};

struct frame *frame_alloc(uint32_t len);
struct frame *frame_get(struct frame *frame);
void frame_put(struct frame *frame);

struct port {
	struct port *next;
	bool attached;
	/* Called with switch.lock. Takes the reference. */
	void (*deliver)(struct port *port, struct frame *frame);
};

struct net_switch {
	/* lock guards ports and macs. */
	pthread_mutex_t lock;
	struct port *ports;
	struct switch_mac {
		uint8_t mac[6];
		struct port *port;	/* NULL: free */
		int64_t seen;
	} macs[SWITCH_MACS];

	/* The uplink */
	struct port tap;
	int tap_fd;
	int stop_fd;
	pthread_t thread;
};

int switch_start(struct net_switch *sw, const char *tap);
void switch_stop(struct net_switch *sw);
void switch_attach(struct net_switch *sw, struct port *port);
void switch_detach(struct net_switch *sw, struct port *port);
void switch_send(struct net_switch *sw, struct port *from, struct frame *frame);

#endif
