/* interrupt.c - see ../interrupt.h. The system calls a thread of its own making for each Ctrl-C. */
#include "../interrupt.h"

#include "../exit_codes.h"

#include "../../platform/platform.h"

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

static int is_there;         /* all of these atomic */
static lipc_client *waking;
static void (*last_words)(void);

static BOOL WINAPI on_event(DWORD event) {
    if (event != CTRL_C_EVENT && event != CTRL_BREAK_EVENT) return FALSE; /* the console closes: the program ends */
    if (__atomic_exchange_n(&is_there, 1, __ATOMIC_ACQ_REL)) {
        void (*words)(void) = __atomic_load_n(&last_words, __ATOMIC_ACQUIRE);
        if (words) words();
        plat_exit_now(CLI_EXIT_CANCELLED);
    }
    lipc_client_interrupt(__atomic_load_n(&waking, __ATOMIC_ACQUIRE));
    return TRUE;
}

void interrupt_catch(void) {
    SetConsoleCtrlHandler(on_event, TRUE);
}

void interrupt_client(lipc_client *client) {
    __atomic_store_n(&waking, client, __ATOMIC_RELEASE);
}

void interrupt_last_words(void (*words)(void)) {
    __atomic_store_n(&last_words, words, __ATOMIC_RELEASE);
}

bool interrupt_is_there(void) {
    return __atomic_load_n(&is_there, __ATOMIC_ACQUIRE) != 0;
}

bool interrupt_take(void) {
    return __atomic_exchange_n(&is_there, 0, __ATOMIC_ACQ_REL) != 0;
}
