/* console.c - see console.h. Lines are read as UTF-16: as bytes the console gives away what is not ASCII. */
#include "console.h"

#include "../interrupt.h"

#include <errno.h>

#define LINE_SIZE 1024     /* UTF-16 units at once */
#define END_OF_INPUT 0x1A  /* Ctrl-Z */
#define INTERRUPT_MS 1000  /* how late the notice of a Ctrl-C may come behind the end of the wait */

static struct {
    wchar_t high; /* half a character that came last */
    char bytes[3 * (LINE_SIZE + 1)];
    size_t n_bytes, n_taken;
    bool is_inside; /* the next line is the rest of one */
} state;

HANDLE console_stream(int stream) {
    return GetStdHandle(stream == 0 ? STD_INPUT_HANDLE : stream == 1 ? STD_OUTPUT_HANDLE : STD_ERROR_HANDLE);
}

/* The wait ended because of a Ctrl-C, which another thread of this process is told. */
static ptrdiff_t interrupted(void) {
    for (int ms = 0; !interrupt_is_there() && ms < INTERRUPT_MS; ms++) Sleep(1);
    errno = EINTR;
    return -1;
}

/* The next line into `bytes`. 0: there is none any more. */
static ptrdiff_t fill(void) {
    wchar_t line[LINE_SIZE + 1];
    DWORD n = 0;
    size_t n_kept = state.high != 0;
    line[0] = state.high;
    SetLastError(ERROR_SUCCESS);
    if (!ReadConsoleW(console_stream(0), line + n_kept, (DWORD)(LINE_SIZE - n_kept), &n, NULL)) {
        errno = EIO;
        return -1;
    }
    if (n == 0) return GetLastError() == ERROR_OPERATION_ABORTED || interrupt_is_there() ? interrupted() : 0;
    if (!state.is_inside && line[n_kept] == END_OF_INPUT) return 0;
    size_t n_line = n_kept + n;
    state.is_inside = line[n_line - 1] != L'\n';
    state.high = IS_HIGH_SURROGATE(line[n_line - 1]) ? line[n_line - 1] : 0;
    if (state.high) n_line--;
    state.n_taken = 0;
    state.n_bytes = n_line == 0 ? 0 : (size_t)WideCharToMultiByte(CP_UTF8, 0, line, (int)n_line, state.bytes,
                                                                  sizeof state.bytes, NULL, NULL);
    return 1;
}

ptrdiff_t console_read(char *bytes, size_t n_bytes) {
    size_t n = 0;
    while (state.n_taken == state.n_bytes) {
        ptrdiff_t result = fill();
        if (result <= 0) return result;
    }
    /* Enter gives "\r\n". */
    while (n < n_bytes && state.n_taken < state.n_bytes) {
        char byte = state.bytes[state.n_taken++];
        if (byte != '\r' || state.n_taken >= state.n_bytes || state.bytes[state.n_taken] != '\n') bytes[n++] = byte;
    }
    return (ptrdiff_t)n;
}
