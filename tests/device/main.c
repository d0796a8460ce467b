// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/* tvq-device: options and signals. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "control.h"
#include "log.h"
#include "mdev.h"
#include "tvq.h"
#include "virtq.h"

static const char usage[] =
"Usage: tvq-device --socket PATH [OPTION]...\n"
"\n"
"A virtio management device with a transport virtqueue, for a virtual machine: QEMU\n"
"attaches it with\n"
"  -device '{\"driver\":\"vfio-user-pci\",\"socket\":{\"type\":\"unix\",\"path\":\"PATH\"}}'\n"
"and needs guest memory that can be shared:\n"
"  -object memory-backend-memfd,id=mem,size=1G,share=on -machine memory-backend=mem\n"
"\n"
"  --socket PATH             listen here for vfio-user; one client at a time\n"
"  --control PATH            listen here for control commands, 'help' lists them\n"
"  --state-dir DIR           keep in DIR what is provisioned, for the next process\n"
"  --disk-dir DIR            the files behind disks; by default the directory disks of\n"
"                            the state directory, or one that goes at the end\n"
"  --console-dir DIR         a socket DEVICE.N in DIR for port N of each console; without\n"
"                            it, ports give back what is written to them\n"
"  --pci PATH,type=TYPE,name=NAME[,KEY=VALUE]...\n"
"                            in addition, a device that is a virtio-pci function of\n"
"                            its own, for which to listen on PATH; may be repeated.\n"
"                            Keys: vqs, vectors, serial, capacity, mac, mtu, features\n"
"  --tap IFNAME              connect the network switch to this TAP interface\n"
"  --mac-prefix XX:XX:XX     the first half of MAC addresses; random by default\n"
"  --devices-max N           managed devices at most (256)\n"
"  --vqs-max N               their queues in all (4096)\n"
"  --vectors-max N           their interrupt vectors in all (8192)\n"
"  --device-vqs-max N        queues of one device (65)\n"
"  --device-vectors-max N    interrupt vectors of one device (129)\n"
"  --shm-size SIZE           room for the memory of all managed devices of type pmem, a\n"
"                            power of 2 from 2M to 64G; without it there are none\n"
"  --queue-size N            entries of a managed device's queue, a power of 2\n"
"                            (net, blk: 256, others: 64)\n"
"  --transport-queue-size N  entries of the transport virtqueue and of the admin\n"
"                            virtqueues, a power of 2 (128)\n"
"  --admin-queues N          admin virtqueues, up to 8 (2); 0: no VIRTIO_F_ADMIN_VQ\n"
"  --short-common-cfg        a common configuration that ends before it says where the\n"
"                            admin virtqueues are: only the vendor capability does\n"
"  --sriov N                 an SR-IOV capability with N virtual functions, up to 64;\n"
"                            they are on paper: there is nothing to them but what admin\n"
"                            commands get and set, and QEMU does not show them to a guest\n"
"  --fault KEY=VALUE[,KEY=VALUE]...\n"
"                            do something wrong to the answers of commands, from the\n"
"                            start; the keys are those of the control command fault\n"
"  --hostile SEED[,rate=N][,what=WHAT[+WHAT]...]\n"
"                            lie to the driver, from the start; see the control command\n"
"                            hostile. QEMU sees what is read of the function, too, and may\n"
"                            not be able to attach it\n"
"  --log-level LEVEL         error, warn, info or debug (info)\n"
"  --help                    this text\n"
"\n"
"By default a device offers split rings, as QEMU's do, and all that its type can.\n"
"Bits 34 (packed rings), 35 (IN_ORDER), 36 (ORDER_PLATFORM) and 38 (NOTIFICATION_DATA)\n"
"are offered to those who give a mask of features with them, at creation or with --pci.\n"
"\n"
"SIGTERM and SIGINT end it in order. Exit status: 0, 1 for a failure, 2 for a bad option.\n";

enum {
	OPT_SOCKET = 256, OPT_CONTROL, OPT_STATE_DIR, OPT_DISK_DIR, OPT_CONSOLE_DIR, OPT_TAP,
	OPT_MAC_PREFIX, OPT_DEVICES_MAX, OPT_VQS_MAX, OPT_VECTORS_MAX, OPT_DEVICE_VQS_MAX,
	OPT_DEVICE_VECTORS_MAX, OPT_SHM_SIZE, OPT_QUEUE_SIZE, OPT_TRANSPORT_QUEUE_SIZE, OPT_PCI,
	OPT_FAULT, OPT_HOSTILE, OPT_LOG_LEVEL, OPT_ADMIN_QUEUES, OPT_SHORT_COMMON_CFG, OPT_SRIOV,
	OPT_HELP,
};

