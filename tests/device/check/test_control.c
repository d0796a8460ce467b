// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/* The control socket, the state directory, and the program itself. */
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_net.h>
#include <linux/virtio_pci.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../control.h"
#include "client.h"

static struct driver d;
static struct managed m;
static struct control control;
static char control_path[128];
static char answer[65536];

static int connect_to(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct timeval patience = { .tv_sec = 5 };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(addr.sun_path, path, strnlen(path, sizeof(addr.sun_path) - 1));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		close(fd);
		return -1;
	}
	return fd;
}

/* One request on a connection of its own. Return: what came, to its last line. */
static const char *ctl(const char *line)
{
	int fd = connect_to(control_path);
	size_t len = 0;
	ssize_t n;
	char *last;

	answer[0] = '\0';
	if (fd < 0)
		return answer;
	if (write(fd, line, strlen(line)) < 0 || write(fd, "\n", 1) < 0) {
		close(fd);
		return answer;
	}
	while (len < sizeof(answer) - 1) {
		n = read(fd, answer + len, sizeof(answer) - 1 - len);
		if (n <= 0)
			break;
		len += n;
		answer[len] = '\0';
		last = answer[len - 1] == '\n' ? memrchr(answer, '\n', len - 1) : NULL;
		last = last ? last + 1 : answer;
		if (answer[len - 1] == '\n' &&
		    (!strcmp(last, "ok\n") || !strncmp(last, "error: ", 7)))
			break;
	}
	close(fd);
	return answer;
}

static bool ctl_ok(const char *line)
{
	size_t len = strlen(ctl(line));

	return len >= 3 && !strcmp(answer + len - 3, "ok\n");
}

static void up(const struct tvq_options *opt)
{
	driver_init(&d, opt);
	snprintf(control_path, sizeof(control_path), "%s/control", d.c.dir);
	CHECK_EQ(control_start(&control, &d.c.tvq, control_path), 0);
}

static void down(void)
{
	control_stop(&control);
	CHECK(access(control_path, F_OK) != 0);
	driver_exit(&d);
}

TEST(control_adds_and_removes)
{
	struct virtio_tvq_list_req req = { 0 };
	struct reply reply;
	struct virtio_tvq_list *list = (void *)reply.in;
	uint64_t generation;

	up(NULL);
	settle(&d.c, 0.01);
	quiet_fd(d.c.irq_fd[0]);
	CHECK(ctl_ok("add type=blk name=x capacity=1M serial=s vqs=2 vectors=3"));
	CHECK(!strcmp(answer, "id 1\nok\n"));
	CHECK(signalled(&d.c, d.c.irq_fd[0]));
	CHECK_EQ(command(&d, 0, MGMT(LIST), &req, 8, 64, &reply), 0);
	CHECK_EQ(list->total, 1);
	generation = list->generation;
	CHECK(ctl_ok("add type=net name=n mac=02:00:00:00:00:42 mtu=9000"));
	CHECK(ctl_ok("add type=rng"));
	CHECK(ctl_ok("list"));
	CHECK(strstr(answer, "id=1 type=blk name=x vqs=2 queues=2 vectors=3 status=0 negotiated=0 "
			     "capacity=1048576 serial=s\n"));
	CHECK(strstr(answer, "id=2 type=net name=n vqs=1 queues=3 vectors=4 status=0 negotiated=0 "
			     "mac=02:00:00:00:00:42 link=up\n"));
	CHECK(strstr(answer, "id=3 type=rng name= vqs=1 queues=1 vectors=1 status=0 "
			     "negotiated=0\n"));
	settle(&d.c, 0.01);
	quiet_fd(d.c.irq_fd[0]);
	CHECK(ctl_ok("remove n"));
	CHECK(signalled(&d.c, d.c.irq_fd[0]));
	CHECK(ctl_ok("remove 3"));
	CHECK(!ctl_ok("remove 3"));
	CHECK_EQ(command(&d, 2, DEVICE(DESCRIBE), NULL, 0, 512, NULL), ERR(ENXIO, DEVICE_ID));
	CHECK_EQ(command(&d, 0, MGMT(LIST), &req, 8, 64, &reply), 0);
	CHECK_EQ(list->total, 1);
	CHECK(list->generation != generation);
	/* The driver's own are not announced. */
	settle(&d.c, 0.01);
	quiet_fd(d.c.irq_fd[0]);
	CHECK_EQ(create_simple(&d, 4, "", 0, &m), 0);
	CHECK_EQ(command(&d, m.id, MGMT(DESTROY), NULL, 0, 0, NULL), 0);
	settle(&d.c, 0.01);
	CHECK(quiet_fd(d.c.irq_fd[0]));
	down();
}

