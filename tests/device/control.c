// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/*
 * The control socket. One thread serves all who connect; what concerns a managed
 * device is a job of its worker, which is waited for, but not for ever.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "control.h"
#include "log.h"
#include "mdev.h"
#include "sock.h"

#define MAX_CLIENTS	16
#define MAX_LINE	1024
#define JOB_SECONDS	10

static const char help[] =
"list                            all devices; those of --pci end with pci, one that\n"
"                                an admin command has stopped with stopped\n"
"add type=blk|net|rng|console [KEY=VALUE]...\n"
"                                name=NAME vqs=N vectors=N serial=TEXT\n"
"                                capacity=SIZE mac=XX:XX:XX:XX:XX:XX mtu=N\n"
"                                features=MASK, of what is offered\n"
"remove ID|NAME                  as DESTROY: the managed device ceases to exist\n"
"resize ID|NAME SIZE             of a disk; SIZE in bytes, or with K, M, G, T\n"
"reset ID|NAME                   the managed device forgets what a driver has set, and\n"
"                                does not tell it\n"
"announce ID|NAME                have the driver announce where the interface is\n"
"link ID|NAME up|down            of a network interface\n"
"needs-reset [ID|NAME]           sets DEVICE_NEEDS_RESET, of the management device\n"
"                                or of a managed one: its queues are not served\n"
"admin hold|go                   leaves admin commands unanswered, until go or a reset\n"
"fault KEY=VALUE...              does something wrong to the answer of a command of the\n"
"                                driver's. Counts from when it is told\n"
"        kind=fail               ERR, and the command is not executed\n"
"          [status=N|none] [qualifier=N]   the reason (22, 0)\n"
"          [effect=yes]                    executed all the same\n"
"        kind=delay ms=N         answered later\n"
"        kind=drop               not answered before the next reset\n"
"        kind=duplicate          given back twice\n"
"        kind=corrupt            other bytes, in the same length: of the whole answer,\n"
"                                ack or status included\n"
"          offset=N with=HEX|xor=HEX       from there, up to 64 bytes\n"
"          seed=N                          all of it, at random\n"
"        kind=length             another length, and no more is written than that\n"
"          length=N|cut=N|over=N           N, N less than it is, N more than there\n"
"                                          is room for\n"
"        [nth=N] [times=N|all]   to the Nth command and those behind it (1, 1)\n"
"        [queue=transport|admin] [command=NAME]   of those alone; NAME as in the log\n"
"                                The answer to this is as that of show, of before\n"
"fault show                      what was told, how many commands there were since, and\n"
"                                how many answers were not what they would have been\n"
"fault off                       nothing is wrong from now on; prints as show\n"
"hostile SEED|random[,rate=N][,what=WHAT[+WHAT]...]\n"
"                                lies to the driver, by the random numbers of this seed:\n"
"                                in N of 1000 replies, buffers, reads or interrupts (300).\n"
"                                WHAT: replies, to transport and admin commands;\n"
"                                rings, the used rings of these; queues, used rings and\n"
"                                buffers of managed devices; interrupts, for nothing;\n"
"                                function, its registers and capabilities; all (all)\n"
"hostile show                    what was told, and how many lies there were so far;\n"
"                                of each command, of how many replies\n"
"hostile off                     tells the truth from now on; prints as show\n"
"help                            this text\n";

struct client {
	int fd;
	size_t len;
	char line[MAX_LINE];
};

/* What a request says in reply. */
struct reply {
	char *text;
	size_t len;
	size_t room;
};

static void __attribute__((format(printf, 2, 3))) say(struct reply *reply, const char *fmt, ...)
{
	va_list args;
	char *text;
	int n;

	va_start(args, fmt);
	n = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	if (n < 0)
		return;
	if (reply->len + n + 1 > reply->room) {
		text = realloc(reply->text, 2 * (reply->len + n + 1));
		if (!text)
			return;
		reply->text = text;
		reply->room = 2 * (reply->len + n + 1);
	}
	va_start(args, fmt);
	vsnprintf(reply->text + reply->len, n + 1, fmt, args);
	va_end(args);
	reply->len += n;
}

