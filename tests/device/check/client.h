/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause */
/*
 * What the tests of the device share: a vfio-user client that is virtual machine
 * monitor and driver at once, in the same process as the device.
 */
#ifndef CHECK_CLIENT_H
#define CHECK_CLIENT_H

#include <linux/virtio_tvq.h>
#include <stdio.h>

#include "../mdev.h"
#include "../tvq.h"
#include "../vfu_proto.h"

/*
 * The harness
 */
struct test {
	const char *name;
	void (*run)(void);
	struct test *next;
};

void test_register(struct test *test);
void test_failed(const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
double test_now(void);
unsigned int test_seed(unsigned int n);
extern const char *test_device_path;

#define TEST(fn)								\
	static void fn(void);							\
	static struct test test_##fn = { .name = #fn, .run = fn };		\
	static void __attribute__((constructor)) register_##fn(void)		\
	{									\
		test_register(&test_##fn);					\
	}									\
	static void fn(void)

#define CHECK(cond)								\
	do {									\
		if (!(cond))							\
			test_failed(__FILE__, __LINE__, "%s", #cond);		\
	} while (0)
#define CHECK_EQ(a, b)								\
	do {									\
		unsigned long long a_ = (a), b_ = (b);				\
		if (a_ != b_)							\
			test_failed(__FILE__, __LINE__, "%s is %#llx, not %#llx", #a, a_, b_); \
	} while (0)

/*
 * The client
 */
#define GUEST_BASE	0x100000ull		/* guest memory: from here ... */
#define GUEST_SIZE	(64ull << 20)		/* ... so much */
#define MSI_BASE	0xfee00000ull
#define DEADLINE	2.0			/* seconds that any answer may take */

struct msi_seen {
	uint64_t address;
	uint32_t data;
};

struct client {
	struct tvq tvq;
	char dir[64];
	char socket[96];
	int stop_fd;
	pthread_t thread;
	bool running;

	int fd;
	uint16_t next_id;
	int memfd;
	uint8_t *mem;
	uint64_t alloc;				/* next free guest address */
	int irq_fd[MGMT_VECTORS];
	unsigned int num_irqs;			/* MSI-X vectors of the function, up to those */
	bool withhold;				/* do not answer the device's writes */
	unsigned int withheld;
	struct msi_seen msi[4096];		/* what the device has written by message */
	unsigned int num_msi;
};

void client_init(struct client *c, const struct tvq_options *opt);
void client_options(struct tvq_options *opt);
void client_attach(struct client *c, const char *socket);
void client_exit(struct client *c);
void client_connect(struct client *c);
void client_disconnect(struct client *c);
bool client_negotiate(struct client *c);
void client_send(struct client *c, const void *buf, size_t len, const int *fds, int num_fds);
bool client_read(struct client *c, void *buf, size_t len);
int client_poll(struct client *c, double seconds);
bool client_closed(struct client *c);
int client_request(struct client *c, uint16_t command, const void *out, size_t out_len,
		   const int *fds, int num_fds, void *in, size_t *in_len);
int client_map(struct client *c, uint64_t gpa, uint64_t size, uint64_t offset);
int client_unmap(struct client *c, uint64_t gpa, uint64_t size);
int region_read(struct client *c, unsigned int region, uint64_t offset, void *buf, uint32_t len);
int region_write(struct client *c, unsigned int region, uint64_t offset, const void *buf,
		 uint32_t len);
uint64_t region_get(struct client *c, unsigned int region, uint64_t offset, uint32_t len);
void region_put(struct client *c, unsigned int region, uint64_t offset, uint64_t value,
		uint32_t len);
void client_flr(struct client *c);
bool wait_msi(struct client *c, uint64_t address, uint32_t data, unsigned int count);
unsigned int count_msi(struct client *c, uint64_t address, uint32_t data);
void settle(struct client *c, double seconds);
bool signalled(struct client *c, int fd);
bool quiet_fd(int fd);

/* Wait for something, within the deadline. */
#define SOON(c, cond)								\
	do {									\
		double end_ = test_now() + DEADLINE;				\
										\
		while (!(cond) && test_now() < end_)				\
			settle(c, 0.001);					\
		if (!(cond))							\
			test_failed(__FILE__, __LINE__, "%s", #cond);		\
	} while (0)

uint64_t guest_alloc(struct client *c, uint64_t size, uint64_t align);
void *guest(struct client *c, uint64_t gpa);

/*
 * The driver
 */
struct ring {
	struct client *c;
	uint16_t size;
	uint64_t desc, driver, device;
	uint16_t free;				/* next descriptor to use, round and round */
	uint16_t avail;
	uint16_t used;
	/* Of a packed ring, where used is the place of the next used descriptor */
	bool packed;
	bool avail_wrap;
	bool used_wrap;
	uint16_t id;				/* of the next buffer */
	uint16_t num[64];			/* descriptors of the buffers, by id */
};

struct seg {
	uint64_t gpa;
	uint32_t len;
	bool in;
};

void ring_init(struct ring *ring, struct client *c, uint16_t size, bool packed);
uint16_t ring_put(struct ring *ring, const struct seg *seg, unsigned int num);
uint16_t ring_put_indirect(struct ring *ring, const struct seg *seg, unsigned int num);
void ring_desc(struct ring *ring, uint16_t i, uint64_t gpa, uint32_t len, uint16_t flags,
	       uint16_t next);
void ring_avail(struct ring *ring, uint16_t head);
uint16_t packed_flags(uint16_t flags, bool wrap);
void packed_desc(struct ring *ring, uint16_t i, uint64_t gpa, uint32_t len, uint16_t id,
		 uint16_t flags);
uint32_t ring_notification(struct ring *ring, uint16_t queue);
bool ring_wait(struct ring *ring, uint16_t *id, uint32_t *len);
uint16_t ring_used_idx(struct ring *ring);
bool ring_has_used(struct ring *ring);

int blk_request(struct ring *ring, void (*kick)(void *arg), void *arg, uint32_t type,
		uint64_t sector, void *data, uint32_t len, bool indirect);

struct reply {
	bool came;
	uint32_t used;				/* length that the device has written */
	uint32_t ack;
	uint16_t status;
	uint16_t qualifier;
	uint8_t in[8192];
	uint32_t in_len;
};

struct driver {
	struct client c;
	struct ring ring;			/* transport virtqueue */
	uint64_t in_gpa[256];			/* by head: where the reply goes */
	/* Admin virtqueues that are used */
	unsigned int num_admin;
	uint16_t admin_index;
	struct admin_ring {
		struct ring ring;
		struct { uint64_t gpa; uint32_t len; } in[256];
	} admin[ADMIN_QUEUES_MAX];
};

void driver_start(struct driver *d, const struct tvq_options *opt);
void driver_init(struct driver *d, const struct tvq_options *opt);
void driver_setup(struct driver *d);
void driver_exit(struct driver *d);
void driver_reset(struct driver *d);
void driver_kick(struct driver *d);
uint16_t post(struct driver *d, uint64_t id, uint16_t class, uint16_t command, const void *out,
	      uint32_t out_len, uint32_t in_room);
uint16_t collect(struct driver *d, struct reply *reply);
int command(struct driver *d, uint64_t id, uint16_t class, uint16_t cmd, const void *out,
	    uint32_t out_len, uint32_t in_room, struct reply *reply);

#define MGMT(cmd)	VIRTIO_TVQ_CLASS_MGMT, VIRTIO_TVQ_MGMT_##cmd
#define DEVICE(cmd)	VIRTIO_TVQ_CLASS_DEVICE, VIRTIO_TVQ_DEVICE_##cmd
#define VQ(cmd)		VIRTIO_TVQ_CLASS_VQ, VIRTIO_TVQ_VQ_##cmd
#define MSI(cmd)	VIRTIO_TVQ_CLASS_MSI, VIRTIO_TVQ_MSI_##cmd
/* What command() returns for an ERR */
#define ERR(status, q)	((VIRTIO_TVQ_STATUS_##status << 16) | VIRTIO_TVQ_Q_##q)
#define NO_ANSWER	(-1)
#define NO_REASON	(-2)

/*
 * Admin commands
 */
struct admin_reply {
	bool came;
	uint32_t used;				/* length that the device has written */
	uint16_t status;
	uint16_t qualifier;
	const uint8_t *result;			/* command specific, ... */
	uint32_t len;				/* ... so much of it */
};

#define SELF_GROUP	VIRTIO_ADMIN_GROUP_TYPE_SELF
#define SRIOV_GROUP	VIRTIO_ADMIN_GROUP_TYPE_SRIOV
#define MANAGED_GROUP	VIRTIO_TVQ_ADMIN_GROUP_MANAGED
/* One after the other */
#define ADMIN(c)	VIRTIO_ADMIN_CMD_##c
#define MEMBER_GET	VIRTIO_TVQ_ADMIN_CMD_MEMBER_GET
#define MEMBER_SET	VIRTIO_TVQ_ADMIN_CMD_MEMBER_SET

void admin_init(struct driver *d, const struct tvq_options *opt, unsigned int queues);
void admin_setup(struct driver *d);
void admin_ring_bell(struct driver *d, unsigned int q);
uint16_t admin_post_raw(struct driver *d, unsigned int q, const void *out, uint32_t out_len,
			uint32_t in_len);
uint16_t admin_post(struct driver *d, unsigned int q, uint16_t opcode, uint16_t group,
		    uint64_t member, const void *data, uint32_t len, uint32_t room);
uint16_t admin_collect(struct driver *d, unsigned int q, struct admin_reply *reply);
int admin_on(struct driver *d, unsigned int q, uint16_t opcode, uint16_t group, uint64_t member,
	     const void *data, uint32_t len, uint32_t room, struct admin_reply *reply);
int admin(struct driver *d, uint16_t opcode, uint16_t group, uint64_t member, const void *data,
	  uint32_t len, uint32_t room, struct admin_reply *reply);
int admin_use_all(struct driver *d, uint16_t group);
int admin_set_caps(struct driver *d, uint8_t get, uint8_t set);
int admin_object(struct driver *d, uint16_t opcode, uint16_t group, uint64_t member, uint32_t id,
		 uint8_t kind);
int admin_mode(struct driver *d, uint16_t group, uint64_t member, bool stop);

/* The objects that these use: one of each kind */
#define GET_OBJECT	0
#define SET_OBJECT	1

void parts_ready(struct driver *d, uint16_t group, uint64_t member);
int parts_get(struct driver *d, uint16_t group, uint64_t member, void *parts, uint32_t *len);
int parts_set(struct driver *d, uint16_t group, uint64_t member, const void *parts, uint32_t len);
uint8_t *part_find(uint8_t *parts, uint32_t len, uint16_t type, uint16_t index);
uint32_t part_size(const uint8_t *part);

struct managed {
	struct driver *d;
	uint64_t id;
	struct virtio_tvq_device_info info;
	uint8_t config[64];
	uint16_t sizes[128];
	uint64_t doorbell;
	uint64_t features;			/* negotiated */
	struct ring ring[16];
};

int create(struct driver *d, struct virtio_tvq_create *req, struct managed *m);
int create_simple(struct driver *d, uint32_t type, const char *name, uint16_t vqs,
		  struct managed *m);
int create_with(struct driver *d, uint32_t type, uint64_t extra, struct managed *m);
int create_sized(struct driver *d, const char *name, uint64_t sectors, struct managed *m);
int negotiate(struct managed *m, uint64_t features, uint8_t *status);
int setup(struct managed *m, unsigned int num_vqs, uint16_t size);
int set_status(struct managed *m, uint8_t status);
bool bring_up(struct managed *m, unsigned int num_vqs, uint16_t size, uint64_t without);
void doorbell(struct managed *m, uint16_t queue);
uint64_t msi_address(struct managed *m, unsigned int vector);

/*
 * A device that is a function of its own
 */
#define PLAIN_QUEUES	4

struct plain_driver {
	struct client c;
	uint64_t offered;
	uint64_t features;			/* negotiated */
	struct ring ring[PLAIN_QUEUES];
};

void plain_attach(struct plain_driver *p, const char *socket);
void plain_detach(struct plain_driver *p);
bool plain_negotiate(struct plain_driver *p, uint64_t features);
void plain_queue(struct plain_driver *p, uint16_t queue, uint16_t size);
bool plain_bring_up(struct plain_driver *p, unsigned int num_vqs, uint16_t size, uint64_t without);
void plain_doorbell(struct plain_driver *p, uint16_t queue);
uint8_t plain_get_status(struct plain_driver *p);

#endif