TEST(control_refuses)
{
	static const char * const bad[] = {
		"", "frobnicate", "add", "add type=tape", "add name=x", "add type=blk name=",
		"add type=blk name=.x", "add type=blk name=a/b", "add type=blk capacity=0",
		"add type=blk capacity=513", "add type=blk capacity=1X", "add type=blk capacity=-1",
		"add type=blk capacity=99999999999T", "add type=blk colour=red", "add type=blk x",
		"add type=blk mac=02:00:00:00:00:01", "add type=net mac=01:00:00:00:00:01",
		"add type=net mac=02:00:00:00:00", "add type=net mtu=67", "add type=net mtu=65536",
		"add type=net capacity=1M", "add type=rng mtu=1500", "add type=rng serial=x",
		"add type=blk vqs=66", "add type=blk vqs=-1", "add type=blk vectors=x",
		"add type=blk serial=123456789012345678901",
		"add type=blk name=12345678901234567890123456789012",
		"remove", "remove 99", "remove nobody", "resize", "resize 1", "resize 99 1M",
		"resize 1 513", "link", "link 1", "link 1 sideways", "link 99 up",
		"needs-reset 99", "needs-reset 1 2", "reset", "reset 99", "reset 1 2",
		"admin", "admin stop", "admin hold 1",
		"fault", "fault frobnicate", "fault show 1", "fault off 1", "fault off kind=drop",
		"fault kind=drop show", "fault kind=sleep", "fault kind=delay", "fault nth=1",
	};
	unsigned int i;

	up(NULL);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ctl(bad[i]);
		if (strncmp(answer, "error: ", 7))
			test_failed(__FILE__, __LINE__, "'%s' gives '%s'", bad[i], answer);
	}
	CHECK(ctl_ok("add type=rng"));
	CHECK(!ctl_ok("resize 1 1M"));
	CHECK(!ctl_ok("link 1 up"));
	CHECK(ctl_ok("help"));
	CHECK(strstr(answer, "resize"));
	down();
}

/* What a driver has set is forgotten, and it is not told. */
TEST(control_resets_a_managed_device)
{
	struct reply reply;
	uint16_t used;

	up(NULL);
	CHECK_EQ(create_simple(&d, 4, "rng", 0, &m), 0);
	CHECK(bring_up(&m, 1, 16, 0));
	used = ring_used_idx(&m.ring[0]);
	d.c.num_msi = 0;
	CHECK(ctl_ok("reset rng"));
	CHECK_EQ(command(&d, m.id, DEVICE(GET_STATUS), NULL, 0, 4, &reply), 0);
	CHECK_EQ(reply.in[0], 0);
	ring_put(&m.ring[0], &(struct seg){ guest_alloc(&d.c, 16, 16), 16, true }, 1);
	doorbell(&m, 0);
	settle(&d.c, 0.02);
	CHECK_EQ(ring_used_idx(&m.ring[0]), used);
	CHECK_EQ(d.c.num_msi, 0);
	CHECK(bring_up(&m, 1, 16, 0));
	down();
}

/* What an admin command has stopped is seen from outside. */
TEST(control_lists_what_is_stopped)
{
	admin_init(&d, NULL, 1);
	snprintf(control_path, sizeof(control_path), "%s/control", d.c.dir);
	CHECK_EQ(control_start(&control, &d.c.tvq, control_path), 0);
	CHECK_EQ(create_simple(&d, 4, "", 0, &m), 0);
	CHECK_EQ(admin_use_all(&d, MANAGED_GROUP), 0);
	CHECK(ctl_ok("list"));
	CHECK(!strstr(answer, "stopped"));
	CHECK_EQ(admin_mode(&d, MANAGED_GROUP, m.id, true), 0);
	CHECK(ctl_ok("list"));
	CHECK(strstr(answer, "status=0 negotiated=0 stopped\n"));
	/* The device's own reset leaves it so. */
	CHECK(ctl_ok("reset 1"));
	CHECK(ctl_ok("list"));
	CHECK(strstr(answer, "status=0 negotiated=0 stopped\n"));
	down();
}

