// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/*
 * Console: ports that carry bytes in both directions. Port 0 is the console, the
 * others have a name in the guest.
 *
 * Behind port N of a device is a UNIX socket DEVICE.N in the directory of
 * --console-dir, for one client at a time; a port without a client is closed on
 * this side, and what the driver writes to it is lost. Without that directory a port
 * gives back what is written to it.
 *
 * The worker moves bytes between queues and the buffers of ports, and a thread of
 * the device between those and the sockets. A port whose client does not read makes
 * its driver wait, but not the console: drivers write to that with interrupts off,
 * and wait for the buffer. What it has no room for is lost.
 */
#include <errno.h>
#include <linux/virtio_console.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"
#include "mdev.h"
#include "sock.h"

#define CONFIG_LEN	sizeof(struct virtio_console_config)
#define CONFIG(field)	offsetof(struct virtio_console_config, field)

#define FIFO_SIZE	16384	/* or less: fifo_limit() */
#define CHUNK		4096
#define CTRL_IN		2	/* queues for control messages, to the driver and from it */
#define CTRL_OUT	3

struct fifo {
	uint32_t first;
	uint32_t num;
	uint32_t limit;
	uint8_t data[FIFO_SIZE];
};

/* Control messages that a driver is still to get, in this order. */
#define SAY_ADD		1u
#define SAY_CONSOLE	2u
#define SAY_NAME	4u
#define SAY_OPEN	8u

struct console_port {
	/* The worker's */
	unsigned int say;
	bool ready;			/* the driver has it */
	bool driver_open;
	bool told_open;			/* what the driver was told last of this side */
	bool held;			/* a buffer of the driver's, not all of which is done */
	struct vq_chain chain;
	uint64_t done;
	uint64_t skip;			/* so much of the next buffer has been done before */

	char *path;
	int listen_fd;

	/* Under console.lock */
	int fd;				/* -1: nobody is connected */
	struct fifo in;			/* to the driver */
	struct fifo out;		/* from the driver */
};

struct console {
	struct mdev *mdev;
	unsigned int num;
	struct console_port *ports;
	bool echo;
	bool running;
	pthread_t thread;
	int wake_fd;			/* for the thread: buffers or stop have changed */
	struct pollfd *fds;		/* the thread's */

	pthread_mutex_t lock;		/* guards the rest, and what is said above */
	bool stop;
	bool paused;			/* the device is stopped: buffers stay as they are */
};

/* All fifos are a part of the device's state, which has to fit in one command. */
static uint32_t fifo_limit(const struct mdev_params *params)
{
	uint32_t all = params->vqs <= 128 ? 49152 : 8192, each = all / (2 * params->vqs);

	return each < FIFO_SIZE ? each : FIFO_SIZE;
}

/* What there is no room for any more, is lost. */
static void set_limit(struct fifo *fifo, uint32_t limit)
{
	fifo->limit = limit;
	if (fifo->num > limit)
		fifo->num = limit;
}

static uint32_t fifo_room(const struct fifo *fifo)
{
	return fifo->limit - fifo->num;
}

static void fifo_put(struct fifo *fifo, const uint8_t *data, uint32_t len)
{
	while (len--)
		fifo->data[(fifo->first + fifo->num++) % FIFO_SIZE] = *data++;
}

/* Copies; fifo_drop() takes. */
static uint32_t fifo_peek(const struct fifo *fifo, uint8_t *data, uint32_t len)
{
	uint32_t i;

	if (len > fifo->num)
		len = fifo->num;
	for (i = 0; i < len; i++)
		data[i] = fifo->data[(fifo->first + i) % FIFO_SIZE];
	return len;
}

static void fifo_drop(struct fifo *fifo, uint32_t len)
{
	fifo->first = (fifo->first + len) % FIFO_SIZE;
	fifo->num -= len;
}

static uint64_t console_default_features(const struct mdev_params *params)
{
	return console_type.features;
}

static bool console_features_ok(uint64_t features)
{
	return true;
}

