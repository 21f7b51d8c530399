/* format.h - times and sizes as people read them. */
#ifndef CLI_FORMAT_H
#define CLI_FORMAT_H

#include <stdint.h>

#define FORMAT_SIZE 32

/* "59 s", "4 min 2 s", "3 h 1 min", "2 d 5 h"; "unknown" if negative. */
const char *format_duration(double seconds, char text[FORMAT_SIZE]);

/* "310 k", "2.0 M", "7.2 G": a unit may follow. */
const char *format_amount(uint64_t n, char text[FORMAT_SIZE]);

#endif
