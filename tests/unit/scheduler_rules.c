/* scheduler_rules.c - src/host/scheduler.h: whose turn it is, with priorities, and fair between clients. */
#include "host/scheduler.h"
#include "../support/harness.h"

#define N_MAX 12

static answer answers[N_MAX], made[N_MAX];
static answer *waiting[N_MAX], *running[N_MAX];
static size_t n_waiting, n_running;

static void begin(void) {
    n_waiting = n_running = 0;
}

static void wait_for(uint32_t client, int32_t priority) {
    answers[n_waiting] = (answer){.client = client, .priority = priority, .arrived = n_waiting + 1};
    waiting[n_waiting] = &answers[n_waiting];
    n_waiting++;
}

/* The last of those who wait wants another model. */
static void wants_model(void) {
    answers[n_waiting - 1].load_path = "/model.gguf";
}

static void run_for(uint32_t client) {
    made[n_running] = (answer){.client = client};
    running[n_running] = &made[n_running];
    n_running++;
}

/* The order must be that of these arrivals, whatever order they are given in. */
static void check_order(const char *expected) {
    for (size_t turn = 0; turn < n_waiting; turn++) {
        answer *first = waiting[0]; /* another arrangement for each try */
        for (size_t i = 0; i + 1 < n_waiting; i++) waiting[i] = waiting[i + 1];
        waiting[n_waiting - 1] = first;
        scheduler_sort(waiting, n_waiting, running, n_running);
        char order[N_MAX + 1] = "";
        for (size_t i = 0; i < n_waiting; i++) order[i] = (char)('0' + waiting[i]->arrived);
        CHECK_TEXT(order, expected);
    }
}

int main(void) {
    test_begin("scheduler_rules", 10);

    test_step("who came first");
    begin();
    for (uint32_t client = 0; client < 4; client++) wait_for(client, 0);
    check_order("1234");

    test_step("a client with many requests goes behind the first of each other");
    begin();
    for (int i = 0; i < 4; i++) wait_for(7, 0);
    wait_for(8, 0);
    wait_for(9, 0);
    wait_for(8, 0);
    check_order("1562734");

    test_step("what a client has running counts too");
    begin();
    run_for(7);
    run_for(7);
    wait_for(7, 0);
    wait_for(8, 0);
    wait_for(8, 0);
    wait_for(8, 0);
    check_order("2314");

    test_step("priority goes before fairness");
    begin();
    run_for(7);
    wait_for(8, 0);
    wait_for(8, -5);
    wait_for(7, 3);
    wait_for(9, 0);
    check_order("3142");

    test_step("the classic channel is a client like others");
    begin();
    run_for(ANSWER_CLIENT_CLASSIC);
    wait_for(ANSWER_CLIENT_CLASSIC, 0);
    wait_for(3, 0);
    check_order("21");

    test_step("a change of the model: behind all that came before it, before all that came after");
    begin();
    run_for(7);
    wait_for(8, 0);
    wait_for(7, -100);
    wait_for(9, 100);
    wants_model();
    wait_for(8, 50);
    wait_for(7, 0);
    wait_for(7, 0);
    wants_model();
    wait_for(9, 100);
    check_order("1234567");

    test_step("... and what a dead worker had begun before all of that");
    begin();
    wait_for(7, 0);
    wait_for(8, 0);
    wants_model();
    wait_for(9, 0);
    answers[2].is_resumed = true;
    check_order("312");

    test_step("nobody waits");
    begin();
    scheduler_sort(waiting, 0, running, 0);
    return test_end();
}
