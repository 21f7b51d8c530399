/* log.c - see log.h. */
#include "log.h"

#include "../platform/platform.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LINE_SIZE 2048

static log_level threshold = LOG_LEVEL_INFO;
static int n_dropped; /* atomic */

void log_open(log_level level) {
    threshold = level;
}

void log_line(log_level level, const char *format, ...) {
    if (level > threshold) return;
    char line[LINE_SIZE];
    int dropped = __atomic_load_n(&n_dropped, __ATOMIC_RELAXED);
    int length = snprintf(line, sizeof line, "chatbot: %s", level == LOG_LEVEL_ERROR  ? "error: "
                                                            : level == LOG_LEVEL_WARN ? "warning: "
                                                                                      : "");
    if (dropped) length += snprintf(line + length, sizeof line - (size_t)length, "(%d lines dropped) ", dropped);
    va_list arguments;
    va_start(arguments, format);
    int rest = vsnprintf(line + length, sizeof line - (size_t)length, format, arguments);
    va_end(arguments);
    size_t n_bytes = (size_t)length + (rest > 0 ? (size_t)rest : 0);
    if (n_bytes > sizeof line - 2) n_bytes = sizeof line - 2;
    for (size_t i = 0; i < n_bytes; i++)
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7F) line[i] = '?';
    line[n_bytes++] = '\n';
    if (plat_stream_try_write(2, line, n_bytes))
        __atomic_fetch_sub(&n_dropped, dropped, __ATOMIC_RELAXED);
    else
        __atomic_fetch_add(&n_dropped, 1, __ATOMIC_RELAXED);
}

void log_guide_line(const char *text) {
    char line[128];
    int length = snprintf(line, sizeof line, "%s\n", text);
    plat_stream_try_write(1, line, (size_t)length);
}
