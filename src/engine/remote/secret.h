/* secret.h - keeps a secret out of texts that others have written. Pure functions. */
#ifndef REMOTE_SECRET_H
#define REMOTE_SECRET_H

#include <stddef.h>

#define SECRET_PART_MIN 4 /* bytes of its beginning that are not shown either */

/* Takes every occurrence of the secret out of the text, in upper and lower case, and what of its beginning the text ends with: it
 * may have been cut there. Returns the new length. NULL or "": there is none. */
size_t secret_remove(const char *secret, char *text, size_t n_bytes);

#endif
