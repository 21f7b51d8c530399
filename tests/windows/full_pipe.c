/* full_pipe.c - what a host writes to its standard error, for an application that reads a pipe: a line arrives also when the reader
 * waits for more than the pipe holds, and a pipe that nobody reads holds nobody up. */
#include "../support/harness.h"

#include "platform/platform.h"

#define WIN32_LEAN_AND_MEAN
#undef open
#undef close
#include <windows.h>

#include <string.h>

enum { PIPE_SIZE = 4096, ROUNDS = 50, STREAM = 2 };

static const char line[] = "chatbot: a line\n";

typedef struct reader {
    HANDLE pipe;
    size_t n_bytes; /* atomic */
} reader;

/* Asks for as much as the pipe holds, as .NET does. */
static DWORD WINAPI read_on(void *argument) {
    reader *self = argument;
    char bytes[PIPE_SIZE];
    DWORD n;
    while (ReadFile(self->pipe, bytes, sizeof bytes, &n, NULL) && n > 0)
        __atomic_fetch_add(&self->n_bytes, n, __ATOMIC_RELEASE);
    return 0;
}

int main(void) {
    HANDLE errors = GetStdHandle(STD_ERROR_HANDLE), end;
    reader reader = {0};
    char rest[2 * PIPE_SIZE];
    DWORD n;
    size_t n_written = 0, n_line = strlen(line);
    test_begin("full_pipe", 60);
    CHECK(CreatePipe(&reader.pipe, &end, NULL, PIPE_SIZE));
    SetStdHandle(STD_ERROR_HANDLE, end);

    test_step("nobody reads");
    while (n_written < sizeof rest && plat_stream_try_write(STREAM, line, n_line))
        n_written += n_line;
    CHECK_INT(n_written, <=, PIPE_SIZE);
    CHECK_INT(n_written, >, PIPE_SIZE - n_line);
    CHECK(!plat_stream_try_write(STREAM, line, n_line));
    CHECK(ReadFile(reader.pipe, rest, sizeof rest, &n, NULL));

    test_step("a reader waits for more than there is");
    HANDLE thread = CreateThread(NULL, 0, read_on, &reader, 0, NULL);
    for (size_t i = 1; i <= ROUNDS; i++) {
        test_pause_ms(i == 1 ? 200 : 2); /* for it to wait; if it does not yet, there is room */
        CHECK(plat_stream_try_write(STREAM, line, n_line));
        CHECK(WAITED(SOON_MS, __atomic_load_n(&reader.n_bytes, __ATOMIC_ACQUIRE) == i * n_line));
    }
    SetStdHandle(STD_ERROR_HANDLE, errors);
    CloseHandle(end);
    CHECK_INT(WaitForSingleObject(thread, (DWORD)test_scaled(SOON_MS)), ==, WAIT_OBJECT_0);
    return test_end();
}
