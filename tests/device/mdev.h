/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause */
/*
 * A device: what is provisioned, what a driver has set, its worker. How a driver
 * reaches it is a struct mdev_access: as a managed device (managed.c) or as a PCI
 * function of its own (plain.c).
 *
 * A device type is a struct mdev_type. Its functions are called in the worker of
 * the device, but for those that say otherwise.
 */
#ifndef TVQ_MDEV_H
#define TVQ_MDEV_H

#include <stdatomic.h>

#include "admin.h"
#include "job.h"
#include "tvq.h"
#include "virtq.h"

#define MDEV_CONFIG_MAX		64
#define MDEV_BUDGET		64	/* buffers served before looking for commands */

/* An error of a command: status and qualifier in one int, 0 is OK. */
#define CMD_ERR(status, q)	(VIRTIO_TVQ_STATUS_##status << 16 | VIRTIO_TVQ_Q_##q)

/* What CREATE, the control socket and the state file say about a device. */
struct mdev_params {
	uint32_t type;
	uint16_t vqs;				/* as the type counts; 0: a default */
	uint16_t num_vectors;			/* 0: a default */
	bool have_features;
	uint64_t features[VIRTIO_TVQ_FEATURES_U64S];
	char name[VIRTIO_TVQ_NAME_LEN];
	char serial[VIRTIO_TVQ_SERIAL_LEN + 1];
	bool have_capacity;
	uint64_t capacity;			/* sectors of 512 bytes */
	bool have_mac;
	uint8_t mac[6];
	bool have_mtu;
	uint16_t mtu;
	bool link_down;				/* of a network interface */
	/* Of what is said above, what the device has chosen, and would choose again */
	bool auto_features;
	bool auto_vectors;
	/* What could not be read: refused when it is its turn */
	bool bad_name;
	bool bad_serial;
	bool bad_config;
};

/* In params.c */
const char *params_add_key(struct mdev_params *params, char *word);
bool params_get_size(const char *text, uint64_t *size);
const char *params_error_text(int err);

struct mdev;

/* Bytes of configuration space */
struct config_range {
	uint8_t offset;
	uint8_t len;
};

struct mdev_type {
	uint32_t type;
	const char *name;
	bool has_config_interrupt;		/* wants a vector for it */
	bool has_serial;
	uint64_t features;			/* all that can be offered */
	uint32_t config_len;
	/* Called by creators: what the device would offer when nothing is asked for. */
	uint64_t (*default_features)(const struct mdev_params *params);
	/* Whether each bit comes with those that it requires. */
	bool (*features_ok)(uint64_t features);
	/* One field of the initial configuration. Return: false if it cannot be provisioned. */
	bool (*init_field)(struct mdev_params *params, uint16_t offset, uint16_t len,
			   const uint8_t *data);
	/* Whether what else is in params makes sense for the type. */
	bool (*params_ok)(const struct mdev_params *params, uint64_t features);
	/* All queues that params ask for, the control queue included. */
	uint32_t (*num_vqs)(const struct mdev_params *params);
	uint16_t (*queue_size)(struct mdev *mdev, uint16_t index);
	/* The shared memory region that the type has to have. NULL if none. */
	uint64_t (*shm_length)(const struct mdev_params *params);
	/* Called by the creator, before the worker runs. Return: CMD_ERR or 0. */
	int (*create)(struct mdev *mdev);
	void (*destroy)(struct mdev *mdev);
	/* A reset of the device, or of one queue: wait for what is being done. */
	void (*reset)(struct mdev *mdev);
	void (*stop_queue)(struct mdev *mdev, struct virtq *vq);
	void (*start)(struct mdev *mdev);	/* DRIVER_OK has been set */
	/* The driver has written; data is what it wrote. Return: whether anything changed. */
	bool (*config_write)(struct mdev *mdev, uint32_t offset, const uint8_t *data,
			     uint32_t len);
	/* Serve a queue. Return: whether there is more to do at once. */
	bool (*serve)(struct mdev *mdev, struct virtq *vq);
	/*
	 * Give all buffers of all queues back, or leave them in their queue untouched, and
	 * do nothing behind this that the type's state does not know of. NULL for a type
	 * that never holds a buffer.
	 */
	void (*stop)(struct mdev *mdev);
	void (*resume)(struct mdev *mdev);
	/*
	 * What a driver has set through queues, and what of it the device still holds.
	 * get_state() allocates *state; NULL for a type without any. state_max: as long as
	 * it can become. set_state() gets what state_ok() has found good, when the
	 * device has been reset and its status, features and configuration are set.
	 */
	uint32_t (*get_state)(struct mdev *mdev, uint8_t **state);
	uint32_t (*state_max)(struct mdev *mdev);
	bool (*state_ok)(struct mdev *mdev, uint64_t features, const uint8_t *state, uint32_t len);
	void (*set_state)(struct mdev *mdev, const uint8_t *state);
	/* Of configuration space, what a driver may set, and what the device changes. */
	struct config_range config_driver;
	struct config_range config_live;
	bool (*config_ok)(struct mdev *mdev, uint64_t features, const uint8_t *config);
	/*
	 * Make room for what is provisioned anew, while the status is 0. The last that can
	 * fail. NULL for a type whose queues are what they are. Return: CMD_ERR or 0.
	 */
	int (*provision)(struct mdev *mdev, struct mdev_params *params, uint32_t num_vqs);
	/* For the control socket. Return: 0 or a negative error. */
	int (*resize)(struct mdev *mdev, uint64_t sectors);
	int (*link)(struct mdev *mdev, bool up);
	int (*announce)(struct mdev *mdev);
	/* What the type adds to a line of the list. With mdev.lock, any thread. */
	void (*describe)(struct mdev *mdev, char *text, size_t size);
};

