/* failpoint.h - names for the moments between two stores to shared memory, so that tests can kill or stop a process at each.
 *
 * FAILPOINT("stream.append.bytes") stands behind the store of bytes in stream.c's append; a name is "<file>.<action>.<what
 * was stored>" and stands in one place only. scripts/failpoints.sh lists them, and finds stores without one.
 *
 * In ordinary builds a step is nothing. Builds with LIPC_FAILPOINTS (preset "failpoints") obey these variables:
 *
 *     LIPC_FAILPOINT=NAME:NTH:ACTION   the NTH time that this process, or a child, comes to the step: ACTION on itself,
 *                                 which is kill (SIGKILL), stop (SIGSTOP) or segv (SIGSEGV)
 *     LIPC_FAILPOINT_MARK=PATH         and only if that file does not exist yet: whoever acts creates it, with its pid in it
 *     LIPC_FAILPOINT_TEXT=WORD         of a FAILPOINT_TEXT: whenever its text contains the word; NTH and the mark do not count
 *     LIPC_FAILPOINT_COUNTS=PATH       a file of failpoint_count, zeroed and FAILPOINT_COUNTS long, in which all steps are counted
 */
#ifndef PLAT_FAILPOINT_H
#define PLAT_FAILPOINT_H

#include <stdint.h>

#ifdef LIPC_FAILPOINTS
#define FAILPOINT(name) plat_failpoint(name)
#define FAILPOINT_TEXT(name, text) plat_failpoint_text(name, text)
#else
#define FAILPOINT(name) ((void)0)
#define FAILPOINT_TEXT(name, text) ((void)0)
#endif

/* Any thread; async-signal-safe. Leaves errno as it is. */
void plat_failpoint(const char *name);
void plat_failpoint_text(const char *name, const char *text);

#define FAILPOINT_COUNTS 512
typedef struct failpoint_count {
    uint32_t state; /* atomic: 0 free, 1 being named, 2 named */
    uint32_t n;     /* atomic: how often processes came to the step */
    char name[56];
} failpoint_count;

#endif
