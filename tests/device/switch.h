/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause */
/* The network switch between managed network devices, and a TAP interface. */
#ifndef TVQ_SWITCH_H
#define TVQ_SWITCH_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "frame.h"

#define SWITCH_MACS	1024
#define SWITCH_AGE	300		/* seconds that an address is remembered */

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
