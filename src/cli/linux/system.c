/* system.c - see ../system.h. */
#define _GNU_SOURCE
#include "../system.h"

#include "../../platform/platform.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wchar.h>

/* As plat_streams_ensure, but for standard output that was closed. */
static void begin_streams(void) {
    bool is_closed = fcntl(STDOUT_FILENO, F_GETFD) < 0;
    plat_streams_ensure();
    int nowhere = is_closed ? open("/dev/null", O_RDONLY) : -1;
    if (nowhere < 0) return;
    dup2(nowhere, STDOUT_FILENO);
    close(nowhere);
}

void system_begin(int *argc, char ***argv) {
    begin_streams();
    plat_arguments(argc, argv);
    /* For the width of characters. A machine whose locale is not set up still has UTF-8 in its terminals. */
    setlocale(LC_CTYPE, "");
    if (MB_CUR_MAX == 1) setlocale(LC_CTYPE, "C.UTF-8");
}

int system_become(const char *path, const char *const *arguments) {
    execv(path, (char *const *)(uintptr_t)arguments);
    return -1;
}

bool system_is_terminal(int stream) {
    return isatty(stream) == 1;
}

bool system_has_sequences(void) {
    const char *term = getenv("TERM");
    return term && strcmp(term, "dumb") != 0;
}

bool system_size(int stream, int *n_columns, int *n_rows) {
    struct winsize size;
    if (ioctl(stream, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0) return false;
    *n_columns = size.ws_col;
    *n_rows = size.ws_row;
    return true;
}

size_t system_character(const char *text, int *n_columns) {
    wchar_t character;
    mbstate_t state = {0};
    size_t n_bytes = mbrtowc(&character, text, MB_LEN_MAX, &state); /* does not read beyond a zero byte */
    *n_columns = 1;
    if (n_bytes == 0) return 0;
    if (n_bytes > MB_LEN_MAX) return 1; /* not of this locale */
    int width = wcwidth(character);
    *n_columns = width < 0 ? 0 : width;
    return n_bytes;
}

ptrdiff_t system_read(int descriptor, char *bytes, size_t n_bytes) {
    return read(descriptor, bytes, n_bytes);
}

ptrdiff_t system_write(int stream, const char *bytes, size_t n_bytes) {
    ssize_t n = write(stream, bytes, n_bytes);
    if (n < 0 && errno == EPIPE) { /* whoever started us ignores the signal */
        signal(SIGPIPE, SIG_DFL);
        raise(SIGPIPE);
    }
    return n;
}

/* It began so many ticks after the machine. */
double system_uptime_s(uint64_t start_time) {
    double machine_s;
    FILE *file = fopen("/proc/uptime", "re");
    if (!file) return -1;
    int n = fscanf(file, "%lf", &machine_s);
    fclose(file);
    double uptime_s = machine_s - (double)start_time / (double)sysconf(_SC_CLK_TCK);
    return n == 1 && start_time != 0 && uptime_s >= 0 ? uptime_s : -1;
}

bool system_has_unread_input(void) {
    struct stat status;
    int n_bytes = 0;
    if (fstat(STDIN_FILENO, &status) != 0 || !S_ISFIFO(status.st_mode)) return false;
    return ioctl(STDIN_FILENO, FIONREAD, &n_bytes) == 0 && n_bytes > 0;
}

static struct {
    char *bytes;
    size_t n_bytes;
} written;

FILE *system_text_open(void) {
    return open_memstream(&written.bytes, &written.n_bytes);
}

bool system_text_close(FILE *file, char **text, size_t *n_bytes) {
    bool is_whole = fclose(file) == 0;
    if (!is_whole) free(written.bytes);
    *text = is_whole ? written.bytes : NULL;
    *n_bytes = is_whole ? written.n_bytes : 0;
    return is_whole;
}

#define LARGER "make it larger (mount -o remount,size=1G /dev/shm; in a container --shm-size)"

const char *system_room_advice(bool is_full) {
    return is_full ? "free some of it (ls -lS /dev/shm), " LARGER : LARGER;
}

bool system_is_there(const char *path) {
    return access(path, F_OK) == 0;
}