/* Admin commands pile up. */
TEST(control_holds_admin_commands)
{
	struct admin_reply reply;
	unsigned int i;

	admin_init(&d, NULL, 2);
	snprintf(control_path, sizeof(control_path), "%s/control", d.c.dir);
	CHECK_EQ(control_start(&control, &d.c.tvq, control_path), 0);
	CHECK(ctl_ok("admin hold"));
	for (i = 0; i < 4; i++) {
		admin_post(&d, i % 2, ADMIN(LIST_QUERY), SELF_GROUP, 0, NULL, 0, 8);
		admin_ring_bell(&d, i % 2);
	}
	/* The transport virtqueue goes on. */
	CHECK_EQ(create_simple(&d, 4, "", 0, &m), 0);
	settle(&d.c, 0.1);
	for (i = 0; i < 2; i++)
		CHECK(!ring_has_used(&d.admin[i].ring));
	CHECK(ctl_ok("admin go"));
	for (i = 0; i < 4; i++) {
		admin_collect(&d, i % 2, &reply);
		CHECK(reply.came);
		CHECK_EQ(reply.status, 0);
	}
	/* A reset makes an end of it. */
	CHECK(ctl_ok("admin hold"));
	driver_reset(&d);
	d.c.alloc = GUEST_BASE;
	driver_setup(&d);
	CHECK_EQ(admin_use_all(&d, SELF_GROUP), 0);
	down();
}

/* What was there before is told with each, so one request is enough for a step. */
TEST(control_tells_faults)
{
	up(NULL);
	CHECK(ctl_ok("fault show"));
	CHECK(!strcmp(answer, "none\nok\n"));
	CHECK(ctl_ok("fault kind=fail command=CREATE status=16 times=2"));
	CHECK_EQ(create_simple(&d, 4, "", 0, &m), ERR(EBUSY, NONE));
	CHECK(ctl_ok("fault show"));
	CHECK(!strcmp(answer, "kind=fail queue=transport command=CREATE nth=1 seen=1 hits=1 "
			      "last=CREATE\nok\n"));
	/* What is wrong changes nothing. */
	CHECK(!ctl_ok("fault kind=fail command=GET_CREATE"));
	CHECK(!strcmp(answer, "error: no such command on this queue\n"));
	CHECK_EQ(create_simple(&d, 4, "", 0, &m), ERR(EBUSY, NONE));
	CHECK(ctl_ok("fault kind=fail nth=2"));
	CHECK(!strcmp(answer, "kind=fail queue=transport command=CREATE nth=1 seen=2 hits=2 "
			      "last=CREATE\nok\n"));
	CHECK_EQ(create_simple(&d, 4, "", 0, &m), 0);
	CHECK(ctl_ok("fault off"));
	CHECK(!strcmp(answer, "kind=fail queue=transport nth=2 seen=1 hits=0\nok\n"));
	CHECK_EQ(command(&d, m.id, MGMT(DESTROY), NULL, 0, 0, NULL), 0);
	down();
}

TEST(control_lines_in_pieces)
{
	char line[2000], buf[256] = { 0 };
	int fd, i;

	up(NULL);
	fd = connect_to(control_path);
	CHECK(write(fd, "li", 2) == 2);
	usleep(10000);
	CHECK(write(fd, "st\nlist\r\n", 9) == 9);
	for (i = 0; i < 6; i++)
		CHECK(read(fd, buf + i, 1) == 1);
	CHECK(!strcmp(buf, "ok\nok\n"));
	memset(line, 'x', sizeof(line));
	CHECK(write(fd, line, sizeof(line)) > 0);
	CHECK(read(fd, buf, sizeof(buf)) > 0);
	CHECK(!strncmp(buf, "error: ", 7));
	close(fd);
	CHECK(ctl_ok("list"));
	down();
}

