/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause */
#ifndef TVQ_LOG_H
#define TVQ_LOG_H

enum log_level { LOG_NONE, LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

void log_set_level(enum log_level level);
int log_parse_level(const char *text, enum log_level *level);
int log_enabled(enum log_level level);
void log_print(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_at(level, ...)						\
	do {								\
		enum log_level level_ = (level);			\
									\
		if (log_enabled(level_))				\
			log_print(level_, __VA_ARGS__);			\
	} while (0)
#define log_error(...)	log_at(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)	log_at(LOG_WARN, __VA_ARGS__)
#define log_info(...)	log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...)	log_at(LOG_DEBUG, __VA_ARGS__)

#endif
