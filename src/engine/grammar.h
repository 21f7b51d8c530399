/* grammar.h - looks at a grammar (GBNF) before the library does.
 *
 * The library is C++ that was written for grammars of friends: it prints what it cannot read to standard error, with the
 * whole grammar; it recurses as deep as the grammar is nested; and there are grammars with which it never ends, takes all
 * memory, or ends the process. Grammars come from clients. So each is read here first, by the library's own rules, and
 * only what the library can live with is handed on.
 */
#ifndef ENGINE_GRAMMAR_H
#define ENGINE_GRAMMAR_H

#include <stdbool.h>
#include <stddef.h>

/* Whether the grammar can be given to the library; if not, `message` says why, with the line. The library may still refuse
 * it (left recursion), but in good order. Tokens by name or number (<...>, !<...>) are refused. Pure, any thread. */
bool grammar_check(const char *grammar, char *message, size_t message_size);

#endif
