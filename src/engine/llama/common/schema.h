/* schema.h - a JSON schema becomes a grammar (see ../../grammar.h), by llama.cpp's own converter.
 *
 * Part of the one room of C++: what lies behind these plain C headers is llama.cpp's `common`. Nothing that it throws leaves
 * the room.
 */
#ifndef LLAMA_COMMON_SCHEMA_H
#define LLAMA_COMMON_SCHEMA_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The grammar of the JSON texts that are valid against `schema`, a JSON text itself. free() it. NULL: the schema is not
 * valid JSON, or says what the converter does not know; `message` (of `message_size` bytes) tells what. Any thread. */
char *schema_to_grammar(const char *schema, char *message, size_t message_size);

#ifdef __cplusplus
}
#endif

#endif