/*
 * Jobs
 */

struct request {
	struct job job;
	struct mdev *mdev;
	int (*run)(struct request *request);
	uint64_t size;
	bool up;
	int ret;

	/* Two hold it, the one who asks and the one who is asked. lock guards done and refs. */
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool done;
	int refs;
};

static void request_put(struct request *request)
{
	bool last;

	pthread_mutex_lock(&request->lock);
	last = !--request->refs;
	pthread_mutex_unlock(&request->lock);
	if (!last)
		return;
	pthread_mutex_destroy(&request->lock);
	pthread_cond_destroy(&request->cond);
	free(request);
}

static void request_done(struct request *request, int ret)
{
	pthread_mutex_lock(&request->lock);
	request->ret = ret;
	request->done = true;
	pthread_cond_signal(&request->cond);
	pthread_mutex_unlock(&request->lock);
	request_put(request);
}

static void run_request(struct job *job)
{
	struct request *request = container_of(job, struct request, job);

	request_done(request, request->run(request));
}

static void cancel_request(struct job *job)
{
	request_done(container_of(job, struct request, job), -ENODEV);
}

static int run_remove(struct request *request)
{
	if (mdev_is_plain(request->mdev))
		return -EPERM;
	managed_remove(request->mdev, true);
	return 0;
}

/* What the device itself does with a managed device; a driver notices nothing. */
static int run_reset(struct request *request)
{
	if (mdev_is_plain(request->mdev))
		return -EPERM;
	mdev_reset(request->mdev);
	return 0;
}

static int run_resize(struct request *request)
{
	struct mdev *mdev = request->mdev;
	int ret = mdev->type->resize ? mdev->type->resize(mdev, request->size) : -EOPNOTSUPP;

	return ret ? ret : state_save(mdev->tvq);
}

static int run_announce(struct request *request)
{
	struct mdev *mdev = request->mdev;

	return mdev->type->announce ? mdev->type->announce(mdev) : -EOPNOTSUPP;
}

static int run_link(struct request *request)
{
	struct mdev *mdev = request->mdev;

	int ret = mdev->type->link ? mdev->type->link(mdev, request->up) : -EOPNOTSUPP;

	return ret ? ret : state_save(mdev->tvq);
}

static int run_needs_reset(struct request *request)
{
	mdev_needs_reset(request->mdev);
	return 0;
}

/* Have a device's worker do something. Return: its result, or why it came to none. */
static int ask(struct tvq *tvq, const char *which, int (*run)(struct request *request),
	       uint64_t size, bool up)
{
	struct request *request = calloc(1, sizeof(*request));
	struct timespec deadline;
	pthread_condattr_t attr;
	struct mdev *mdev;
	char *end;
	uint64_t id;
	int ret = 0;

	if (!request)
		return -ENOMEM;
	request->job.run = run_request;
	request->job.cancel = cancel_request;
	request->run = run;
	request->size = size;
	request->up = up;
	request->refs = 2;
	pthread_mutex_init(&request->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&request->cond, &attr);
	pthread_condattr_destroy(&attr);

	pthread_mutex_lock(&tvq->lock);
	mdev = mdev_find_name(tvq, which);
	if (!mdev) {
		id = strtoull(which, &end, 10);
		mdev = *end ? NULL : managed_find(tvq, id);
	}
	if (mdev) {
		request->mdev = mdev;
		mailbox_post(&mdev->mbox, &request->job);
	} else {
		request->refs--;
		ret = -ENODEV;
	}
	pthread_mutex_unlock(&tvq->lock);

	clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_sec += JOB_SECONDS;
	pthread_mutex_lock(&request->lock);
	while (!ret && !request->done) {
		if (pthread_cond_timedwait(&request->cond, &request->lock, &deadline))
			ret = -ETIMEDOUT;
	}
	if (request->done)
		ret = request->ret;
	pthread_mutex_unlock(&request->lock);
	request_put(request);
	return ret;
}