static const struct option options[] = {
	{ "socket", required_argument, NULL, OPT_SOCKET },
	{ "control", required_argument, NULL, OPT_CONTROL },
	{ "state-dir", required_argument, NULL, OPT_STATE_DIR },
	{ "disk-dir", required_argument, NULL, OPT_DISK_DIR },
	{ "console-dir", required_argument, NULL, OPT_CONSOLE_DIR },
	{ "tap", required_argument, NULL, OPT_TAP },
	{ "mac-prefix", required_argument, NULL, OPT_MAC_PREFIX },
	{ "devices-max", required_argument, NULL, OPT_DEVICES_MAX },
	{ "vqs-max", required_argument, NULL, OPT_VQS_MAX },
	{ "vectors-max", required_argument, NULL, OPT_VECTORS_MAX },
	{ "device-vqs-max", required_argument, NULL, OPT_DEVICE_VQS_MAX },
	{ "device-vectors-max", required_argument, NULL, OPT_DEVICE_VECTORS_MAX },
	{ "shm-size", required_argument, NULL, OPT_SHM_SIZE },
	{ "queue-size", required_argument, NULL, OPT_QUEUE_SIZE },
	{ "transport-queue-size", required_argument, NULL, OPT_TRANSPORT_QUEUE_SIZE },
	{ "admin-queues", required_argument, NULL, OPT_ADMIN_QUEUES },
	{ "short-common-cfg", no_argument, NULL, OPT_SHORT_COMMON_CFG },
	{ "sriov", required_argument, NULL, OPT_SRIOV },
	{ "pci", required_argument, NULL, OPT_PCI },
	{ "fault", required_argument, NULL, OPT_FAULT },
	{ "hostile", required_argument, NULL, OPT_HOSTILE },
	{ "log-level", required_argument, NULL, OPT_LOG_LEVEL },
	{ "help", no_argument, NULL, OPT_HELP },
	{ NULL, 0, NULL, 0 },
};

