/* idle_uses_no_cpu.c - a host that has nothing to do uses no measurable CPU: before its first request, after one, and
 * while a client that took sem_ready does nothing. */
#include "host_test.h"

enum { WATCHED_MS = 3000, ALLOWED_MS = 10, WINDOWS = 3 };

static bool is_idle(const test_host *host) {
    /* The end of what was going on: the moment the clock of the process stands nearly still. */
    double before;
    CHECK(WAITED(SOON_MS, (before = process_cpu_ms(host->pid), test_pause_ms(100), process_cpu_ms(host->pid) - before < 2)));
    CHECK(before > 0);
    test_pause_ms(WATCHED_MS);
    double used = process_cpu_ms(host->pid) - before;
    printf("  %.1f ms in %d ms\n", used, WATCHED_MS);
    return used <= ALLOWED_MS;
}

/* A host that is busy is so in each window; what the machine takes away while it looks around is counted, too, but not
 * always. */
static void check_idle(const test_host *host, const char *when) {
    bool has_been_idle = false;
    test_step("%s", when);
    for (int i = 0; i < WINDOWS && !has_been_idle; i++)
        has_been_idle = is_idle(host);
    CHECK_SAY(has_been_idle, "an idle host used more than %d ms of CPU in each of %d times %d ms", ALLOWED_MS, WINDOWS,
              WATCHED_MS);
}

int main(void) {
    test_begin("idle_uses_no_cpu", 60);
    char instance[64];
    test_host host;
    guide_client client;
    test_instance(instance, "idle");
    host_start(&host, instance, NULL);
    attach(&client, &host);
    CHECK(WAITED(SOON_MS, guide_value(client.ready) == 1));
    check_idle(&host, "before the first request");
    check_serves(&client);
    check_idle(&host, "after a request");
    CHECK(guide_take(client.ready, SOON_MS));
    check_idle(&host, "sem_ready taken by a client that does nothing");
    CHECK(guide_send(&client, NULL, "What is C++?", true, SOON_MS));
    check_idle(&host, "posts left behind by a client that died");
    CHECK(guide_send(&client, NULL, "What is C++?", true, SOON_MS));
    CHECK(WAITED(SOON_MS, guide_value(client.response_written) == 1));
    guide_close(&client);
    host_stop(&host);
    return test_end();
}