/* How a driver reaches a device. Called in the worker. */
struct mdev_access {
	/* Tell the driver of used buffers. In a section. */
	void (*interrupt)(struct mdev *mdev, struct virtq *vq);
	/* Tell the driver of a changed configuration, or of DEVICE_NEEDS_RESET. */
	void (*config_changed)(struct mdev *mdev);
	/* What a driver has set is forgotten, and nothing of it is sent in this epoch. */
	void (*reset)(struct mdev *mdev, uint64_t epoch);
	/* The function has become bus master. NULL if that does not matter. */
	void (*bus_master)(struct mdev *mdev);
	/* From here on send nothing, or what there is to send. NULL: never stopped. */
	void (*stop)(struct mdev *mdev);
	void (*resume)(struct mdev *mdev);
	/* Let nobody find the device any more. With tvq.lock. */
	void (*forget)(struct mdev *mdev);
};

struct msi_entry {
	uint64_t address;
	uint32_t data;
	bool active;
	bool masked;
	bool pending;
	/* A message is on its way, with this id: an event until it has arrived is kept in again. */
	bool in_flight;
	bool again;
	uint16_t flight_id;
};

struct mdev {
	struct tvq *tvq;
	const struct mdev_access *access;
	struct pci *pci;			/* the function, and the memory that it sees */
	struct mem *mem;
	const struct mdev_type *type;
	uint64_t id;
	struct mdev_params params;		/* complete; mac, capacity: under lock */
	uint64_t features;			/* offered */
	uint16_t num_vqs;
	uint16_t num_vectors;
	uint32_t config_len;
	uint64_t shm_offset;			/* of its region, in BAR_SHM */
	uint64_t shm_length;			/* 0 for none */

	struct mailbox mbox;
	_Atomic uint64_t kicked[VIRTIO_TVQ_DEVICE_VQS_MAX / 64];	/* a bit for each queue */
	_Atomic bool notification_data;		/* negotiated */
	_Atomic bool bus_master;		/* the function has become that */

	/* The worker writes these under lock, and reads them without; others read under it. */
	pthread_mutex_t lock;
	uint8_t status;
	bool stopped;
	uint8_t config[MDEV_CONFIG_MAX];
	uint32_t generation;
	uint64_t driver_features;

	/* The worker's own */
	uint64_t epoch;
	bool dying;
	struct virtq *vqs;
	struct vq_chain chain;
	void *priv;				/* of the type */

