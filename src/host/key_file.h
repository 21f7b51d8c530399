/* key_file.h - the key for servers (--api-key-file). It is read once, before anything else is made: workers are copies of this process
 * and have it in their memory, and nowhere else is it kept. */
#ifndef HOST_KEY_FILE_H
#define HOST_KEY_FILE_H

#include <stdbool.h>
#include <stddef.h>

/* The first line of the file, without white space around it, in memory that lives as long as the program. False: `message` says why. */
bool key_file_read(const char *path, const char **key, char *message, size_t message_size);

#endif
