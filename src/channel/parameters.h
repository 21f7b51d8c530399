/* parameters.h - the parameters of one request (include/lipc/parameters.h): set by name, checked, and as items of the
 * request in the segment. Pure functions, any thread.
 */
#ifndef CHANNEL_PARAMETERS_H
#define CHANNEL_PARAMETERS_H

#include "lipc/lipc.h"
#include "lipc/parameters.h"

#include <stdbool.h>
#include <stddef.h>

/* Each is a value, or its mark of being left to the host: NaN, LIPC_INT_DEFAULT, LIPC_SEED_DEFAULT, NULL. */
typedef struct parameters {
    LIPC_PARAMETER_MAP(LIPC_PARAMETER_FIELD)
} parameters;

/* Whether a value is not its mark: PARAMETER_IS_SET(REAL, given.temperature). */
#define PARAMETER_IS_SET(kind, value) LIPC_PARAMETER_IS_SET_##kind(value)

/* All left to the host. */
void parameters_init(parameters *values);

#define PARAMETERS_MESSAGE_SIZE 256

/* Client: what a request says, in its fields and by name; what is said by name wins. False with a sentence in `message`. */
bool parameters_take(parameters *values, const lipc_request *request, char message[PARAMETERS_MESSAGE_SIZE]);

/* Whether all are within their bounds. False with a sentence in `message`. */
bool parameters_check(const parameters *values, char message[PARAMETERS_MESSAGE_SIZE]);

/* One by one, for a lipc_request: fills `list` with those that are set and returns their number. */
#define PARAMETER_ONE(...) +1
#define PARAMETERS_COUNT (0 LIPC_PARAMETER_MAP(PARAMETER_ONE))
int32_t parameters_list(const parameters *values, lipc_parameter list[PARAMETERS_COUNT]);

/* Client: the n-th of those that travel by name and are set, as the text "name=value", without a zero byte: numbers are
 * decimal, with a point in every locale. Returns its length, or 0 if there are no more; writes it if `text` is not NULL. */
size_t parameters_item(const parameters *values, size_t n, char *text, size_t size);

/* Host: sets what such a text, zero-terminated, says; any parameter may come by name. The values of texts point into it. False
 * with a sentence in `message`. */
bool parameters_read_item(parameters *values, const char *text, char message[PARAMETERS_MESSAGE_SIZE]);

#endif