/*
 * Requests
 */

static const char *do_add(struct tvq *tvq, struct reply *reply, char **save)
{
	struct mdev_params params = { 0 };
	const char *error;
	uint64_t id;
	char *word;
	int err;

	while ((word = strtok_r(NULL, " \t", save))) {
		error = params_add_key(&params, word);
		if (error)
			return error;
	}
	if (!params.type)
		return "type is missing";
	err = managed_create(tvq, &params, 0, true, NULL, &id);
	if (err)
		return params_error_text(err);
	say(reply, "id %" PRIu64 "\n", id);
	return NULL;
}

static const char *do_fault(struct tvq *tvq, struct reply *reply, char **save)
{
	char *word = strtok_r(NULL, " \t", save);
	struct fault fault = { 0 };
	const char *error;
	char before[256];
	bool alone;

	if (!word)
		return "usage: fault KEY=VALUE...|show|off";
	alone = !strcmp(word, "show") || !strcmp(word, "off");
	if (alone && strtok_r(NULL, " \t", save))
		return "usage: fault show|off";
	for (; word && !alone; word = strtok_r(NULL, " \t", save)) {
		error = fault_add_key(&fault, word);
		if (error)
			return error;
	}
	error = alone ? NULL : fault_check(&fault);
	if (error)
		return error;
	faults_describe(&tvq->faults, before, sizeof(before));
	if (!alone)
		faults_tell(&tvq->faults, &fault);
	else if (!strcmp(word, "off"))
		faults_tell(&tvq->faults, NULL);
	say(reply, "%s", before);
	return NULL;
}

static void show_hostile(struct hostile *h, struct reply *reply)
{
	struct hostile_counts *count = &h->count;
	struct hostile_command command;
	unsigned int i;

	if (atomic_load(&h->run))
		say(reply, "seed=%" PRIu64 " rate=%" PRIu32 " what=%#" PRIx32 " ",
		    atomic_load(&h->seed), atomic_load(&h->rate), atomic_load(&h->what));
	else
		say(reply, "off ");
	say(reply, "replies=%" PRIu64 " reply-lies=%" PRIu64 " ring-lies=%" PRIu64,
	    atomic_load(&count->replies), atomic_load(&count->reply_lies),
	    atomic_load(&count->ring_lies));
	say(reply, " used=%" PRIu64 " used-lies=%" PRIu64 " packed=%" PRIu64
	    " packed-lies=%" PRIu64, atomic_load(&count->used), atomic_load(&count->used_lies),
	    atomic_load(&count->packed), atomic_load(&count->packed_lies));
	say(reply, " interrupts=%" PRIu64 " reads=%" PRIu64 " read-lies=%" PRIu64
	    " use-lies=%" PRIu64, atomic_load(&count->interrupts), atomic_load(&count->reads),
	    atomic_load(&count->read_lies), atomic_load(&count->use_lies));
	for (i = 0; hostile_command(h, i, &command); i++)
		say(reply, " %s=%" PRIu64 "/%" PRIu64, command.name, command.lies,
		    command.replies);
	say(reply, "\n");
}

static const char *do_hostile(struct tvq *tvq, struct reply *reply, char **save)
{
	char *word = strtok_r(NULL, " \t\r", save);
	struct hostile_options opt = { 0 };
	const char *error;

	if (!word || strtok_r(NULL, " \t\r", save))
		return "usage: hostile SEED[,rate=N][,what=WHAT]|show|off";
	if (strcmp(word, "show") && strcmp(word, "off")) {
		error = hostile_parse(&opt, word);
		if (error)
			return error;
	}
	if (strcmp(word, "show"))
		hostile_set(&tvq->hostile, &opt);
	show_hostile(&tvq->hostile, reply);
	return NULL;
}