	/* Of managed devices alone */
	uint32_t slot;				/* doorbell page */
	uint16_t config_vector;
	uint32_t given_generation;		/* of the configuration that the driver got last */
	uint8_t objects[ADMIN_OBJECTS];		/* under tvq.lock: the kind + 1, or 0 */
	pthread_mutex_t msi_lock;		/* guards the rest */
	pthread_cond_t msi_cond;		/* a message has arrived */
	uint64_t msi_epoch;
	bool msi_stopped;
	struct msi_entry *msi;
};

extern const struct mdev_type blk_type, net_type, rng_type, console_type, pmem_type;

const struct mdev_type *mdev_type_by_id(uint32_t type);
const struct mdev_type *mdev_type_by_name(const char *name);
const struct mdev_type *mdev_type_at(unsigned int i);

int mdev_prepare(struct tvq *tvq, const struct mdev_params *wanted, bool managed,
		 struct mdev **out);
int mdev_check(struct tvq *tvq, struct mdev_params *params, bool managed, const struct mdev *now,
	       uint32_t *num_vqs);
uint64_t mdev_possible_features(const struct mdev *mdev);
void mdev_set_access(struct mdev *mdev, const struct mdev_access *access, struct pci *pci);
int mdev_start_worker(struct mdev *mdev);
void mdev_free(struct mdev *mdev);
bool mdev_type_possible(const struct tvq *tvq, const struct mdev_type *type);
int mdev_take_shm(struct mdev *mdev, uint64_t length, uint64_t unit);
bool mdev_name_ok(const char *name);

/* For any thread that keeps the device from going: with tvq.lock, or in its function's thread */
void mdev_kick(struct mdev *mdev);
void mdev_kick_queue(struct mdev *mdev, uint16_t index);
void mdev_doorbell(struct mdev *mdev, uint32_t value, uint32_t len);
/* With tvq.lock */
struct mdev *mdev_find_name(struct tvq *tvq, const char *name);

/* In the worker */
bool mdev_has(const struct mdev *mdev, unsigned int bit);
void mdev_reset(struct mdev *mdev);
void mdev_stop(struct mdev *mdev);
void mdev_resume(struct mdev *mdev);
void mdev_set_features(struct mdev *mdev, uint64_t features);
void mdev_set_status(struct mdev *mdev, uint8_t status);
void mdev_needs_reset(struct mdev *mdev);
void mdev_config_changed(struct mdev *mdev);
void mdev_stop_queue(struct mdev *mdev, uint16_t index);
void mdev_notify(struct mdev *mdev, struct virtq *vq);

/*
 * Managed devices
 */

/* The description of a new device: how long it may be, and what it is. */
struct mdev_reply {
	uint32_t room;
	uint32_t len;
	uint8_t *buf;				/* the caller frees it, whatever was returned */
};

int managed_create(struct tvq *tvq, const struct mdev_params *params, uint64_t id, bool announce,
		   struct mdev_reply *reply, uint64_t *new_id);
/* With tvq.lock */
struct mdev *managed_find(struct tvq *tvq, uint64_t id);
/* In the socket thread */
void managed_doorbell(struct tvq *tvq, uint64_t slot, uint32_t value, uint32_t len);
void managed_written(struct tvq *tvq, uint16_t id, uint64_t cookie);
/* In the worker */
void managed_remove(struct mdev *mdev, bool announce);
void managed_set_config_vector(struct mdev *mdev, uint16_t vector);
void managed_msi_set(struct mdev *mdev, uint16_t first, uint16_t count,
		     const struct virtio_tvq_msi_entry *entries);
void managed_msi_get(struct mdev *mdev, uint16_t first, uint16_t count,
		     struct virtio_tvq_msi_entry *entries);
int managed_provision(struct mdev *mdev, const struct mdev_params *params);
void managed_info(struct mdev *mdev, void *buf);
uint32_t managed_info_len(const struct mdev *mdev);

/*
 * Devices that are PCI functions of their own
 */

struct plain_options {
	const char *socket;
	struct mdev_params params;
};

int plain_start(struct tvq *tvq, const struct plain_options *opt);
void plain_stop(struct plain *plain);
void plain_free(struct plain *plain);
/* With tvq.lock */
struct mdev *plain_find_name(struct tvq *tvq, const char *name);
struct mdev *plain_mdev(struct plain *plain);
bool mdev_is_plain(const struct mdev *mdev);

#endif
