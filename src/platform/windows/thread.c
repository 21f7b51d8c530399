/* thread.c - see platform.h, "thread". */
#include "internal.h"

#include <process.h>
#include <stdlib.h>

struct plat_thread {
    HANDLE thread;
    void (*run)(void *argument);
    void *argument;
};

static unsigned __stdcall run_thread(void *thread) {
    ((plat_thread *)thread)->run(((plat_thread *)thread)->argument);
    return 0;
}

int plat_thread_start(void (*run)(void *argument), void *argument, size_t stack_bytes, plat_thread **result) {
    *result = NULL;
    plat_thread *thread = malloc(sizeof *thread);
    if (!thread) return plat_fail(PLAT_E_NO_MEMORY);
    *thread = (plat_thread){.run = run, .argument = argument};
    thread->thread = (HANDLE)_beginthreadex(NULL, (unsigned)stack_bytes, run_thread, thread,
                                            stack_bytes > 0 ? STACK_SIZE_PARAM_IS_A_RESERVATION : 0, NULL);
    if (!thread->thread) {
        free(thread);
        return plat_fail(PLAT_E_SYSTEM);
    }
    *result = thread;
    return PLAT_OK;
}

void plat_thread_give_way(void) {
    SetThreadPriority(GetCurrentThread(), THREAD_PRIORITY_LOWEST);
}

void plat_thread_join(plat_thread *thread) {
    if (!thread) return;
    WaitForSingleObject(thread->thread, INFINITE);
    CloseHandle(thread->thread);
    free(thread);
}

void plat_thread_forget(plat_thread *thread) {
    if (thread) CloseHandle(thread->thread);
    free(thread);
}
