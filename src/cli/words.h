/* words.h - times and sizes as people read them. */
#ifndef CLI_WORDS_H
#define CLI_WORDS_H

#include <stdint.h>

#define WORDS_SIZE 32

/* "59 s", "4 min 2 s", "3 h 1 min", "2 d 5 h"; "unknown" if negative. */
const char *words_duration(double seconds, char text[WORDS_SIZE]);

/* "310 k", "2.0 M", "7.2 G": a unit may follow. */
const char *words_amount(uint64_t n, char text[WORDS_SIZE]);

#endif