TEST(control_resizes)
{
	struct virtio_tvq_config *config;
	struct reply reply;
	uint32_t generation;

	config = (void *)reply.in;
	up(NULL);
	CHECK_EQ(create_sized(&d, "disk", 2048, &m), 0);
	CHECK(bring_up(&m, 1, 16, 0));
	CHECK_EQ(command(&d, m.id, DEVICE(GET_CONFIG), NULL, 0, 76, &reply), 0);
	generation = config->generation;
	CHECK(ctl_ok("resize disk 2M"));
	CHECK(wait_msi(&d.c, msi_address(&m, 0), 0, 1));
	CHECK_EQ(command(&d, m.id, DEVICE(GET_CONFIG), NULL, 0, 76, &reply), 0);
	CHECK(config->generation != generation);
	CHECK_EQ(*(uint64_t *)(reply.in + 16), 4096);
	/* It is provisioned so: a reset keeps it. */
	CHECK_EQ(command(&d, m.id, DEVICE(RESET), NULL, 0, 4, NULL), 0);
	CHECK_EQ(command(&d, m.id, DEVICE(GET_CONFIG), NULL, 0, 76, &reply), 0);
	CHECK_EQ(*(uint64_t *)(reply.in + 16), 4096);
	CHECK(ctl_ok("resize disk 512"));
	CHECK(!ctl_ok("resize disk 9999999999999T"));
	down();
}

/* A change that no interrupt could announce is announced when one can. */
TEST(control_resizes_before_there_is_a_vector)
{
	struct reply reply;
	uint8_t status;

	up(NULL);
	CHECK_EQ(create_sized(&d, "disk", 2048, &m), 0);
	CHECK(ctl_ok("resize disk 2M"));
	CHECK_EQ(negotiate(&m, m.info.features[0], &status), 0);
	CHECK_EQ(setup(&m, 1, 16), 0);
	CHECK(wait_msi(&d.c, msi_address(&m, 0), 0, 1));
	/* But not if the driver has seen it. */
	CHECK_EQ(command(&d, m.id, DEVICE(RESET), NULL, 0, 4, NULL), 0);
	CHECK(ctl_ok("resize disk 3M"));
	CHECK_EQ(command(&d, m.id, DEVICE(DESCRIBE), NULL, 0, 512, &reply), 0);
	CHECK_EQ(negotiate(&m, m.info.features[0], &status), 0);
	CHECK_EQ(setup(&m, 1, 16), 0);
	settle(&d.c, 0.02);
	CHECK_EQ(d.c.num_msi, 1);
	down();
}

TEST(control_sets_the_link)
{
	struct reply reply;

	up(NULL);
	CHECK_EQ(create_simple(&d, 1, "n", 0, &m), 0);
	CHECK(bring_up(&m, 3, 16, 0));
	CHECK(ctl_ok("link n down"));
	CHECK(wait_msi(&d.c, msi_address(&m, 0), 0, 1));
	CHECK_EQ(command(&d, m.id, DEVICE(GET_CONFIG), NULL, 0, 76, &reply), 0);
	CHECK_EQ(reply.in[16 + 6], 0);
	CHECK(ctl_ok("link n down"));
	settle(&d.c, 0.02);
	CHECK_EQ(d.c.num_msi, 1);
	CHECK(ctl_ok("link n up"));
	CHECK(wait_msi(&d.c, msi_address(&m, 0), 0, 2));
	CHECK_EQ(command(&d, m.id, DEVICE(GET_CONFIG), NULL, 0, 76, &reply), 0);
	CHECK_EQ(reply.in[16 + 6], VIRTIO_NET_S_LINK_UP | VIRTIO_NET_S_ANNOUNCE);
	down();
}

