// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
/* Runs the tests of the device: all, or those whose names contain an argument. */
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../log.h"
#include "client.h"

static struct test *tests;
static struct test **last_test = &tests;
static unsigned int failures;
const char *test_device_path;

void test_register(struct test *test)
{
	*last_test = test;
	last_test = &test->next;
}

void test_failed(const char *file, int line, const char *fmt, ...)
{
	va_list args;

	failures++;
	printf("    %s:%d: ", file, line);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\n");
}

double test_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

/* CHECK_SEED makes another run of the tests that choose at random. */
unsigned int test_seed(unsigned int n)
{
	const char *text = getenv("CHECK_SEED");

	return n + 1000 * (text ? strtoul(text, NULL, 0) : 0);
}

static bool chosen(const char *name, int argc, char **argv)
{
	int i;

	for (i = 1; i < argc; i++) {
		if (strstr(name, argv[i]))
			return true;
	}
	return argc < 2;
}

int main(int argc, char **argv)
{
	unsigned int passed = 0, failed = 0;
	struct test *test;
	char path[4096];
	char *slash;
	double start;

	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	log_set_level(getenv("CHECK_DEBUG") ? LOG_DEBUG : LOG_NONE);
	snprintf(path, sizeof(path), "%s", argv[0]);
	slash = strrchr(path, '/');
	strcpy(slash ? slash + 1 : path, "tvq-device");
	test_device_path = path;

	for (test = tests; test; test = test->next) {
		if (!chosen(test->name, argc, argv))
			continue;
		failures = 0;
		start = test_now();
		test->run();
		printf("%s %s (%.2f s)\n", failures ? "FAIL" : "ok  ", test->name,
		       test_now() - start);
		if (failures)
			failed++;
		else
			passed++;
	}
	printf("%u passed, %u failed\n", passed, failed);
	return failed || !passed;
}
