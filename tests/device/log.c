// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/* Messages to stderr, one line each, with the time since the start. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "log.h"

static const char * const level_names[] = { "none", "error", "warn", "info", "debug" };
static enum log_level log_level = LOG_INFO;

void log_set_level(enum log_level level)
{
	__atomic_store_n(&log_level, level, __ATOMIC_RELAXED);
}

int log_enabled(enum log_level level)
{
	return level <= __atomic_load_n(&log_level, __ATOMIC_RELAXED);
}

int log_parse_level(const char *text, enum log_level *level)
{
	unsigned int i;

	for (i = LOG_ERROR; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
		if (!strcmp(text, level_names[i])) {
			*level = i;
			return 0;
		}
	}
	return -1;
}

void log_print(enum log_level level, const char *fmt, ...)
{
	struct timespec now;
	char line[512];
	va_list args;
	int n, m;

	clock_gettime(CLOCK_MONOTONIC, &now);
	n = snprintf(line, sizeof(line), "tvq-device: %lld.%06ld %s: ", (long long)now.tv_sec,
		     now.tv_nsec / 1000, level_names[level]);
	va_start(args, fmt);
	m = vsnprintf(line + n, sizeof(line) - n - 1, fmt, args);
	va_end(args);
	if (m < 0)
		return;
	n += m;
	if (n > (int)sizeof(line) - 2)
		n = sizeof(line) - 2;
	line[n++] = '\n';
	if (write(STDERR_FILENO, line, n) < 0)
		return;
}
