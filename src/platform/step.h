/* step.h - names for the moments between two stores to shared memory, so that tests can kill or stop a process at each.
 *
 * STEP("stream.append.bytes") stands behind the store of bytes in stream.c's append; a name is "<file>.<action>.<what
 * was stored>" and stands in one place only. scripts/steps.sh lists them, and finds stores without one.
 *
 * In ordinary builds a step is nothing. Builds with LIPC_STEPS (preset "steps") obey these variables:
 *
 *     LIPC_STEP=NAME:NTH:ACTION   the NTH time that this process, or a child, comes to the step: ACTION on itself,
 *                                 which is kill (SIGKILL), stop (SIGSTOP) or segv (SIGSEGV)
 *     LIPC_STEP_MARK=PATH         and only if that file does not exist yet: whoever acts creates it, with its pid in it
 *     LIPC_STEP_TEXT=WORD         of a STEP_TEXT: whenever its text contains the word; NTH and the mark do not count
 *     LIPC_STEP_COUNTS=PATH       a file of step_count, zeroed and STEP_COUNTS long, in which all steps are counted
 */
#ifndef PLAT_STEP_H
#define PLAT_STEP_H

#include <stdint.h>

#ifdef LIPC_STEPS
#define STEP(name) plat_step(name)
#define STEP_TEXT(name, text) plat_step_text(name, text)
#else
#define STEP(name) ((void)0)
#define STEP_TEXT(name, text) ((void)0)
#endif

/* Any thread; async-signal-safe. Leaves errno as it is. */
void plat_step(const char *name);
void plat_step_text(const char *name, const char *text);

#define STEP_COUNTS 512
typedef struct step_count {
    uint32_t state; /* atomic: 0 free, 1 being named, 2 named */
    uint32_t n;     /* atomic: how often processes came to the step */
    char name[56];
} step_count;

#endif
