// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/*
 * XDP and AF_XDP on an interface, for the parity suite: no library, because all
 * that is needed is one program of a dozen instructions and one socket.
 *
 *   xdp IFNAME pass|drop|tx            until standard input ends
 *   xdp IFNAME copy|zerocopy COUNT     until COUNT frames were sent back
 *
 * Frames of the ethertype for local experiments are dropped, sent back by XDP, or
 * sent back by a socket on queue 0; all others are passed on. What is sent back
 * has its addresses swapped; by the socket, the bytes after the header inverted
 * as well. "ready" on standard output says that all of that is in place.
 *
 * With zerocopy, the header of all that the socket sends is a variable of virtio_net,
 * xsk_hdr, which it maps for DMA as if it were in the kernel's image. Where the driver
 * is a module, the device is given another address, at which there have to be zeroes.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ETHERTYPE	0x88b5
/*
 * Entries of each ring of the socket, and frames: more than a queue of the device has,
 * because a driver that finds no frame for a free buffer looks for one all the time.
 */
#define RING		512U
#define FRAME		4096U
#define PATIENCE	60000		/* milliseconds without a frame */

/* Instructions, as the kernel's own samples write them. */
#define INSN(c, d, s, o, i) \
	((struct bpf_insn){ .code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i) })
#define LOAD(size, d, s, o)	INSN(BPF_LDX | BPF_MEM | (size), d, s, o, 0)
#define STORE(size, d, s, o)	INSN(BPF_STX | BPF_MEM | (size), d, s, o, 0)
#define MOVE(d, s)		INSN(BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define SET(d, i)		INSN(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, i)
#define ADD(d, i)		INSN(BPF_ALU64 | BPF_ADD | BPF_K, d, 0, 0, i)
#define JUMP_ABOVE(d, s, o)	INSN(BPF_JMP | BPF_JGT | BPF_X, d, s, o, 0)
#define JUMP_EQUAL(d, i, o)	INSN(BPF_JMP | BPF_JEQ | BPF_K, d, 0, o, i)
#define CALL(i)			INSN(BPF_JMP | BPF_CALL, 0, 0, 0, i)
#define EXIT()			INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)

struct ring {
	uint32_t *producer;
	uint32_t *consumer;
	void *desc;
};

struct xsk {
	int fd;
	uint8_t *umem;
	struct ring fill, completion, rx, tx;
};