/* The driver is to announce, and acknowledges that; not without a link, nor a driver. */
TEST(control_announces)
{
	static const uint8_t acknowledge[2] = { VIRTIO_NET_CTRL_ANNOUNCE,
						VIRTIO_NET_CTRL_ANNOUNCE_ACK };
	struct seg seg[2] = { { .len = 2 }, { .len = 1, .in = true } };
	struct reply reply;
	unsigned int i;

	up(NULL);
	CHECK_EQ(create_simple(&d, 1, "n", 0, &m), 0);
	CHECK(!ctl_ok("announce n"));
	CHECK(strstr(answer, "no driver"));
	CHECK(bring_up(&m, 3, 16, 0));
	for (i = 1; i < 3; i++) {
		CHECK(ctl_ok("announce n"));
		CHECK(wait_msi(&d.c, msi_address(&m, 0), 0, i));
		CHECK_EQ(command(&d, m.id, DEVICE(GET_CONFIG), NULL, 0, 76, &reply), 0);
		CHECK_EQ(reply.in[16 + 6], VIRTIO_NET_S_LINK_UP | VIRTIO_NET_S_ANNOUNCE);
		seg[0].gpa = guest_alloc(&d.c, 2, 2);
		seg[1].gpa = guest_alloc(&d.c, 1, 1);
		memcpy(guest(&d.c, seg[0].gpa), acknowledge, 2);
		ring_put(&m.ring[2], seg, 2);
		doorbell(&m, 2);
		CHECK(ring_wait(&m.ring[2], NULL, NULL));
		CHECK_EQ(*(uint8_t *)guest(&d.c, seg[1].gpa), 0);
		CHECK_EQ(command(&d, m.id, DEVICE(GET_CONFIG), NULL, 0, 76, &reply), 0);
		CHECK_EQ(reply.in[16 + 6], VIRTIO_NET_S_LINK_UP);
	}
	CHECK(ctl_ok("link n down"));
	CHECK(!ctl_ok("announce n"));
	CHECK(!ctl_ok("announce"));
	CHECK(!ctl_ok("announce n n"));
	CHECK_EQ(create_simple(&d, 2, "disk", 0, &m), 0);
	CHECK(!ctl_ok("announce disk"));
	down();
}

/* Removed while it is in use: reset, and then gone. */
TEST(control_removes_what_is_in_use)
{
	struct seg seg;
	unsigned int i;

	up(NULL);
	for (i = 0; i < 20; i++) {
		CHECK_EQ(create_simple(&d, 4, "r", 0, &m), 0);
		CHECK(bring_up(&m, 1, 16, 0));
		seg = (struct seg){ GUEST_BASE + (32 << 20), 65536, true };
		ring_put(&m.ring[0], &seg, 1);
		ring_put(&m.ring[0], &seg, 1);
		doorbell(&m, 0);
		CHECK(ctl_ok("remove r"));
		memset(d.c.mem + (32 << 20), 0, 65536);
		doorbell(&m, 0);
		CHECK_EQ(command(&d, m.id, DEVICE(GET_STATUS), NULL, 0, 4, NULL),
			 ERR(ENXIO, DEVICE_ID));
		CHECK_EQ(d.c.mem[(32 << 20) + 40000], 0);
	}
	down();
}

/* A link that is down is down for the next process, too. */
TEST(state_of_a_link)
{
	char dir[] = "/tmp/tvq-state-XXXXXX", path[128];
	struct tvq_options opt;
	struct reply reply;
	unsigned int i;

	CHECK(mkdtemp(dir));
	client_options(&opt);
	opt.state_dir = dir;
	for (i = 0; i < 4; i++) {
		up(&opt);
		if (!i)
			CHECK_EQ(create_simple(&d, 1, "net", 0, &m), 0);
		CHECK_EQ(command(&d, m.id, DEVICE(DESCRIBE), NULL, 0, 512, &reply), 0);
		CHECK_EQ(reply.in[sizeof(m.info) + 6], i % 2 ? 0 : VIRTIO_NET_S_LINK_UP);
		CHECK(ctl_ok(i % 2 ? "link net up" : "link net down"));
		down();
	}
	snprintf(path, sizeof(path), "%s/disks", dir);
	CHECK_EQ(rmdir(path), 0);
	snprintf(path, sizeof(path), "%s/devices", dir);
	CHECK_EQ(unlink(path), 0);
	CHECK_EQ(rmdir(dir), 0);
}

