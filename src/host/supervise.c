/* supervise.c - see supervise.h. */
#include "supervise.h"

#include "log.h"

#include "../platform/platform.h"

/* What a worker that is killed before it serves is followed by: the first ones at once, the others after a pause. */
#define UNREADY_AT_ONCE 3
#define PAUSE_MS 100
/* The system may have no process to give for a moment. */
#define START_TRIES 10

_Noreturn void supervised_work(host_parts *parts) {
    host_exit code = HOST_EXIT_FAILURE;
    if (plat_segment_work(parts->instance.segment) == PLAT_OK)
        code = worker_run(parts);
    else
        log_line(LOG_LEVEL_ERROR, "another worker of this host is still alive");
    plat_worker_end(code);
}

static int start_worker(host_parts *parts) {
    parts->journal->n_workers++;
    int pid = plat_worker_start("chatbot-worker");
    for (int tries = 1; pid < 0 && tries < START_TRIES; tries++) {
        plat_pause_ms(PAUSE_MS);
        pid = plat_worker_start("chatbot-worker");
    }
    if (pid == 0) supervised_work(parts);
    return pid;
}

/* Whether a device is to blame, with a word about what follows from it. */
static bool judge_devices(journal *journal, bool is_crash) {
    bool is_known = journal->devices.has_failed;
    if (!journal_blame_devices(journal, is_crash)) return false;
    log_line(LOG_LEVEL_WARN, "%s: the next worker puts %s on devices; 'llamaipc load' or a new host tries all again",
             is_known ? "a device failed" : "workers with layers on a device died in a row",
             journal->devices.most > 0 ? "half of the layers" : "no layers");
    return true;
}

static void pause_before_next(unsigned n_unready) {
    if (n_unready > UNREADY_AT_ONCE) plat_pause_ms(PAUSE_MS);
}

host_exit supervise(host_parts *parts) {
    journal *journal = parts->journal;
    for (;;) {
        char words[128];
        int exit_code, pid = start_worker(parts);
        if (pid < 0) {
            log_line(LOG_LEVEL_ERROR, "cannot start a worker process: %s", plat_os_error());
            return HOST_EXIT_FAILURE;
        }
        int death = plat_worker_wait(pid, &exit_code);
        if (death == 0) return (host_exit)exit_code;
        if (death < 0) {
            log_line(LOG_LEVEL_ERROR, "cannot wait for the worker, process %d: %s", pid, plat_os_error());
            return HOST_EXIT_FAILURE;
        }
        bool is_truncated = instance_mend(&parts->instance, journal->generations); /* nobody's request is to blame for that */
        bool is_crash = plat_death_is_crash(death) && !is_truncated;
        plat_death_words(death, words, sizeof words);
        log_line(LOG_LEVEL_WARN, "the worker, process %d, %s", pid, words);
        journal_blame(journal, death, !judge_devices(journal, is_crash) && is_crash);
        if (journal->n_unready >= JOURNAL_UNREADY_MOST) {
            log_line(LOG_LEVEL_ERROR, "%u workers in a row were killed before they could serve: giving up",
                     journal->n_unready);
            return HOST_EXIT_FAILURE;
        }
        pause_before_next(journal->n_unready);
    }
}
