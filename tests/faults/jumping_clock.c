/* jumping_clock.c - preloaded into a test, its hosts and its clients: the wall clock jumps by hours, forth and back, at each
 * look. The monotonic clock, which the kernel keeps for such times, is the true one. */
#include <dlfcn.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

typedef int (*clock_fn)(clockid_t, struct timespec *);

static time_t jump(void) {
    static unsigned n_looks;
    unsigned look = __atomic_fetch_add(&n_looks, 1, __ATOMIC_RELAXED);
    time_t hours = 3 + look % 5;
    return (look % 2 ? hours : -hours) * 3600;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    static clock_fn real;
    if (!real)
        real = (clock_fn)dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += jump();
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    long result = syscall(SYS_gettimeofday, now, zone);
    now->tv_sec += jump();
    return (int)result;
}

time_t time(time_t *seconds) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (seconds)
        *seconds = now.tv_sec;
    return now.tv_sec;
}