static bool console_init_field(struct mdev_params *params, uint16_t offset, uint16_t len,
			       const uint8_t *data)
{
	return false;
}

static bool console_params_ok(const struct mdev_params *params, uint64_t features)
{
	return !params->have_capacity && !params->have_mac && !params->have_mtu;
}

/* Two for each port, and two for control messages */
static uint32_t console_num_vqs(const struct mdev_params *params)
{
	if (!(params->features[0] & BIT64(VIRTIO_CONSOLE_F_MULTIPORT)))
		return 2 * params->vqs;
	return 2 * params->vqs + 2;
}

static uint16_t console_queue_size(struct mdev *mdev, uint16_t index)
{
	return mdev->tvq->opt.queue_size ? mdev->tvq->opt.queue_size : 64;
}

static uint16_t port_queue(unsigned int port)
{
	return port ? 2 * port + 2 : 0;
}

/* In the guest and, with --console-dir, in that directory */
static void port_name(const struct mdev *mdev, unsigned int port, char *name, size_t size)
{
	if (mdev->params.name[0])
		snprintf(name, size, "%s.%u", mdev->params.name, port);
	else
		snprintf(name, size, "%llu.%u", (unsigned long long)mdev->id, port);
}

static void wake_thread(struct console *console)
{
	uint64_t one = 1;

	if (console->running && write(console->wake_fd, &one, sizeof(one)) < 0)
		log_error("console: %s", strerror(errno));
}

static void wake_worker(struct console *console, uint16_t queue)
{
	mdev_kick_queue(console->mdev, queue);
	mailbox_wake(&console->mdev->mbox);
}

/*
 * The thread
 */

/* The client has gone. With lock. */
static void port_hang_up(struct console *console, unsigned int i)
{
	struct console_port *port = &console->ports[i];

	close(port->fd);
	port->fd = -1;
	fifo_drop(&port->out, port->out.num);
	wake_worker(console, CTRL_IN);
	/* What waited for room in out waits no longer. */
	wake_worker(console, port_queue(i) + 1);
}