static void list_one(struct mdev *mdev, struct reply *reply)
{
	char text[256] = "";

	pthread_mutex_lock(&mdev->lock);
	if (mdev->type->describe)
		mdev->type->describe(mdev, text, sizeof(text));
	say(reply, "id=%" PRIu64 " type=%s name=%s vqs=%u queues=%u vectors=%u ", mdev->id,
	    mdev->type->name, mdev->params.name, mdev->params.vqs, mdev->num_vqs,
	    mdev->num_vectors);
	say(reply, "status=%#x negotiated=%#" PRIx64 "%s%s%s%s\n", mdev->status,
	    mdev->driver_features, text[0] ? " " : "", text,
	    mdev->stopped ? " stopped" : "", mdev_is_plain(mdev) ? " pci" : "");
	pthread_mutex_unlock(&mdev->lock);
}

static const char *do_list(struct tvq *tvq, struct reply *reply)
{
	uint32_t i;

	pthread_mutex_lock(&tvq->lock);
	for (i = 0; i < tvq->num_devices; i++)
		list_one(tvq->devices[i], reply);
	for (i = 0; i < tvq->num_plain; i++)
		list_one(plain_mdev(tvq->plain[i]), reply);
	pthread_mutex_unlock(&tvq->lock);
	return NULL;
}

static const char *ask_error(int ret)
{
	switch (-ret) {
	case 0:
		return NULL;
	case ENODEV:
		return "no such device";
	case EPERM:
		return "not for a PCI function of its own";
	case EOPNOTSUPP:
		return "not for a device of this type";
	case ENETDOWN:
		return "the link is down, or no driver that can announce is there";
	case ETIMEDOUT:
		return "the device is busy; the request stands";
	default:
		return strerror(-ret);
	}
}

/* One request. Return: NULL or what is wrong. */
static const char *execute(struct tvq *tvq, char *line, struct reply *reply)
{
	char *save, *verb = strtok_r(line, " \t\r", &save), *which, *value;
	uint64_t size;

	if (!verb)
		return "an empty line";
	if (!strcmp(verb, "help")) {
		say(reply, "%s", help);
		return NULL;
	}
	if (!strcmp(verb, "list"))
		return do_list(tvq, reply);
	if (!strcmp(verb, "add"))
		return do_add(tvq, reply, &save);
	if (!strcmp(verb, "fault"))
		return do_fault(tvq, reply, &save);
	if (!strcmp(verb, "hostile"))
		return do_hostile(tvq, reply, &save);

	which = strtok_r(NULL, " \t\r", &save);
	value = strtok_r(NULL, " \t\r", &save);
	if (!strcmp(verb, "remove")) {
		if (!which || value)
			return "usage: remove ID|NAME";
		return ask_error(ask(tvq, which, run_remove, 0, false));
	}
	if (!strcmp(verb, "reset")) {
		if (!which || value)
			return "usage: reset ID|NAME";
		return ask_error(ask(tvq, which, run_reset, 0, false));
	}
	if (!strcmp(verb, "resize")) {
		if (!which || !value || !params_get_size(value, &size) || !size || size % 512)
			return "usage: resize ID|NAME SIZE, a multiple of 512 bytes";
		return ask_error(ask(tvq, which, run_resize, size / 512, false));
	}
	if (!strcmp(verb, "announce")) {
		if (!which || value)
			return "usage: announce ID|NAME";
		return ask_error(ask(tvq, which, run_announce, 0, false));
	}
	if (!strcmp(verb, "link")) {
		if (!which || !value || (strcmp(value, "up") && strcmp(value, "down")))
			return "usage: link ID|NAME up|down";
		return ask_error(ask(tvq, which, run_link, 0, !strcmp(value, "up")));
	}
	if (!strcmp(verb, "needs-reset")) {
		if (value)
			return "usage: needs-reset [ID|NAME]";
		if (which)
			return ask_error(ask(tvq, which, run_needs_reset, 0, false));
		pci_needs_reset(&tvq->pci);
		return NULL;
	}
	if (!strcmp(verb, "admin")) {
		if (!which || value || (strcmp(which, "hold") && strcmp(which, "go")))
			return "usage: admin hold|go";
		admin_hold(tvq, !strcmp(which, "hold"));
		return NULL;
	}
	return "no such command, try help";
}

