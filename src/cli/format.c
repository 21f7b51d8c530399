/* format.c - see format.h. */
#include "format.h"

#include <math.h>
#include <stdio.h>

const char *format_duration(double seconds, char text[FORMAT_SIZE]) {
    long s = lround(seconds);
    if (seconds < 0) snprintf(text, FORMAT_SIZE, "unknown");
    else if (s < 60) snprintf(text, FORMAT_SIZE, "%ld s", s);
    else if (s < 3600) snprintf(text, FORMAT_SIZE, "%ld min %ld s", s / 60, s % 60);
    else if (s < 86400) snprintf(text, FORMAT_SIZE, "%ld h %ld min", s / 3600, s / 60 % 60);
    else snprintf(text, FORMAT_SIZE, "%ld d %ld h", s / 86400, s / 3600 % 24);
    return text;
}

const char *format_amount(uint64_t n, char text[FORMAT_SIZE]) {
    if (n < 1000000) snprintf(text, FORMAT_SIZE, "%.0f k", (double)n / 1e3);
    else if (n < 1000000000) snprintf(text, FORMAT_SIZE, "%.1f M", (double)n / 1e6);
    else snprintf(text, FORMAT_SIZE, "%.1f G", (double)n / 1e9);
    return text;
}