TEST(state_is_kept)
{
	char dir[] = "/tmp/tvq-state-XXXXXX", path[128], text[64];
	struct virtio_tvq_create req = { .type = 2, .vqs = 3, .num_vectors = 2,
					 .serial = "a b" };
	struct tvq_options opt;
	struct reply reply;
	struct managed first, net;
	uint64_t last;
	int fd;

	CHECK(mkdtemp(dir));
	client_options(&opt);
	opt.state_dir = dir;
	driver_init(&d, &opt);
	strcpy((char *)req.name, "disk");
	CHECK_EQ(create(&d, &req, &first), 0);
	CHECK_EQ(create_simple(&d, 2, "", 0, &m), 0);
	CHECK_EQ(create_simple(&d, 1, "net", 2, &net), 0);
	CHECK_EQ(create_simple(&d, 4, "gone", 0, &m), 0);
	last = m.id;
	CHECK_EQ(command(&d, last, MGMT(DESTROY), NULL, 0, 0, NULL), 0);
	driver_exit(&d);

	driver_init(&d, &opt);
	CHECK_EQ(command(&d, first.id, DEVICE(DESCRIBE), NULL, 0, 512, &reply), 0);
	((struct virtio_tvq_device_info *)reply.in)->config_generation =
		first.info.config_generation;
	CHECK(!memcmp(reply.in, &first.info, sizeof(first.info)));
	CHECK(!memcmp(reply.in + sizeof(first.info), first.config, first.info.config_len));
	CHECK_EQ(command(&d, net.id, DEVICE(DESCRIBE), NULL, 0, 512, &reply), 0);
	CHECK(!memcmp(reply.in + sizeof(net.info), net.config, net.info.config_len));
	CHECK_EQ(command(&d, last, DEVICE(DESCRIBE), NULL, 0, 512, NULL), ERR(ENXIO, DEVICE_ID));
	CHECK_EQ(create_simple(&d, 4, "", 0, &m), 0);
	CHECK(m.id > last);
	CHECK_EQ(command(&d, first.id, MGMT(DESTROY), NULL, 0, 0, NULL), 0);
	CHECK_EQ(command(&d, net.id, MGMT(DESTROY), NULL, 0, 0, NULL), 0);
	CHECK_EQ(command(&d, 2, MGMT(DESTROY), NULL, 0, 0, NULL), 0);
	CHECK_EQ(command(&d, m.id, MGMT(DESTROY), NULL, 0, 0, NULL), 0);
	/* The file of a name stays, that of one without goes. */
	snprintf(path, sizeof(path), "%s/disks/.device-2.img", dir);
	CHECK(access(path, F_OK) != 0);
	driver_exit(&d);
	snprintf(path, sizeof(path), "%s/disks/disk.img", dir);
	CHECK_EQ(unlink(path), 0);
	snprintf(path, sizeof(path), "%s/disks", dir);
	CHECK_EQ(rmdir(path), 0);
	snprintf(path, sizeof(path), "%s/devices", dir);
	fd = open(path, O_RDONLY);
	memset(text, 0, sizeof(text));
	CHECK(read(fd, text, sizeof(text) - 1) > 0);
	CHECK(!strcmp(text, "tvq-device 1\nnext 6\n"));
	close(fd);
	unlink(path);
	CHECK_EQ(rmdir(dir), 0);
}

/*
 * The program
 */

static pid_t start(char *const args[], int *err_fd)
{
	int pipe_fd[2];
	pid_t pid;

	if (pipe(pipe_fd))
		abort();
	pid = fork();
	if (!pid) {
		dup2(pipe_fd[1], STDERR_FILENO);
		dup2(pipe_fd[1], STDOUT_FILENO);
		close(pipe_fd[0]);
		execv(test_device_path, args);
		_exit(127);
	}
	close(pipe_fd[1]);
	*err_fd = pipe_fd[0];
	return pid;
}

/* Run to its end. Return: its exit status. */
static int run(char *const args[])
{
	int status, fd;
	pid_t pid = start(args, &fd);
	size_t len = 0;
	ssize_t n;

	while ((n = read(fd, answer + len, sizeof(answer) - 1 - len)) > 0)
		len += n;
	answer[len] = '\0';
	close(fd);
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Functions that cannot be made: the process does not start, and says why. */
TEST(functions_that_are_refused)
{
	static const struct {
		const char *first, *second, *message;
	} bad[] = {
		{ "/nonexistent/p,type=blk,name=a", NULL, "socket /nonexistent/p" },
		{ "/tmp/tvq-check-p,type=blk,name=a", "/tmp/tvq-check-q,type=net,name=a",
		  "the name is in use" },
		{ "/tmp/tvq-check-p,type=net,name=a,vqs=1000", NULL, "too many queues" },
		{ "/tmp/tvq-check-p,type=net,name=a,features=0x1", NULL, "not possible" },
		{ "/tmp/tvq-check-p,type=rng,name=a,capacity=1M", NULL, "does not have" },
		{ "/tmp/tvq-check-p,type=blk,name=a b", NULL, "not a valid name" },
		{ "/tmp/tvq-check-p,type=blk,name=a,vectors=3000", NULL, "too many vectors" },
	};
	unsigned int i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char *args[] = { "tvq-device", "--socket", "/tmp/tvq-check-s", "--pci",
				 (char *)bad[i].first, bad[i].second ? "--pci" : NULL,
				 (char *)bad[i].second, NULL };

		CHECK_EQ(run(args), 1);
		if (!strstr(answer, bad[i].message))
			test_failed(__FILE__, __LINE__, "%s: %s", bad[i].first, answer);
		CHECK(access("/tmp/tvq-check-p", F_OK) != 0);
	}
}

