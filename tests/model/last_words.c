/* last_words.c - an assertion of the library fails: what it says is one line of the log, also where a debugger is
 * installed that the library would have print a backtrace. */
#include "../support/harness.h"

#include "engine/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

_Noreturn void ggml_abort(const char *file, int line, const char *format, ...);

static void on_log(void *user_data, int level, const char *line) {
    if (level != 0)
        return;
    fprintf(user_data, "%s\n", line);
    fflush(user_data);
}

/* A debugger that says more than one line. */
static void install_debugger(const char *folder, const char *name) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "we");
    CHECK(file && fputs("#!/bin/sh\necho a debugger; echo a debugger >&2\n", file) >= 0 && fclose(file) == 0);
    CHECK(chmod(path, 0700) == 0);
}

int main(void) {
    char folder[] = "/tmp/lipctestXXXXXX", said[256], command[300], message[ENGINE_MESSAGE_SIZE], model[4096];
    int status;
    test_begin("last_words", 60);
    CHECK(mkdtemp(folder));
    install_debugger(folder, "gdb");
    install_debugger(folder, "lldb");
    FILE *log = tmpfile();
    CHECK(log != NULL);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        llama_engine_options options = {.model_path = test_model_path(model, "tutor.gguf"),
                                        .callbacks = {.on_log = on_log, .user_data = log}};
        setenv("PATH", folder, 1);
        dup2(fileno(log), 1);
        dup2(fileno(log), 2);
        if (llama_engine_check(&options, message, sizeof message) != ENGINE_OK) _exit(99);
        ggml_abort("somewhere.c", 1, "an assertion that failed");
    }
    CHECK_INT(waitpid(pid, &status, 0), ==, pid);
    CHECK_SAY(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "it ended with status %x", (unsigned)status);
    rewind(log);
    size_t length = fread(said, 1, sizeof said - 1, log);
    said[length] = 0;
    CHECK_SAY(strstr(said, "an assertion that failed"), "it says: %s", said);
    CHECK_SAY(count_of(said, "\n") == 1, "not one line: %s", said);
    snprintf(command, sizeof command, "rm -r %s", folder);
    CHECK_INT(system(command), ==, 0);
    return test_end();
}