static void __attribute__((noreturn)) die(const char *what)
{
	fprintf(stderr, "xdp: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int bpf(int command, union bpf_attr *attr)
{
	return syscall(SYS_bpf, command, attr, sizeof(*attr));
}

static int make_map(void)
{
	union bpf_attr attr = {
		.map_type = BPF_MAP_TYPE_XSKMAP,
		.key_size = 4,
		.value_size = 4,
		.max_entries = 1,
	};
	int fd = bpf(BPF_MAP_CREATE, &attr);

	if (fd < 0)
		die("map");
	return fd;
}

static void map_set(int map, int fd)
{
	uint32_t key = 0;
	union bpf_attr attr = {
		.map_fd = map,
		.key = (uintptr_t)&key,
		.value = (uintptr_t)&fd,
	};

	if (bpf(BPF_MAP_UPDATE_ELEM, &attr))
		die("map entry");
}

static int load(struct bpf_insn *insns, unsigned int count)
{
	static char log[65536];
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_XDP,
		.insns = (uintptr_t)insns,
		.insn_cnt = count,
		.license = (uintptr_t)"Dual BSD/GPL",
		.log_buf = (uintptr_t)log,
		.log_size = sizeof(log),
		.log_level = 1,
	};
	int fd = bpf(BPF_PROG_LOAD, &attr);

	if (fd < 0) {
		fputs(log, stderr);
		die("program");
	}
	return fd;
}

/* A program that does what verdict says to frames of ETHERTYPE, for the life of this process. */
static void attach(unsigned int ifindex, int verdict, int map)
{
	struct bpf_insn insns[32];
	union bpf_attr attr = { 0 };
	unsigned int n = 0, i;

	insns[n++] = MOVE(6, 1);
	insns[n++] = LOAD(BPF_W, 7, 6, offsetof(struct xdp_md, data));
	insns[n++] = LOAD(BPF_W, 3, 6, offsetof(struct xdp_md, data_end));
	insns[n++] = MOVE(4, 7);
	insns[n++] = ADD(4, ETH_HLEN);
	insns[n++] = JUMP_ABOVE(4, 3, 2);
	insns[n++] = LOAD(BPF_H, 5, 7, offsetof(struct ethhdr, h_proto));
	insns[n++] = JUMP_EQUAL(5, htons(ETHERTYPE), 2);
	insns[n++] = SET(0, XDP_PASS);
	insns[n++] = EXIT();
	if (verdict == XDP_TX) {
		for (i = 0; i < ETH_ALEN; i += 2) {
			insns[n++] = LOAD(BPF_H, 3, 7, i);
			insns[n++] = LOAD(BPF_H, 4, 7, ETH_ALEN + i);
			insns[n++] = STORE(BPF_H, 7, 4, i);
			insns[n++] = STORE(BPF_H, 7, 3, ETH_ALEN + i);
		}
	}
	if (verdict == XDP_REDIRECT) {
		insns[n++] = INSN(BPF_LD | BPF_IMM | BPF_DW, 1, BPF_PSEUDO_MAP_FD, 0, map);
		insns[n++] = INSN(0, 0, 0, 0, 0);
		insns[n++] = LOAD(BPF_W, 2, 6, offsetof(struct xdp_md, rx_queue_index));
		insns[n++] = SET(3, XDP_DROP);
		insns[n++] = CALL(BPF_FUNC_redirect_map);
	} else {
		insns[n++] = SET(0, verdict);
	}
	insns[n++] = EXIT();

	attr.link_create.prog_fd = load(insns, n);
	attr.link_create.target_ifindex = ifindex;
	attr.link_create.attach_type = BPF_XDP;
	attr.link_create.flags = XDP_FLAGS_DRV_MODE;
	if (bpf(BPF_LINK_CREATE, &attr) < 0)
		die("attaching the program");
}

static void ring_map(struct xsk *xsk, struct ring *ring, const struct xdp_ring_offset *off,
		     uint64_t page, size_t entry)
{
	uint8_t *map = mmap(NULL, off->desc + RING * entry, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_POPULATE, xsk->fd, page);

	if (map == MAP_FAILED)
		die("ring");
	ring->producer = (uint32_t *)(map + off->producer);
	ring->consumer = (uint32_t *)(map + off->consumer);
	ring->desc = map + off->desc;
}

static void set_option(int fd, int option, const void *value, socklen_t len)
{
	if (setsockopt(fd, SOL_XDP, option, value, len))
		die("socket option");
}

/* A frame of the umem to be received into. */
static void fill(struct xsk *xsk, uint64_t addr)
{
	uint32_t at = *xsk->fill.producer;

	((uint64_t *)xsk->fill.desc)[at % RING] = addr;
	__atomic_store_n(xsk->fill.producer, at + 1, __ATOMIC_RELEASE);
}

static void xsk_open(struct xsk *xsk, unsigned int ifindex, int mode)
{
	struct sockaddr_xdp addr = {
		.sxdp_family = AF_XDP,
		.sxdp_flags = mode,
		.sxdp_ifindex = ifindex,
	};
	struct xdp_umem_reg reg = { .len = RING * FRAME, .chunk_size = FRAME };
	struct xdp_options options = { 0 };
	struct xdp_mmap_offsets off;
	socklen_t len = sizeof(off);
	unsigned int size = RING, i;

	xsk->fd = socket(AF_XDP, SOCK_RAW, 0);
	if (xsk->fd < 0)
		die("socket");
	xsk->umem = mmap(NULL, reg.len, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (xsk->umem == MAP_FAILED)
		die("memory");
	reg.addr = (uintptr_t)xsk->umem;
	set_option(xsk->fd, XDP_UMEM_REG, &reg, sizeof(reg));
	set_option(xsk->fd, XDP_UMEM_FILL_RING, &size, sizeof(size));
	set_option(xsk->fd, XDP_UMEM_COMPLETION_RING, &size, sizeof(size));
	set_option(xsk->fd, XDP_RX_RING, &size, sizeof(size));
	set_option(xsk->fd, XDP_TX_RING, &size, sizeof(size));
	if (getsockopt(xsk->fd, SOL_XDP, XDP_MMAP_OFFSETS, &off, &len))
		die("offsets of the rings");
	ring_map(xsk, &xsk->fill, &off.fr, XDP_UMEM_PGOFF_FILL_RING, sizeof(uint64_t));
	ring_map(xsk, &xsk->completion, &off.cr, XDP_UMEM_PGOFF_COMPLETION_RING,
		 sizeof(uint64_t));
	ring_map(xsk, &xsk->rx, &off.rx, XDP_PGOFF_RX_RING, sizeof(struct xdp_desc));
	ring_map(xsk, &xsk->tx, &off.tx, XDP_PGOFF_TX_RING, sizeof(struct xdp_desc));
	for (i = 0; i < RING; i++)
		fill(xsk, (uint64_t)i * FRAME);
	if (bind(xsk->fd, (struct sockaddr *)&addr, sizeof(addr)))
		die("binding the socket");
	len = sizeof(options);
	if (getsockopt(xsk->fd, SOL_XDP, XDP_OPTIONS, &options, &len))
		die("options of the socket");
	if (!(options.flags & XDP_OPTIONS_ZEROCOPY) != (mode == XDP_COPY)) {
		errno = EPROTO;
		die("not in the mode that was asked for");
	}
}

/* The answer to a frame, in its place. */
static void turn(uint8_t *data, unsigned int len)
{
	uint8_t addr[ETH_ALEN];
	unsigned int i;

	memcpy(addr, data, ETH_ALEN);
	memcpy(data, data + ETH_ALEN, ETH_ALEN);
	memcpy(data + ETH_ALEN, addr, ETH_ALEN);
	for (i = ETH_HLEN; i < len; i++)
		data[i] = ~data[i];
}

/* By the socket's own ring. Return: how many were sent. */
static unsigned int send_queued(struct xsk *xsk)
{
	unsigned int sent = 0;
	uint64_t addr;
	uint32_t at;

	if (sendto(xsk->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 && errno != EAGAIN &&
	    errno != EBUSY && errno != ENOBUFS)
		die("sending");
	at = *xsk->completion.consumer;
	for (; at != __atomic_load_n(xsk->completion.producer, __ATOMIC_ACQUIRE); at++) {
		addr = ((uint64_t *)xsk->completion.desc)[at % RING];
		fill(xsk, addr & ~(uint64_t)(FRAME - 1));
		sent++;
	}
	__atomic_store_n(xsk->completion.consumer, at, __ATOMIC_RELEASE);
	return sent;
}

static void queue_answer(struct xsk *xsk, const struct xdp_desc *desc)
{
	uint32_t at = *xsk->tx.producer;

	((struct xdp_desc *)xsk->tx.desc)[at % RING] = *desc;
	__atomic_store_n(xsk->tx.producer, at + 1, __ATOMIC_RELEASE);
}

/* Until count frames were answered. */
static void echo(struct xsk *xsk, unsigned int count)
{
	struct pollfd pollfd = { .fd = xsk->fd, .events = POLLIN };
	unsigned int received = 0, sent = 0, before = 0;
	const struct xdp_desc *desc;
	int waited = 0, n;
	uint32_t at;

	while (sent < count) {
		/* What is not yet sent has no interrupt that would end a wait. */
		n = poll(&pollfd, 1, 10);
		if (n < 0)
			die("poll");
		waited = n || sent != before ? 0 : waited + 10;
		before = sent;
		if (waited > PATIENCE) {
			errno = ETIMEDOUT;
			fprintf(stderr, "xdp: %u frames came, %u of %u were sent\n", received, sent,
				count);
			die("no frame");
		}
		at = *xsk->rx.consumer;
		for (; at != __atomic_load_n(xsk->rx.producer, __ATOMIC_ACQUIRE); at++) {
			desc = &((struct xdp_desc *)xsk->rx.desc)[at % RING];
			turn(xsk->umem + desc->addr, desc->len);
			received++;
			queue_answer(xsk, desc);
		}
		__atomic_store_n(xsk->rx.consumer, at, __ATOMIC_RELEASE);
		if (received > sent)
			sent += send_queued(xsk);
	}
}

int main(int argc, char **argv)
{
	unsigned int ifindex = argc > 2 ? if_nametoindex(argv[1]) : 0;
	struct xsk xsk;
	int map;

	if (!ifindex) {
		fprintf(stderr, "usage: xdp IFNAME pass|drop|tx, or copy|zerocopy COUNT\n");
		return 2;
	}
	if (argc == 3) {
		attach(ifindex, !strcmp(argv[2], "drop") ? XDP_DROP :
		       !strcmp(argv[2], "tx") ? XDP_TX : XDP_PASS, -1);
		puts("ready");
		fflush(stdout);
		while (getchar() != EOF)
			;
		return 0;
	}
	map = make_map();
	attach(ifindex, XDP_REDIRECT, map);
	xsk_open(&xsk, ifindex, strcmp(argv[2], "copy") ? XDP_ZEROCOPY : XDP_COPY);
	map_set(map, xsk.fd);
	puts("ready");
	fflush(stdout);
	echo(&xsk, atoi(argv[3]));
	return 0;
}
