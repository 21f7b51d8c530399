/* names.h - instance names and the names of an instance's objects. Pure functions, any thread. */
#ifndef CHANNEL_NAMES_H
#define CHANNEL_NAMES_H

#include "lipc/layout.h"

#include <stdbool.h>

/* What is allowed, for error messages. */
#define NAMES_RULE "up to 63 letters, digits, '_', '-' or '.', not beginning with '.'"
_Static_assert(LIPC_NAME_MAX == 63, "NAMES_RULE says so");

bool names_is_instance(const char *text);

/* "/" + instance + suffix, for a valid instance and a suffix of layout.h. */
#define NAMES_OBJECT_SIZE 128
void names_object(char object[NAMES_OBJECT_SIZE], const char *instance, const char *suffix);

#endif