TEST(options_that_are_refused)
{
	static const struct {
		const char *a, *b, *message;
	} bad[] = {
		{ "--nonsense", NULL, "no such option" },
		{ "-x", NULL, "no such option" },
		{ "word", NULL, "not an option" },
		{ "--control", NULL, "argument is missing" },
		{ "--control", "", "empty" },
		{ "--devices-max", "0", "not a number" },
		{ "--devices-max", "many", "not a number" },
		{ "--devices-max", "1x", "not a number" },
		{ "--devices-max", "-1", "not a number" },
		{ "--devices-max", "65537", "not a number" },
		{ "--vqs-max", "", "not a number" },
		{ "--vectors-max", "99999999999999999999", "not a number" },
		{ "--device-vqs-max", "1025", "not a number" },
		{ "--device-vectors-max", "2049", "not a number" },
		{ "--queue-size", "100", "power of 2" },
		{ "--queue-size", "65536", "not a number" },
		{ "--transport-queue-size", "3", "power of 2" },
		{ "--admin-queues", "9", "not a number" },
		{ "--admin-queues", "-1", "not a number" },
		{ "--sriov", "0", "not a number" },
		{ "--sriov", "65", "not a number" },
		{ "--mac-prefix", "02:00", "XX:XX:XX" },
		{ "--mac-prefix", "02:00:zz", "XX:XX:XX" },
		{ "--mac-prefix", "01:00:00", "multicast" },
		{ "--pci", "", "path of a socket" },
		{ "--pci", "type=blk", "path of a socket" },
		{ "--pci", "/x", "type or name" },
		{ "--pci", "/x,type=blk", "type or name" },
		{ "--pci", "/x,type=disk,name=a", "no such device type" },
		{ "--pci", "/x,type=blk,name=a,colour=red", "no such key" },
		{ "--pci", "/x,type=blk,name=a,vqs=many", "vqs is not a number" },
		{ "--pci", "/x,type=blk,name=a,capacity=100", "multiple of 512" },
		{ "--pci", "/x,type=blk,name=a,features=x", "features is not a number" },
		{ "--fault", "", "kind is missing" },
		{ "--fault", "kind=drop,colour=red", "no such key" },
		{ "--fault", "kind=drop,nth=0", "nth is not a number" },
		{ "--log-level", "loud", "error, warn, info or debug" },
	};
	char *none[] = { "tvq-device", NULL }, *help[] = { "tvq-device", "--help", NULL };
	unsigned int i;

	CHECK_EQ(run(none), 2);
	CHECK(strstr(answer, "--socket is missing"));
	CHECK_EQ(run(help), 0);
	CHECK(strstr(answer, "Usage: tvq-device"));
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char *args[] = { "tvq-device", "--socket", "/nonexistent/s", (char *)bad[i].a,
				 (char *)bad[i].b, NULL };

		CHECK_EQ(run(args), 2);
		if (!strstr(answer, bad[i].message))
			test_failed(__FILE__, __LINE__, "%s %s: '%s'", bad[i].a, bad[i].b, answer);
	}
}