/* With lock. */
static void port_events(struct console *console, unsigned int i, short events)
{
	struct console_port *port = &console->ports[i];
	uint8_t buf[CHUNK];
	ssize_t n;

	if (port->fd < 0) {
		if (!events)
			return;
		port->fd = accept4(port->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (port->fd >= 0)
			wake_worker(console, CTRL_IN);
		return;
	}
	if (events && port->out.num) {
		n = send(port->fd, buf, fifo_peek(&port->out, buf, sizeof(buf)), MSG_NOSIGNAL);
		if (n > 0) {
			fifo_drop(&port->out, n);
			wake_worker(console, port_queue(i) + 1);
		} else if (n < 0 && errno != EAGAIN && errno != EINTR) {
			port_hang_up(console, i);
			return;
		}
	}
	if (!(events & (POLLIN | POLLHUP | POLLERR)) || !fifo_room(&port->in))
		return;
	n = fifo_room(&port->in) < sizeof(buf) ? fifo_room(&port->in) : sizeof(buf);
	n = recv(port->fd, buf, n, 0);
	if (n > 0) {
		fifo_put(&port->in, buf, n);
		wake_worker(console, port_queue(i));
	} else if (!n || (errno != EAGAIN && errno != EINTR)) {
		port_hang_up(console, i);
	}
}

static void *console_thread(void *arg)
{
	struct console *console = arg;
	struct pollfd *fds = console->fds;
	struct console_port *port;
	uint64_t value;
	unsigned int i;

	for (;;) {
		pthread_mutex_lock(&console->lock);
		for (i = 0; i < console->num; i++) {
			port = &console->ports[i];
			fds[i].fd = port->fd < 0 ? port->listen_fd : port->fd;
			fds[i].events = 0;
			fds[i].revents = 0;
			if (port->fd < 0 || fifo_room(&port->in))
				fds[i].events |= POLLIN;
			if (port->fd >= 0 && port->out.num)
				fds[i].events |= POLLOUT;
			/* Nothing can be done for it now, not even if the client goes. */
			if (!fds[i].events || console->paused)
				fds[i].fd = -1;
		}
		fds[i].fd = console->wake_fd;
		fds[i].events = POLLIN;
		if (console->stop) {
			pthread_mutex_unlock(&console->lock);
			return NULL;
		}
		pthread_mutex_unlock(&console->lock);
		if (poll(fds, console->num + 1, -1) < 0)
			continue;
		if (fds[i].revents && read(console->wake_fd, &value, sizeof(value)) < 0)
			log_debug("console: %s", strerror(errno));
		pthread_mutex_lock(&console->lock);
		for (i = 0; i < console->num && !console->paused; i++)
			port_events(console, i, fds[i].revents);
		pthread_mutex_unlock(&console->lock);
	}
}

/*
 * The life of a device
 */

/* Listen for ports from first on. Return: CMD_ERR or 0. */
static int listen_ports(struct mdev *mdev, struct console_port *ports, unsigned int first,
			unsigned int num)
{
	const char *dir = mdev->tvq->opt.console_dir;
	struct console_port *port;
	char name[64];
	unsigned int i;

	for (i = first; dir && i < num; i++) {
		port = &ports[i];
		port_name(mdev, i, name, sizeof(name));
		if (asprintf(&port->path, "%s/%s", dir, name) < 0) {
			port->path = NULL;
			return CMD_ERR(ENOMEM, NONE);
		}
		port->listen_fd = sock_listen(port->path);
		if (port->listen_fd < 0) {
			log_error("socket %s: %s", port->path, strerror(-port->listen_fd));
			return CMD_ERR(EINVAL, BACKEND);
		}
	}
	return 0;
}

static int start_thread(struct console *console)
{
	if (console->wake_fd < 0)
		console->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (console->wake_fd < 0 ||
	    pthread_create(&console->thread, NULL, console_thread, console))
		return CMD_ERR(ENOMEM, NONE);
	console->running = true;
	return 0;
}

static void stop_thread(struct console *console)
{
	if (!console->running)
		return;
	pthread_mutex_lock(&console->lock);
	console->stop = true;
	pthread_mutex_unlock(&console->lock);
	wake_thread(console);
	pthread_join(console->thread, NULL);
	console->running = false;
	console->stop = false;
}

static struct console_port *alloc_ports(const struct mdev_params *params)
{
	unsigned int num = params->vqs, i;
	struct console_port *ports = calloc(num, sizeof(*ports));

	for (i = 0; ports && i < num; i++) {
		ports[i].fd = -1;
		ports[i].listen_fd = -1;
		ports[i].in.limit = fifo_limit(params);
		ports[i].out.limit = fifo_limit(params);
	}
	return ports;
}

/* Of those from first on, what they have. */
static void close_ports(struct console_port *ports, unsigned int first, unsigned int num)
{
	struct console_port *port;
	unsigned int i;

	for (i = first; ports && i < num; i++) {
		port = &ports[i];
		if (port->fd >= 0)
			close(port->fd);
		if (port->listen_fd >= 0) {
			close(port->listen_fd);
			unlink(port->path);
		}
		free(port->path);
		vq_chain_free(&port->chain);
	}
}

static void console_destroy(struct mdev *mdev)
{
	struct console *console = mdev->priv;

	stop_thread(console);
	close_ports(console->ports, 0, console->num);
	if (console->wake_fd >= 0)
		close(console->wake_fd);
	pthread_mutex_destroy(&console->lock);
	free(console->fds);
	free(console->ports);
	free(console);
}

static int console_create(struct mdev *mdev)
{
	struct console *console;
	int err;

	/* Without control messages there is one port. */
	if (!(mdev->features & BIT64(VIRTIO_CONSOLE_F_MULTIPORT)) && mdev->params.vqs > 1)
		return CMD_ERR(EINVAL, VQS);
	console = calloc(1, sizeof(*console));
	if (!console)
		return CMD_ERR(ENOMEM, NONE);
	console->mdev = mdev;
	console->num = mdev->params.vqs;
	console->echo = !mdev->tvq->opt.console_dir;
	console->wake_fd = -1;
	pthread_mutex_init(&console->lock, NULL);
	console->ports = alloc_ports(&mdev->params);
	console->fds = calloc(console->num + 1, sizeof(*console->fds));
	mdev->priv = console;
	if (!console->ports || !console->fds) {
		console_destroy(mdev);
		return CMD_ERR(ENOMEM, NONE);
	}
	err = listen_ports(mdev, console->ports, 0, console->num);
	if (!err && !console->echo)
		err = start_thread(console);
	if (err) {
		console_destroy(mdev);
		return err;
	}
	console_type.reset(mdev);
	return 0;
}

static void console_reset(struct mdev *mdev)
{
	struct console *console = mdev->priv;
	uint32_t num_ports = htole32(console->num);
	struct console_port *port;
	unsigned int i;

	pthread_mutex_lock(&console->lock);
	for (i = 0; i < console->num; i++) {
		port = &console->ports[i];
		port->say = 0;
		port->ready = false;
		port->driver_open = false;
		port->held = false;
		port->skip = 0;
		fifo_drop(&port->in, port->in.num);
		fifo_drop(&port->out, port->out.num);
	}
	pthread_mutex_unlock(&console->lock);
	wake_thread(console);
	/* Nothing in it is changed by anybody: it is no news to the driver. */
	pthread_mutex_lock(&mdev->lock);
	memcpy(&mdev->config[CONFIG(max_nr_ports)], &num_ports, sizeof(num_ports));
	pthread_mutex_unlock(&mdev->lock);
}

static void console_start(struct mdev *mdev)
{
	struct console *console = mdev->priv;

	/* Nobody will say so. */
	if (!mdev_has(mdev, VIRTIO_CONSOLE_F_MULTIPORT))
		console->ports[0].driver_open = true;
}

/*
 * Queues
 */

/* The port that a queue belongs to, NULL for one without a use. */
static struct console_port *port_of(struct mdev *mdev, uint16_t queue)
{
	struct console *console = mdev->priv;
	unsigned int i = queue < 2 ? 0 : queue / 2 - 1;

	if (queue >= 2 && (!mdev_has(mdev, VIRTIO_CONSOLE_F_MULTIPORT) || !i))
		return NULL;
	return i < console->num ? &console->ports[i] : NULL;
}

static void console_stop_queue(struct mdev *mdev, struct virtq *vq)
{
	struct console_port *port = port_of(mdev, vq->index);

	if (port && vq->index % 2) {
		port->held = false;
		port->skip = 0;
	}
}

static bool serve_in(struct mdev *mdev, struct virtq *vq, struct console_port *port)
{
	struct console *console = mdev->priv;
	struct vq_chain *chain = &mdev->chain;
	unsigned int budget;
	uint8_t buf[CHUNK];
	uint32_t n;
	int ret;

	for (budget = MDEV_BUDGET; budget; budget--) {
		pthread_mutex_lock(&console->lock);
		n = port->driver_open ? fifo_peek(&port->in, buf, sizeof(buf)) : 0;
		pthread_mutex_unlock(&console->lock);
		if (!n || !mem_enter(mdev->mem, mdev->epoch))
			return false;
		vq_disable_notify(vq);
		ret = vq_pop(vq, chain);
		if (ret <= 0) {
			ret = ret < 0 ? 0 : vq_enable_notify(vq);
			mem_leave(mdev->mem);
			if (!ret)
				return false;
			continue;
		}
		if (n > chain->in_len)
			n = chain->in_len;
		if (vq_write(mdev->mem, chain, 0, buf, n))
			n = 0;
		vq_push(vq, chain, n);
		mdev_notify(mdev, vq);
		mem_leave(mdev->mem);
		pthread_mutex_lock(&console->lock);
		fifo_drop(&port->in, n);
		pthread_mutex_unlock(&console->lock);
		/* Somebody may wait for room. */
		if (console->echo)
			wake_worker(console, vq->index + 1);
		else
			wake_thread(console);
	}
	return true;
}

/* Take bytes from the driver. Return: how many, which are fewer without room. */
static uint32_t port_take(struct console *console, struct console_port *port, const uint8_t *buf,
			  uint32_t len)
{
	struct fifo *fifo = console->echo ? &port->in : &port->out;
	uint32_t n = len;

	pthread_mutex_lock(&console->lock);
	if (console->echo || port->fd >= 0) {
		if (n > fifo_room(fifo))
			n = fifo_room(fifo);
		fifo_put(fifo, buf, n);
		if (port == console->ports)
			n = len;
	}
	pthread_mutex_unlock(&console->lock);
	return n;
}

static bool serve_out(struct mdev *mdev, struct virtq *vq, struct console_port *port)
{
	struct console *console = mdev->priv;
	unsigned int budget;
	uint8_t buf[CHUNK];
	uint32_t n, len;
	int ret;

	for (budget = MDEV_BUDGET; budget; budget--) {
		if (!mem_enter(mdev->mem, mdev->epoch))
			return false;
		if (!port->held) {
			vq_disable_notify(vq);
			ret = vq_pop(vq, &port->chain);
			if (ret <= 0) {
				ret = ret < 0 ? 0 : vq_enable_notify(vq);
				mem_leave(mdev->mem);
				if (!ret)
					return false;
				continue;
			}
			port->held = true;
			port->done = port->skip < port->chain.out_len ? port->skip :
									port->chain.out_len;
			port->skip = 0;
		}
		len = sizeof(buf);
		if (len > port->chain.out_len - port->done)
			len = port->chain.out_len - port->done;
		n = len;
		if (vq_read(mdev->mem, &port->chain, port->done, buf, len))
			port->done = port->chain.out_len;
		else
			n = port_take(console, port, buf, len);
		port->done += n;
		if (port->done >= port->chain.out_len) {
			vq_push(vq, &port->chain, 0);
			mdev_notify(mdev, vq);
			port->held = false;
		}
		mem_leave(mdev->mem);
		if (console->echo)
			wake_worker(console, vq->index - 1);
		else
			wake_thread(console);
		if (n < len)
			return false;
	}
	return true;
}

/* What the driver is to hear of a port next. Return: false for nothing. */
static bool next_message(struct console *console, unsigned int i, uint8_t *message, uint32_t *len)
{
	struct virtio_console_control control = { .id = htole32(i) };
	struct console_port *port = &console->ports[i];
	bool open;

	pthread_mutex_lock(&console->lock);
	open = console->echo || port->fd >= 0;
	pthread_mutex_unlock(&console->lock);
	if (port->ready && port->told_open != open)
		port->say |= SAY_OPEN;
	if (!port->say)
		return false;
	*len = sizeof(control);
	control.value = htole16(1);
	switch (port->say & -port->say) {
	case SAY_ADD:
		control.event = htole16(VIRTIO_CONSOLE_PORT_ADD);
		break;
	case SAY_CONSOLE:
		control.event = htole16(VIRTIO_CONSOLE_CONSOLE_PORT);
		break;
	case SAY_NAME:
		control.event = htole16(VIRTIO_CONSOLE_PORT_NAME);
		port_name(console->mdev, i, (char *)message + sizeof(control), 64);
		*len += strlen((char *)message + sizeof(control));
		break;
	case SAY_OPEN:
		control.event = htole16(VIRTIO_CONSOLE_PORT_OPEN);
		control.value = htole16(open);
		port->told_open = open;
		break;
	}
	memcpy(message, &control, sizeof(control));
	return true;
}

static bool serve_ctrl_in(struct mdev *mdev, struct virtq *vq)
{
	struct console *console = mdev->priv;
	struct vq_chain *chain = &mdev->chain;
	uint8_t message[sizeof(struct virtio_console_control) + 64];
	unsigned int i, budget = MDEV_BUDGET;
	uint32_t len;
	int ret;

	for (i = 0; i < console->num && budget; ) {
		if (!next_message(console, i, message, &len)) {
			i++;
			continue;
		}
		if (!mem_enter(mdev->mem, mdev->epoch))
			return false;
		vq_disable_notify(vq);
		ret = vq_pop(vq, chain);
		if (ret <= 0) {
			ret = ret < 0 ? 0 : vq_enable_notify(vq);
			mem_leave(mdev->mem);
			if (!ret)
				return false;
			continue;
		}
		/* A message that does not fit is lost: the driver has been told what there is. */
		if (len > chain->in_len || vq_write(mdev->mem, chain, 0, message, len))
			len = 0;
		vq_push(vq, chain, len);
		mdev_notify(mdev, vq);
		mem_leave(mdev->mem);
		console->ports[i].say &= console->ports[i].say - 1;
		budget--;
	}
	return !budget;
}

static void handle_control(struct mdev *mdev, const struct virtio_console_control *control)
{
	struct console *console = mdev->priv;
	uint32_t id = le32toh((uint32_t)control->id);
	bool value = control->value;
	struct console_port *port;
	unsigned int i;

	wake_worker(console, CTRL_IN);
	if (le16toh((uint16_t)control->event) == VIRTIO_CONSOLE_DEVICE_READY) {
		for (i = 0; value && i < console->num; i++)
			console->ports[i].say |= SAY_ADD;
		return;
	}
	if (id >= console->num) {
		log_debug("device %llu: there is no port %u", (unsigned long long)mdev->id, id);
		return;
	}
	port = &console->ports[id];
	switch (le16toh((uint16_t)control->event)) {
	case VIRTIO_CONSOLE_PORT_READY:
		port->ready = value;
		if (value)
			port->say |= (id ? 0 : SAY_CONSOLE) | SAY_NAME | SAY_OPEN;
		break;
	case VIRTIO_CONSOLE_PORT_OPEN:
		port->driver_open = value;
		wake_worker(console, port_queue(id));
		break;
	}
}

static bool serve_ctrl_out(struct mdev *mdev, struct virtq *vq)
{
	struct virtio_console_control control;
	struct vq_chain *chain = &mdev->chain;
	unsigned int budget;
	int ret;

	for (budget = MDEV_BUDGET; budget; budget--) {
		if (!mem_enter(mdev->mem, mdev->epoch))
			return false;
		vq_disable_notify(vq);
		ret = vq_pop(vq, chain);
		if (ret <= 0) {
			ret = ret < 0 ? 0 : vq_enable_notify(vq);
			mem_leave(mdev->mem);
			if (!ret)
				return false;
			continue;
		}
		if (!vq_read(mdev->mem, chain, 0, &control, sizeof(control)))
			handle_control(mdev, &control);
		vq_push(vq, chain, 0);
		mdev_notify(mdev, vq);
		mem_leave(mdev->mem);
	}
	return true;
}

static bool console_serve(struct mdev *mdev, struct virtq *vq)
{
	struct console_port *port = port_of(mdev, vq->index);

	if (port)
		return vq->index % 2 ? serve_out(mdev, vq, port) : serve_in(mdev, vq, port);
	if (!mdev_has(mdev, VIRTIO_CONSOLE_F_MULTIPORT))
		return false;
	if (vq->index == CTRL_IN)
		return serve_ctrl_in(mdev, vq);
	return vq->index == CTRL_OUT && serve_ctrl_out(mdev, vq);
}

/* The register for emergencies: its low byte is a character for the console. */
static bool console_config_write(struct mdev *mdev, uint32_t offset, const uint8_t *data,
				 uint32_t len)
{
	struct console *console = mdev->priv;

	if (offset <= CONFIG(emerg_wr) && len > CONFIG(emerg_wr) - offset &&
	    (mdev->features & BIT64(VIRTIO_CONSOLE_F_EMERG_WRITE))) {
		port_take(console, console->ports, &data[CONFIG(emerg_wr) - offset], 1);
		wake_thread(console);
		wake_worker(console, 0);
	}
	return false;
}

/*
 * Stopping, and what is carried over
 */

/* A buffer that is not all done goes back to its queue; how far it was, is known. */
static void console_stop(struct mdev *mdev)
{
	struct console *console = mdev->priv;
	struct console_port *port;
	unsigned int i;

	for (i = 0; i < console->num; i++) {
		port = &console->ports[i];
		if (!port->held)
			continue;
		vq_unpop(&mdev->vqs[port_queue(i) + 1], &port->chain, 1);
		port->held = false;
		port->skip = port->done;
	}
	pthread_mutex_lock(&console->lock);
	console->paused = true;
	pthread_mutex_unlock(&console->lock);
}

static void console_resume(struct mdev *mdev)
{
	struct console *console = mdev->priv;

	pthread_mutex_lock(&console->lock);
	console->paused = false;
	pthread_mutex_unlock(&console->lock);
	wake_thread(console);
}

#define STATE_VERSION		1
#define STATE_READY		1
#define STATE_DRIVER_OPEN	2
#define STATE_TOLD_OPEN		4

/* This, for each port a struct port_state, and for each the bytes of both directions */
struct console_state {
	uint8_t version;
	uint8_t reserved;
	uint16_t num;
};

struct port_state {
	uint8_t flags;
	uint8_t say;
	uint16_t in;
	uint16_t out;
	uint16_t reserved;
	uint64_t skip;
};

static uint32_t state_len(unsigned int ports, uint32_t bytes)
{
	return sizeof(struct console_state) + ports * sizeof(struct port_state) + bytes;
}

static uint32_t console_state_max(struct mdev *mdev)
{
	struct console *console = mdev->priv;

	return state_len(console->num, console->num * 2 * fifo_limit(&mdev->params));
}

static uint32_t console_get_state(struct mdev *mdev, uint8_t **out)
{
	struct console *console = mdev->priv;
	struct console_state head = { .version = STATE_VERSION, .num = htole16(console->num) };
	struct console_port *port;
	struct port_state state;
	uint32_t len;
	unsigned int i;

	*out = malloc(console_state_max(mdev));
	if (!*out)
		return 0;
	memcpy(*out, &head, sizeof(head));
	len = state_len(console->num, 0);
	pthread_mutex_lock(&console->lock);
	for (i = 0; i < console->num; i++) {
		port = &console->ports[i];
		state = (struct port_state){
			.flags = (port->ready ? STATE_READY : 0) |
				 (port->driver_open ? STATE_DRIVER_OPEN : 0) |
				 (port->told_open ? STATE_TOLD_OPEN : 0),
			.say = port->say,
			.in = htole16(port->in.num),
			.out = htole16(port->out.num),
			.skip = htole64(port->held ? port->done : port->skip),
		};
		memcpy(*out + state_len(i, 0), &state, sizeof(state));
		len += fifo_peek(&port->in, *out + len, FIFO_SIZE);
		len += fifo_peek(&port->out, *out + len, FIFO_SIZE);
	}
	pthread_mutex_unlock(&console->lock);
	return len;
}

static bool console_state_ok(struct mdev *mdev, uint64_t features, const uint8_t *in, uint32_t len)
{
	struct console *console = mdev->priv;
	struct console_state head;
	struct port_state state;
	uint32_t bytes = 0;
	unsigned int i;

	if (len < state_len(console->num, 0))
		return false;
	memcpy(&head, in, sizeof(head));
	if (head.version != STATE_VERSION || le16toh(head.num) != console->num)
		return false;
	for (i = 0; i < console->num; i++) {
		memcpy(&state, in + state_len(i, 0), sizeof(state));
		if ((state.flags & ~(STATE_READY | STATE_DRIVER_OPEN | STATE_TOLD_OPEN)) ||
		    (state.say & ~(SAY_ADD | SAY_CONSOLE | SAY_NAME | SAY_OPEN)) ||
		    le16toh(state.in) > fifo_limit(&mdev->params) ||
		    le16toh(state.out) > fifo_limit(&mdev->params))
			return false;
		bytes += le16toh(state.in) + le16toh(state.out);
	}
	return len == state_len(console->num, bytes);
}

static void console_set_state(struct mdev *mdev, const uint8_t *in)
{
	struct console *console = mdev->priv;
	const uint8_t *bytes = in + state_len(console->num, 0);
	struct console_port *port;
	struct port_state state;
	unsigned int i;

	pthread_mutex_lock(&console->lock);
	for (i = 0; i < console->num; i++) {
		port = &console->ports[i];
		memcpy(&state, in + state_len(i, 0), sizeof(state));
		port->ready = state.flags & STATE_READY;
		port->driver_open = state.flags & STATE_DRIVER_OPEN;
		port->told_open = state.flags & STATE_TOLD_OPEN;
		port->say = state.say;
		port->skip = le64toh(state.skip);
		fifo_put(&port->in, bytes, le16toh(state.in));
		bytes += le16toh(state.in);
		fifo_put(&port->out, bytes, le16toh(state.out));
		bytes += le16toh(state.out);
	}
	pthread_mutex_unlock(&console->lock);
}

/* Ports in another number. Those that stay keep their clients. */
static int console_provision(struct mdev *mdev, struct mdev_params *params, uint32_t num_vqs)
{
	struct console *console = mdev->priv;
	unsigned int num = params->vqs, old = console->num, same = num < old ? num : old;
	struct console_port *ports;
	struct pollfd *fds;
	unsigned int i;
	int err = 0;

	if (!(params->features[0] & BIT64(VIRTIO_CONSOLE_F_MULTIPORT)) && num > 1)
		return CMD_ERR(EINVAL, VQS);
	ports = alloc_ports(params);
	fds = calloc(num + 1, sizeof(*fds));
	if (!ports || !fds)
		err = CMD_ERR(ENOMEM, NONE);
	if (!err)
		err = listen_ports(mdev, ports, same, num);
	if (err) {
		close_ports(ports, same, num);
		free(ports);
		free(fds);
		return err;
	}
	stop_thread(console);
	memcpy(ports, console->ports, same * sizeof(*ports));
	for (i = 0; i < same; i++) {
		set_limit(&ports[i].in, fifo_limit(params));
		set_limit(&ports[i].out, fifo_limit(params));
	}
	close_ports(console->ports, same, old);
	free(console->ports);
	free(console->fds);
	console->ports = ports;
	console->fds = fds;
	console->num = num;
	if (!console->echo && start_thread(console))
		log_error("device %llu: the ports are dead: out of threads",
			  (unsigned long long)mdev->id);
	return 0;
}

static void console_describe(struct mdev *mdev, char *text, size_t size)
{
	snprintf(text, size, "ports=%u", mdev->params.vqs);
}

const struct mdev_type console_type = {
	.type = 3,
	.name = "console",
	.has_config_interrupt = true,
	.config_len = CONFIG_LEN,
	.features = BIT64(F_VERSION_1) | BIT64(F_ACCESS_PLATFORM) | BIT64(F_RING_INDIRECT) |
		    BIT64(F_RING_EVENT_IDX) | BIT64(F_RING_RESET) |
		    BIT64(VIRTIO_CONSOLE_F_MULTIPORT) | BIT64(VIRTIO_CONSOLE_F_EMERG_WRITE),
	.default_features = console_default_features,
	.features_ok = console_features_ok,
	.init_field = console_init_field,
	.params_ok = console_params_ok,
	.num_vqs = console_num_vqs,
	.queue_size = console_queue_size,
	.create = console_create,
	.destroy = console_destroy,
	.reset = console_reset,
	.stop_queue = console_stop_queue,
	.start = console_start,
	.config_write = console_config_write,
	.stop = console_stop,
	.resume = console_resume,
	.get_state = console_get_state,
	.state_max = console_state_max,
	.state_ok = console_state_ok,
	.set_state = console_set_state,
	.provision = console_provision,
	.serve = console_serve,
	.describe = console_describe,
};
