// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/* Listening on a UNIX socket. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "sock.h"

/* Return: a non-blocking socket that listens on path, or a negative error. */
int sock_listen(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd, probe, err = 0;
	struct stat st;

	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	strcpy(addr.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)))
		err = errno;
	/* A socket that nobody listens on was left by a process that died. */
	if (err == EADDRINUSE && !lstat(path, &st) && S_ISSOCK(st.st_mode)) {
		probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (probe >= 0 && connect(probe, (struct sockaddr *)&addr, sizeof(addr)) &&
		    errno == ECONNREFUSED && !unlink(path) &&
		    !bind(fd, (struct sockaddr *)&addr, sizeof(addr)))
			err = 0;
		if (probe >= 0)
			close(probe);
	}
	if (!err && listen(fd, 4))
		err = errno;
	if (err) {
		close(fd);
		return -err;
	}
	return fd;
}