TEST(what_cannot_be_opened)
{
	char *socket_[] = { "tvq-device", "--socket", "/nonexistent/s", NULL };
	char *state[] = { "tvq-device", "--socket", "/tmp/tvq-check-s", "--state-dir",
			  "/nonexistent/dir", NULL };
	char *disk[] = { "tvq-device", "--socket", "/tmp/tvq-check-s", "--disk-dir",
			 "/dev/null", NULL };
	char *ctl_[] = { "tvq-device", "--socket", "/tmp/tvq-check-s", "--control",
			 "/nonexistent/c", NULL };
	char *file[] = { "tvq-device", "--socket", "/tmp/tvq-check-file", NULL };
	int fd;

	CHECK_EQ(run(socket_), 1);
	CHECK(strstr(answer, "/nonexistent/s"));
	CHECK_EQ(run(state), 1);
	CHECK(strstr(answer, "/nonexistent/dir"));
	CHECK_EQ(run(disk), 1);
	CHECK(strstr(answer, "/dev/null"));
	CHECK_EQ(run(ctl_), 1);
	CHECK(strstr(answer, "/nonexistent/c"));
	/* A file that is no socket is in the way, and stays. */
	fd = open("/tmp/tvq-check-file", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	CHECK_EQ(run(file), 1);
	CHECK_EQ(unlink("/tmp/tvq-check-file"), 0);
	close(fd);
	CHECK(access("/tmp/tvq-check-s", F_OK) != 0);
}

static bool wait_for(const char *path)
{
	double end = test_now() + 10;

	while (access(path, F_OK)) {
		if (test_now() > end)
			return false;
		usleep(5000);
	}
	return true;
}

/* Two processes do not write over each other's files. */
TEST(directories_of_another_process)
{
	char dir[] = "/tmp/tvq-check-XXXXXX", path[3][64];
	char *args[] = { "tvq-device", "--socket", path[0], "--state-dir", dir, NULL };
	struct tvq_options opt;

	CHECK(mkdtemp(dir));
	snprintf(path[0], sizeof(path[0]), "%s/s", dir);
	client_options(&opt);
	opt.state_dir = dir;
	up(&opt);
	CHECK(ctl_ok("add type=blk name=x capacity=1M"));
	CHECK_EQ(run(args), 1);
	CHECK(strstr(answer, "another process"));
	/* The same disk: by other means, for a process of its own would be needed */
	snprintf(path[1], sizeof(path[1]), "%s/disks/x.img", dir);
	snprintf(path[2], sizeof(path[2]), "%s/disks/y.img", dir);
	CHECK_EQ(link(path[1], path[2]), 0);
	CHECK(!ctl_ok("add type=blk name=y"));
	CHECK(ctl_ok("remove x"));
	CHECK(ctl_ok("add type=blk name=y"));
	CHECK(ctl_ok("remove y"));
	down();
	CHECK_EQ(unlink(path[1]) | unlink(path[2]), 0);
	snprintf(path[1], sizeof(path[1]), "%s/devices", dir);
	snprintf(path[2], sizeof(path[2]), "%s/disks", dir);
	CHECK_EQ(unlink(path[1]) | rmdir(path[2]) | rmdir(dir), 0);
}

TEST(the_program_ends_in_order)
{
	char dir[] = "/tmp/tvq-check-XXXXXX", sock[64], cpath[64];
	char *args[] = { "tvq-device", "--socket", sock, "--control", cpath, "--log-level", "error",
			 NULL };
	static const int signals[] = { SIGTERM, SIGINT };
	int status, fd, other_fd, i;
	pid_t pid, second;

	CHECK(mkdtemp(dir));
	snprintf(sock, sizeof(sock), "%s/s", dir);
	snprintf(cpath, sizeof(cpath), "%s/c", dir);
	snprintf(control_path, sizeof(control_path), "%s", cpath);
	for (i = 0; i < 2; i++) {
		pid = start(args, &fd);
		CHECK(wait_for(cpath));
		CHECK(ctl_ok("add type=blk name=x capacity=1M"));
		CHECK(ctl_ok("add type=net"));
		/* Where one listens no other can. */
		second = start(args, &other_fd);
		waitpid(second, &status, 0);
		CHECK_EQ(WEXITSTATUS(status), 1);
		close(other_fd);
		CHECK(ctl_ok("list"));
		kill(pid, signals[i]);
		waitpid(pid, &status, 0);
		CHECK(WIFEXITED(status));
		CHECK_EQ(WEXITSTATUS(status), 0);
		close(fd);
		CHECK(access(sock, F_OK) != 0);
		CHECK(access(cpath, F_OK) != 0);
	}
	/* What a process leaves that was killed is no obstacle. */
	pid = start(args, &fd);
	CHECK(wait_for(cpath));
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	close(fd);
	CHECK_EQ(access(sock, F_OK), 0);
	pid = start(args, &fd);
	for (i = 0; i < 1000 && !ctl_ok("list"); i++)
		usleep(5000);
	CHECK(i < 1000);
	kill(pid, SIGTERM);
	waitpid(pid, &status, 0);
	CHECK_EQ(status, 0);
	close(fd);
	CHECK_EQ(rmdir(dir), 0);
}