static void __attribute__((noreturn, format(printf, 1, 2))) bad_option(const char *fmt, ...)
{
	va_list args;

	fputs("tvq-device: ", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputs("\nTry 'tvq-device --help'.\n", stderr);
	exit(2);
}

static unsigned long number(const char *name, const char *text, unsigned long min,
			    unsigned long max, bool power_of_2)
{
	unsigned long value;
	char *end;

	errno = 0;
	value = strtoul(text, &end, 0);
	if (errno || end == text || *end || strchr(text, '-') || value < min || value > max)
		bad_option("--%s %s: not a number from %lu to %lu", name, text, min, max);
	if (power_of_2 && (value & (value - 1)))
		bad_option("--%s %s: not a power of 2", name, text);
	return value;
}

static void mac_prefix(const char *text, uint8_t *prefix)
{
	unsigned int a, b, c;
	char end;

	if (strlen(text) != 8 || sscanf(text, "%2x:%2x:%2x%c", &a, &b, &c, &end) != 3)
		bad_option("--mac-prefix %s: not of the form XX:XX:XX", text);
	if (a & 1)
		bad_option("--mac-prefix %s: a multicast address", text);
	prefix[0] = a;
	prefix[1] = b;
	prefix[2] = c;
}

static uint64_t shm_size(const char *text)
{
	uint64_t size;

	if (!params_get_size(text, &size) || size < 2u << 20 || size > 64ull << 30 ||
	    (size & (size - 1)))
		bad_option("--shm-size %s: not a power of 2 from 2M to 64G", text);
	return size;
}

static const char *path(const char *name, const char *text)
{
	if (!*text)
		bad_option("--%s: an empty argument", name);
	return text;
}

/* PATH,KEY=VALUE,...: for the whole life of the process. */
static void add_pci(struct tvq_options *opt, const char *text)
{
	static struct plain_options *pci;
	struct plain_options *one;
	char *copy = strdup(text), *save, *word;
	const char *error;

	pci = reallocarray(pci, opt->num_pci + 1, sizeof(*pci));
	if (!pci || !copy)
		bad_option("out of memory");
	one = &pci[opt->num_pci++];
	opt->pci = pci;
	memset(one, 0, sizeof(*one));
	one->socket = strtok_r(copy, ",", &save);
	if (!one->socket || strchr(one->socket, '='))
		bad_option("--pci %s: does not begin with the path of a socket", text);
	while ((word = strtok_r(NULL, ",", &save))) {
		error = params_add_key(&one->params, word);
		if (error)
			bad_option("--pci %s: %s: %s", text, word, error);
	}
	if (!one->params.type || !one->params.name[0])
		bad_option("--pci %s: type or name is missing", text);
}

static void tell_fault(struct tvq_options *opt, char *text)
{
	static struct fault fault;
	char *save, *word;
	const char *error = NULL;

	memset(&fault, 0, sizeof(fault));
	for (word = strtok_r(text, ",", &save); word && !error; word = strtok_r(NULL, ",", &save))
		error = fault_add_key(&fault, word);
	if (!error)
		error = fault_check(&fault);
	if (error)
		bad_option("--fault: %s", error);
	opt->fault = &fault;
}

static void parse(int argc, char **argv, struct tvq_options *opt)
{
	enum log_level level;
	const char *name, *error;
	int c, i = -1;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":", options, &i)) != -1) {
		name = i >= 0 ? options[i].name : "";
		switch (c) {
		case OPT_SOCKET:
			opt->socket = path(name, optarg);
			break;
		case OPT_CONTROL:
			opt->control = path(name, optarg);
			break;
		case OPT_STATE_DIR:
			opt->state_dir = path(name, optarg);
			break;
		case OPT_DISK_DIR:
			opt->disk_dir = path(name, optarg);
			break;
		case OPT_PCI:
			add_pci(opt, optarg);
			break;
		case OPT_CONSOLE_DIR:
			opt->console_dir = path(name, optarg);
			break;
		case OPT_TAP:
			opt->tap = path(name, optarg);
			break;
		case OPT_MAC_PREFIX:
			mac_prefix(optarg, opt->mac_prefix);
			break;
		case OPT_DEVICES_MAX:
			opt->devices_max = number(name, optarg, 1, TVQ_DEVICES_LIMIT, false);
			break;
		case OPT_VQS_MAX:
			opt->vqs_max = number(name, optarg, 1, 1u << 24, false);
			break;
		case OPT_VECTORS_MAX:
			opt->vectors_max = number(name, optarg, 1, 1u << 24, false);
			break;
		case OPT_DEVICE_VQS_MAX:
			opt->device_vqs_max = number(name, optarg, 1, VIRTIO_TVQ_DEVICE_VQS_MAX,
						     false);
			break;
		case OPT_DEVICE_VECTORS_MAX:
			opt->device_vectors_max = number(name, optarg, 1, 2048, false);
			break;
		case OPT_SHM_SIZE:
			opt->shm_size = shm_size(optarg);
			break;
		case OPT_QUEUE_SIZE:
			opt->queue_size = number(name, optarg, 2, VQ_SIZE_MAX, true);
			break;
		case OPT_TRANSPORT_QUEUE_SIZE:
			opt->transport_queue_size = number(name, optarg, 2, VQ_SIZE_MAX, true);
			break;
		case OPT_ADMIN_QUEUES:
			opt->admin_queues = number(name, optarg, 0, ADMIN_QUEUES_MAX, false);
			break;
		case OPT_SHORT_COMMON_CFG:
			opt->short_common_cfg = true;
			break;
		case OPT_SRIOV:
			opt->sriov = number(name, optarg, 1, SRIOV_MAX, false);
			break;
		case OPT_FAULT:
			tell_fault(opt, optarg);
			break;
		case OPT_HOSTILE:
			error = hostile_parse(&opt->hostile, optarg);
			if (error)
				bad_option("--hostile: %s", error);
			break;
		case OPT_LOG_LEVEL:
			if (log_parse_level(optarg, &level))
				bad_option("--log-level %s: not error, warn, info or debug",
					   optarg);
			log_set_level(level);
			break;
		case OPT_HELP:
			fputs(usage, stdout);
			exit(0);
		case ':':
			bad_option("%s: an argument is missing", argv[optind - 1]);
		default:
			bad_option("%s: no such option", argv[optind - 1]);
		}
		i = -1;
	}
	if (optind < argc)
		bad_option("%s: not an option", argv[optind]);
	if (!opt->socket)
		bad_option("--socket is missing");
}

int main(int argc, char **argv)
{
	struct tvq_options opt;
	struct control control;
	static struct tvq tvq;
	sigset_t signals;
	int stop_fd, ret;

	tvq_default_options(&opt);
	parse(argc, argv, &opt);

	/* Before there are other threads, so that all of them have it so. */
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	stop_fd = signalfd(-1, &signals, SFD_CLOEXEC);
	if (stop_fd < 0) {
		log_error("signalfd: %s", strerror(errno));
		return 1;
	}
	if (tvq_start(&tvq, &opt))
		return 1;
	if (control_start(&control, &tvq, opt.control)) {
		tvq_stop(&tvq);
		return 1;
	}
	log_info("listening on %s", opt.socket);
	ret = tvq_run(&tvq, stop_fd);
	log_info("ending");
	control_stop(&control);
	tvq_stop(&tvq);
	close(stop_fd);
	return ret ? 1 : 0;
}
