/* clock.c - monotonic time, and waiting until a moment. */
#include "internal.h"

#define NS_PER_SECOND 1000000000u
#define NS_PER_MS 1000000u
/* Deadlines nearer than this are waited for with a timer of the system's finer kind: its ordinary clock ticks every
 * 15.6 ms, and two ticks late is a fifth of this. */
#define NEAR_NS (150 * (uint64_t)NS_PER_MS)

uint64_t plat_clock_ns(void) {
    static LARGE_INTEGER frequency; /* whoever comes first writes what everybody would */
    LARGE_INTEGER now;
    if (frequency.QuadPart == 0) QueryPerformanceFrequency(&frequency);
    QueryPerformanceCounter(&now);
    uint64_t ticks = (uint64_t)now.QuadPart, per_second = (uint64_t)frequency.QuadPart;
    return ticks / per_second * NS_PER_SECOND + ticks % per_second * NS_PER_SECOND / per_second;
}

uint64_t plat_deadline_ns(int timeout_ms) {
    return timeout_ms < 0 ? PLAT_NEVER : plat_clock_ns() + (uint64_t)timeout_ms * NS_PER_MS;
}

uint64_t plat_thread_ns(void) {
    FILETIME created, ended, system, user;
    if (!GetThreadTimes(GetCurrentThread(), &created, &ended, &system, &user)) return 0;
    uint64_t system_100ns = (uint64_t)system.dwHighDateTime << 32 | system.dwLowDateTime;
    uint64_t user_100ns = (uint64_t)user.dwHighDateTime << 32 | user.dwLowDateTime;
    return (system_100ns + user_100ns) * 100;
}

void plat_pause_ms(int ms) {
    Sleep((DWORD)ms);
}

#ifndef CREATE_WAITABLE_TIMER_HIGH_RESOLUTION
#define CREATE_WAITABLE_TIMER_HIGH_RESOLUTION 2
#endif

static DWORD timer_slot = FLS_OUT_OF_INDEXES;

static void WINAPI close_timer(void *timer) {
    if (timer) CloseHandle(timer);
}

static BOOL CALLBACK make_slot(INIT_ONCE *once, void *argument, void **result) {
    (void)once, (void)argument, (void)result;
    timer_slot = FlsAlloc(close_timer);
    return TRUE;
}

/* This thread's timer; NULL if the system has none to give (before Windows 10 1803). */
static HANDLE timer_of_thread(void) {
    static INIT_ONCE once = INIT_ONCE_STATIC_INIT;
    InitOnceExecuteOnce(&once, make_slot, NULL, NULL);
    if (timer_slot == FLS_OUT_OF_INDEXES) return NULL;
    HANDLE timer = FlsGetValue(timer_slot);
    if (timer) return timer;
    timer = CreateWaitableTimerExW(NULL, NULL, CREATE_WAITABLE_TIMER_HIGH_RESOLUTION, TIMER_ALL_ACCESS);
    if (timer) FlsSetValue(timer_slot, timer);
    return timer;
}

static bool wait_finely(HANDLE object, HANDLE timer, uint64_t left_ns) {
    LARGE_INTEGER due = {.QuadPart = -(LONGLONG)(left_ns / 100 + 1)};
    HANDLE both[] = {object ? object : timer, timer};
    if (!SetWaitableTimer(timer, &due, 0, NULL, NULL, FALSE)) return false;
    DWORD result = WaitForMultipleObjects(object ? 2 : 1, both, FALSE, INFINITE);
    return object && (result == WAIT_OBJECT_0 || result == WAIT_ABANDONED_0);
}

bool plat_wait(HANDLE object, uint64_t deadline_ns) {
    uint64_t now_ns = plat_clock_ns();
    uint64_t left_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
    DWORD left_ms = INFINITE;
    if (deadline_ns != PLAT_NEVER) {
        HANDLE timer = left_ns > 0 && left_ns < NEAR_NS ? timer_of_thread() : NULL;
        if (timer) return wait_finely(object, timer, left_ns);
        uint64_t whole_ms = (left_ns + NS_PER_MS - 1) / NS_PER_MS;
        left_ms = whole_ms < INFINITE ? (DWORD)whole_ms : INFINITE - 1;
    }
    if (!object) {
        Sleep(left_ms);
        return false;
    }
    DWORD result = WaitForSingleObject(object, left_ms);
    return result == WAIT_OBJECT_0 || result == WAIT_ABANDONED_0;
}
