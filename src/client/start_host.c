/* start_host.c - see start_host.h.
 *
 * A program that has ended stays in the system's table until its parent asks for its exit code, and we keep two
 * descriptors of it. One that outlives its handle is remembered, and asked whenever a client is opened or closed.
 */
#include "start_host.h"

#include "error.h"

#include "../platform/platform.h"
#include "../text/utf8.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_SIZE 384 /* of the log: what fits into an error's sentence */
#define HOST_PROGRAM "chatbot"
#define LINE_PREFIX "chatbot: "

struct started_host {
    plat_child *child;
    bool is_with_me;
    char line[LINE_SIZE];      /* the last whole line */
    char beginning[LINE_SIZE]; /* of the next */
    size_t n_beginning;
    started_host *next;        /* among those left behind */
};

/* ---- those that outlived their handles ----------------------------------------------------------------------------- */

static pthread_mutex_t left_lock = PTHREAD_MUTEX_INITIALIZER;
static started_host *left_first;

static void release(started_host *host) {
    plat_child_close(host->child);
    free(host);
}

void started_hosts_reap(void) {
    int exit_code;
    pthread_mutex_lock(&left_lock);
    for (started_host **at = &left_first; *at;) {
        started_host *host = *at;
        if (!plat_child_ended(host->child, &exit_code)) {
            at = &host->next;
            continue;
        }
        *at = host->next;
        release(host);
    }
    pthread_mutex_unlock(&left_lock);
}

void started_host_close(started_host *host) {
    int exit_code;
    if (!host) return;
    if (plat_child_ended(host->child, &exit_code)) {
        release(host);
    } else {
        pthread_mutex_lock(&left_lock);
        host->next = left_first;
        left_first = host;
        pthread_mutex_unlock(&left_lock);
    }
}

/* ---- starting ------------------------------------------------------------------------------------------------------ */

static size_t count(const char *const *arguments) {
    size_t n = 0;
    while (arguments && arguments[n]) n++;
    return n;
}

static int start(started_host *host, const char *path, const char *const *arguments) {
    int error = plat_child_start(path, arguments, PLAT_CHILD_UNHEARD, &host->child);
    if (error == PLAT_OK) return LIPC_E_OK;
    if (error == PLAT_E_NO_MEMORY) return lipc_fail(LIPC_E_NO_MEMORY, "not enough memory to start %s", path);
    return lipc_fail(error == PLAT_E_NOT_FOUND ? LIPC_E_NO_HOST : LIPC_E_SYSTEM, "cannot start the host program %s: %s",
                     path, plat_os_error());
}

int started_host_open(const lipc_client_options *options, const char *name, started_host **result) {
    char found[4096];
    const char *path = options->host_path;
    size_t n_further = count(options->host_arguments), n = 0;
    *result = NULL;
    if (!path) {
        if (plat_program_find(HOST_PROGRAM, found, sizeof found) < 0)
            return lipc_fail(LIPC_E_NO_HOST, "no host runs as '%s', and there is no program " HOST_PROGRAM " beside "
                             "this one or on the PATH: set host_path", name);
        path = found;
    }
    started_host *host = calloc(1, sizeof *host);
    const char **arguments = calloc(n_further + 5, sizeof *arguments);
    int error = LIPC_E_NO_MEMORY;
    if (host && arguments) {
        host->is_with_me = options->start == LIPC_START_WITH_ME;
        arguments[n++] = path;
        for (size_t i = 0; i < n_further; i++) arguments[n++] = options->host_arguments[i];
        /* Last, so that the further arguments cannot lead away from the name that is waited for. */
        arguments[n++] = "--name";
        arguments[n++] = name;
        if (host->is_with_me) arguments[n++] = "--exit-with-parent";
        error = start(host, path, arguments);
    } else {
        lipc_fail(error, "not enough memory to start %s", path);
    }
    free(arguments);
    if (error < 0)
        free(host);
    else
        *result = host;
    return error;
}

int started_host_pid(const started_host *host) {
    return plat_child_pid(host->child);
}

bool started_host_is_with_me(const started_host *host) {
    return host->is_with_me;
}

void started_host_stop(started_host *host) {
    plat_child_stop(host->child);
}

/* ---- listening ----------------------------------------------------------------------------------------------------- */

static void take_byte(started_host *host, char byte) {
    if (byte != '\n') {
        if (host->n_beginning < LINE_SIZE - 1) host->beginning[host->n_beginning++] = byte;
        return;
    }
    if (host->n_beginning > 0) {
        size_t n_bytes = utf8_repair(host->beginning, host->n_beginning, host->line, LINE_SIZE - 1);
        host->line[n_bytes] = 0;
    }
    host->n_beginning = 0;
}

void started_host_listen(started_host *host) {
    char bytes[1024];
    size_t n_bytes;
    while ((n_bytes = plat_child_read(host->child, bytes, sizeof bytes)) > 0)
        for (size_t i = 0; i < n_bytes; i++) take_byte(host, bytes[i]);
}

bool started_host_has_ended(started_host *host, int *exit_code) {
    return plat_child_ended(host->child, exit_code);
}

const char *started_host_last_line(started_host *host) {
    started_host_listen(host);
    take_byte(host, '\n'); /* what it was killed in the middle of is a line, too */
    size_t n_prefix = strlen(LINE_PREFIX);
    return strncmp(host->line, LINE_PREFIX, n_prefix) == 0 ? host->line + n_prefix : host->line;
}
