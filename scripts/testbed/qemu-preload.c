/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause */
/*
 * Preloaded into QEMU, for two of the ways in which the vfio-user client of QEMU
 * 11.1 ends in an assertion.
 *
 * A device with MSI-X that is unplugged: when it is freed, the memory regions of its
 * BARs are freed first, and then the one of the pending bit array is taken out of its
 * BAR. So it must never come to that: the device gets one more reference, on the way
 * through connect(2), which QEMU calls while it makes the device, with its big lock
 * held. An unplugged device then stays allocated, and its connection open; vm.py
 * closes that.
 *
 * A device process that dies with requests in its socket that it has not read: then
 * recvmsg(2) fails with ECONNRESET, which is set as the error, and once more by the
 * one who wanted a message's header. So it is the end of the stream, as if the
 * process had read them.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

static void keep(const char *id)
{
	void *(*resolve)(const char *path, _Bool *ambiguous);
	void *(*ref)(void *object);
	void *object;
	char path[256];

	resolve = dlsym(RTLD_DEFAULT, "object_resolve_path");
	ref = dlsym(RTLD_DEFAULT, "object_ref");
	if (!resolve || !ref)
		return;
	snprintf(path, sizeof(path), "/machine/peripheral/%s", id);
	object = resolve(path, NULL);
	if (object)
		ref(object);
}

/* A device's socket is named after the device's id: DIR/ID.sock. */
int connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	int (*next)(int fd, const struct sockaddr *addr, socklen_t len);
	const struct sockaddr_un *un = (const void *)addr;
	char id[sizeof(un->sun_path) + 1] = "";
	char *name, *end;

	next = dlsym(RTLD_NEXT, "connect");
	if (addr->sa_family == AF_UNIX && len > offsetof(struct sockaddr_un, sun_path)) {
		memcpy(id, un->sun_path, len - offsetof(struct sockaddr_un, sun_path));
		name = strrchr(id, '/');
		end = name ? strstr(name, ".sock") : NULL;
		if (end) {
			*end = '\0';
			keep(name + 1);
		}
	}
	return next(fd, addr, len);
}

ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
	ssize_t (*next)(int fd, struct msghdr *msg, int flags);
	ssize_t n;

	next = dlsym(RTLD_NEXT, "recvmsg");
	n = next(fd, msg, flags);
	return n < 0 && errno == ECONNRESET ? 0 : n;
}