/*
 * Connections
 */

static bool send_all(int fd, const char *text, size_t len)
{
	ssize_t n;

	for (; len; len -= n, text += n) {
		n = send(fd, text, len, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			n = 0;
		else if (n < 0)
			return false;
	}
	return true;
}

static bool run_line(struct control *control, int fd, char *line)
{
	struct reply reply = { 0 };
	const char *error;
	bool sent;

	log_debug("control: %s", line);
	error = execute(control->tvq, line, &reply);
	if (error)
		say(&reply, "error: %s\n", error);
	else
		say(&reply, "ok\n");
	sent = reply.text && send_all(fd, reply.text, reply.len);
	free(reply.text);
	return sent;
}

/* Return: whether the client stays. */
static bool serve_client(struct control *control, struct client *client)
{
	ssize_t n = recv(client->fd, client->line + client->len, MAX_LINE - client->len, 0);
	char *end;

	if (n <= 0)
		return n < 0 && (errno == EINTR || errno == EAGAIN);
	client->len += n;
	while ((end = memchr(client->line, '\n', client->len))) {
		*end = '\0';
		if (!run_line(control, client->fd, client->line))
			return false;
		client->len -= end + 1 - client->line;
		memmove(client->line, end + 1, client->len);
	}
	if (client->len == MAX_LINE) {
		send_all(client->fd, "error: the line is too long\n", 28);
		return false;
	}
	return true;
}

static void *control_thread(void *arg)
{
	static const struct timeval patience = { .tv_sec = 5 };
	struct control *control = arg;
	struct client clients[MAX_CLIENTS];
	struct pollfd fds[MAX_CLIENTS + 2];
	unsigned int num = 0, i;
	int fd;

	for (;;) {
		fds[0] = (struct pollfd){ .fd = control->stop_fd, .events = POLLIN };
		fds[1] = (struct pollfd){ .fd = num < MAX_CLIENTS ? control->listen_fd : -1,
					  .events = POLLIN };
		for (i = 0; i < num; i++)
			fds[i + 2] = (struct pollfd){ .fd = clients[i].fd, .events = POLLIN };
		if (poll(fds, num + 2, -1) < 0 && errno != EINTR)
			break;
		if (fds[0].revents)
			break;
		for (i = num; i--; ) {
			if (!fds[i + 2].revents || serve_client(control, &clients[i]))
				continue;
			close(clients[i].fd);
			clients[i] = clients[--num];
		}
		if (!fds[1].revents)
			continue;
		fd = accept4(control->listen_fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			continue;
		/* One who does not read his answers is not waited for. */
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
		clients[num].fd = fd;
		clients[num++].len = 0;
	}
	while (num)
		close(clients[--num].fd);
	return NULL;
}

int control_start(struct control *control, struct tvq *tvq, const char *path)
{
	int ret;

	memset(control, 0, sizeof(*control));
	control->tvq = tvq;
	control->path = path;
	if (!path)
		return 0;
	ret = sock_listen(path);
	if (ret < 0) {
		log_error("control socket %s: %s", path, strerror(-ret));
		control->path = NULL;
		return ret;
	}
	control->listen_fd = ret;
	control->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (control->stop_fd >= 0 &&
	    !pthread_create(&control->thread, NULL, control_thread, control))
		return 0;
	log_error("control socket: out of threads");
	close(control->stop_fd);
	close(control->listen_fd);
	unlink(path);
	return -ENOMEM;
}

void control_stop(struct control *control)
{
	uint64_t one = 1;

	if (!control->path)
		return;
	unlink(control->path);
	if (write(control->stop_fd, &one, sizeof(one)) < 0)
		log_error("control socket: %s", strerror(errno));
	pthread_join(control->thread, NULL);
	close(control->stop_fd);
	close(control->listen_fd);
}
