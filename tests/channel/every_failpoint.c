/* every_failpoint.c - between any two instructions of one party another does its whole part: a process is led through one
 * call of src/channel or of the doorbell in single steps, halted after each of them in turn, and what it has in shared
 * memory is changed as others change it. Whatever it then returns must be right.
 *
 * What depends on the order in which a machine makes stores visible is not seen by this: here they all are at once.
 *
 * Exit code 77 where processes may not be traced, and under sanitizers, whose own steps are too many. */
#include "../support/harness.h"

#include "channel/classic_block.h"
#include "channel/hub.h"
#include "channel/reservation.h"
#include "channel/stream.h"
#include "lipc/lipc.h"
#include "platform/platform.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ARMING = 7, MOST_HALTS = 200, MOST_STEPS = 100000, OLD_HOST = 1001, NEW_HOST = 2002 };

static hub_view view;

/* What both processes see besides the segment. */
static struct shared {
    volatile int scenario; /* -1: end */
    volatile bool is_inside;
    plat_doorbell bell;
    lipc_classic_block block;
    stream_writer writer;
    classic_writer classic;
    /* What the one that is halted got, and what the intruder got. */
    hub_check check;
    hub_identity identity;
    bool got, other_got;
    uint32_t index, other_index, seen, other_seen;
    uint64_t claim, other_claim, reservation;
    stream_snapshot snapshot;
    char text[64];
} *shared;

/* ---- a hub is read while its host changes ---- */

static void begin_old_host(void) {
    hub_clear(&view);
    hub_begin(&view, OLD_HOST, 1, "1");
}

static void read_hub(void) {
    hub_view seen;
    shared->check = hub_read(view.base, view.at.segment_size, &seen, &shared->identity);
}

static void succeed(void) {
    hub_begin(&view, NEW_HOST, 2, "2");
}

static void begin_to_succeed(void) {
    __atomic_store_n(&hub_of(&view)->magic, 0, __ATOMIC_SEQ_CST);
    hub_of(&view)->host_pid = NEW_HOST;
}

static void check_identity(void) {
    const hub_identity *seen = &shared->identity;
    if (shared->check == HUB_NOT_YET) return;
    CHECK_INT(shared->check, ==, HUB_OK);
    bool is_old = seen->host_pid == OLD_HOST && seen->host_start_time == 1 && seen->epoch == 1;
    bool is_new = seen->host_pid == NEW_HOST && seen->host_start_time == 2 && seen->epoch == 2;
    CHECK_SAY(is_old || is_new, "half of each: process %d, started %llu, epoch %u", seen->host_pid,
              (unsigned long long)seen->host_start_time, seen->epoch);
}

/* ---- two want the same ---- */

static void attach(void) {
    shared->got = hub_client_attach(&view, 100, 5, &shared->index, &shared->claim);
}

static void attach_other(void) {
    shared->other_got = hub_client_attach(&view, 200, 6, &shared->other_index, &shared->other_claim);
}

static void check_records(void) {
    const lipc_client_record *mine = hub_client(&view, shared->index), *others = hub_client(&view, shared->other_index);
    CHECK(shared->got && shared->other_got && shared->index != shared->other_index);
    CHECK(mine->claim == shared->claim && mine->start_time == 5);
    CHECK(others->claim == shared->other_claim && others->start_time == 6);
}

/* A host that finds a record without a living holder frees it. */
static void free_first_record(void) {
    uint64_t claim = hub_client(&view, 0)->claim;
    if (client_claim_phase(claim) != LIPC_CLIENT_FREE) hub_client_free(&view, 0, claim);
}

/* The record that was being taken is whole, or it is nobody's and another was taken. */
static void check_record_or_none(void) {
    CHECK(shared->got);
    const lipc_client_record *mine = hub_client(&view, shared->index);
    uint32_t next = client_claim_generation(shared->claim) + 1;
    CHECK(mine->claim == shared->claim || mine->claim == client_claim(LIPC_CLIENT_FREE, next, 0));
    for (uint32_t i = 0; i < view.at.n_clients; i++)
        CHECK(client_claim_phase(hub_client(&view, i)->claim) != LIPC_CLIENT_ATTACHING);
}

static void claim_stream(void) {
    shared->got = stream_claim_free(&view, 1, &shared->index, &shared->claim);
}

static void claim_other_stream(void) {
    shared->other_got = stream_claim_free(&view, 2, &shared->other_index, &shared->other_claim);
}

static void check_streams(void) {
    CHECK(shared->got && shared->other_got && shared->index != shared->other_index);
    CHECK(hub_stream(&view, shared->index)->claim == shared->claim && stream_claim_owner(shared->claim) == 1);
    CHECK(hub_stream(&view, shared->other_index)->claim == shared->other_claim);
}

/* ---- reservations ---- */

static void begin_reservation(void) {
    begin_old_host();
    attach();
    reservation_request(&view, 0);
    shared->reservation = hub_client(&view, 0)->reservation;
}

static void withdraw(void) {
    shared->got = reservation_withdraw(&view, 0, &shared->index, &shared->claim);
}

static void grant(void) {
    CHECK(stream_offer_free(&view, 0, &shared->other_index, &shared->other_claim));
    shared->other_got = reservation_grant(&view, 0, shared->reservation, shared->other_index);
}

static void check_grant(void) {
    CHECK_SAY(shared->got == shared->other_got, "granted %d, taken %d", shared->other_got, shared->got);
    uint64_t claim = stream_claim_now(hub_stream(&view, shared->other_index));
    CHECK_INT(stream_claim_phase(claim), ==, shared->got ? LIPC_CLAIM_CLAIMED : LIPC_CLAIM_OFFERED);
    if (shared->got) CHECK(shared->index == shared->other_index && shared->claim == claim);
    CHECK_INT(hub_client(&view, 0)->reservation, ==, LIPC_RESERVATION_NONE);
}

/* An offer is taken while the host takes it back. */
static void begin_offer(void) {
    begin_reservation();
    grant();
}

static void take_back(void) {
    uint64_t next = stream_claim(LIPC_CLAIM_FREE, 0, stream_claim_generation(shared->other_claim) + 1);
    shared->other_got = stream_change_claim(hub_stream(&view, shared->other_index), shared->other_claim, next);
}

static void check_offer(void) {
    CHECK(shared->got);
    CHECK_SAY((shared->claim != 0) != shared->other_got, "taken %d, taken back %d", shared->claim != 0,
              shared->other_got);
}

/* ---- the doorbell ---- */

static void begin_bell(void) {
    shared->bell = (plat_doorbell){.rings = 7};
}

static void arm(void) {
    shared->seen = plat_doorbell_arm(&shared->bell, PLAT_BELL_ENDS);
}

static void arm_other(void) {
    shared->other_seen = plat_doorbell_arm(&shared->bell, PLAT_BELL_NEWS);
}

static void ring_and_arm_other(void) {
    plat_doorbell_arm(&shared->bell, PLAT_BELL_ALL);
    plat_doorbell_ring(&shared->bell, PLAT_BELL_ALL);
    arm_other();
}

/* Whoever has seen the newest ring is in `armed`. */
static void check_armed(void) {
    uint32_t wanted = shared->bell.armed & PLAT_BELL_ALL;
    CHECK_INT(shared->bell.armed >> 2, ==, shared->bell.rings);
    CHECK_INT(shared->other_seen, ==, shared->bell.rings);
    CHECK(wanted & PLAT_BELL_NEWS);
    if (shared->seen == shared->bell.rings) CHECK(wanted & PLAT_BELL_ENDS);
}

static void begin_armed_bell(void) {
    begin_bell();
    arm();
}

static void ring(void) {
    plat_doorbell_ring(&shared->bell, PLAT_BELL_ALL);
}

static void check_still_armed(void) {
    CHECK(shared->bell.rings != shared->seen);
    if (shared->other_seen == shared->bell.rings)
        CHECK_INT(shared->bell.armed, ==, shared->bell.rings << 2 | PLAT_BELL_NEWS);
}

/* ---- answers ---- */

static bool append(const char *text) {
    const stream_token token = {.id = (int32_t)strlen(text)};
    return stream_writer_append(&shared->writer, text, strlen(text), &token, 9000) == STREAM_FITS;
}

static void begin_answer(void) {
    begin_old_host();
    hub_stream(&view, 0)->claim = stream_claim(LIPC_CLAIM_SUBMITTED, 0, 8);
    stream_writer_begin(&shared->writer, &view, 0, 8, 1000);
    stream_writer_start(&shared->writer, 1, 0, 2000);
    CHECK(append("Grü"));
}

static void read_answer(void) {
    stream_reader reader;
    stream_reader_begin(&reader, &view, 0, 8);
    stream_read_snapshot(&reader, &shared->snapshot);
    memset(shared->text, 0, sizeof shared->text);
    memcpy(shared->text, reader.log, shared->snapshot.n_bytes < 60 ? shared->snapshot.n_bytes : 60);
    shared->got = stream_is_current(&reader);
}

static void append_and_end(void) {
    CHECK(append("ße"));
    stream_writer_end(&shared->writer, LIPC_END_TURN, 0, "", 10000);
}

static void append_more(void) {
    shared->other_got = append("ße→");
}

/* What was read is a beginning of the answer, and all of it if it says that it has ended. */
static void check_snapshot(void) {
    const stream_snapshot *snapshot = &shared->snapshot;
    CHECK(shared->got);
    CHECK_SAY(strcmp(shared->text, "Grü") == 0 || strcmp(shared->text, "Grüße") == 0, "'%s'", shared->text);
    CHECK_INT(snapshot->n_tokens, ==, snapshot->n_bytes == 4 ? 1 : 2);
    if (snapshot->state == LIPC_STREAM_ENDED) CHECK_TEXT(shared->text, "Grüße");
}

static void check_beginning(void) {
    const lipc_token_record *records = stream_index(&view, 0);
    CHECK_SAY(strcmp(shared->text, "Grü") == 0 || strcmp(shared->text, "Grüße→") == 0, "'%s'", shared->text);
    CHECK_INT(shared->snapshot.n_tokens, ==, shared->snapshot.n_bytes == 4 ? 1 : 2);
    CHECK_INT(records[shared->snapshot.n_tokens - 1].end, ==, shared->snapshot.n_bytes);
}

static void answer_another(void) {
    hub_stream(&view, 0)->claim = stream_claim(LIPC_CLAIM_SUBMITTED, 0, 9);
    stream_writer_begin(&shared->writer, &view, 0, 9, 1000);
    stream_writer_start(&shared->writer, 1, 0, 2000);
    CHECK(append("another"));
}

static void check_own_text(void) {
    if (!shared->got) return;
    CHECK_TEXT(shared->text, "Grü");
    CHECK(shared->snapshot.state == LIPC_STREAM_GENERATING && shared->snapshot.n_tokens == 1);
}

/* ---- the classic block ---- */

static void begin_classic(void) {
    memset(&shared->block, 0, sizeof shared->block);
    classic_writer_begin(&shared->classic, &shared->block);
    classic_writer_prepare(&shared->classic, "Grü", 4);
    classic_writer_show(&shared->classic, 1);
}

static void append_classic(void) {
    classic_writer_prepare(&shared->classic, "ße→", 6);
    classic_writer_show(&shared->classic, 2);
    classic_writer_complete(&shared->classic, 2);
}

static void read_classic(void) {
    static char text[LIPC_RESPONSE_SIZE];
    shared->got = classic_block_is_complete(&shared->block);
    memset(shared->text, 0, sizeof shared->text);
    memcpy(shared->text, text, classic_block_read_text(&shared->block, text, 0));
}

static void check_classic(void) {
    CHECK_SAY(strcmp(shared->text, "Grü") == 0 || strcmp(shared->text, "Grüße→") == 0, "'%s'", shared->text);
    if (shared->got) CHECK_TEXT(shared->text, "Grüße→");
}

/* A token that ends a thought and begins the text behind it. */
static bool append_thought_and_text(void) {
    const part_delta thought = {LIPC_PART_THOUGHT, true, 4, NULL, NULL, "Hm", 2};
    const stream_token token = {.id = 7};
    return stream_writer_append_all(&shared->writer, "ße→", 6, &thought, 1, &token, 9000) == STREAM_FITS;
}

static void append_all(void) {
    shared->other_got = append_thought_and_text();
}

static void append_all_and_end(void) {
    CHECK(append_thought_and_text());
    stream_writer_end(&shared->writer, LIPC_END_TURN, 0, "", 10000);
}

/* Text that is in order has the parts before it. */
static void check_order(void) {
    const stream_snapshot *snapshot = &shared->snapshot;
    CHECK(shared->got);
    CHECK(snapshot->n_ordered_bytes == 4 || snapshot->n_ordered_bytes == 10);
    if (snapshot->n_ordered_bytes == 10) CHECK(snapshot->n_parts == 1 && snapshot->n_part_bytes == 2);
    if (snapshot->n_parts == 0) CHECK_INT(snapshot->n_part_bytes, ==, 0);
    if (snapshot->n_parts > 0) CHECK(parts_index(&view, 0)->position == 8 && memcmp(parts_log(&view, 0), "Hm", 2) == 0);
    if (snapshot->state == LIPC_STREAM_ENDED) CHECK_INT(snapshot->n_ordered_bytes, ==, 10);
}

static const struct scenario {
    const char *what;
    void (*set_up)(void);
    void (*act)(void);     /* in the process that is halted */
    void (*intrude)(void); /* while it is */
    void (*check)(void);
} scenarios[] = {
    {"a hub is read, its host has a successor", begin_old_host, read_hub, succeed, check_identity},
    {"a hub is read, a successor has just begun", begin_old_host, read_hub, begin_to_succeed, check_identity},
    {"two clients attach", begin_old_host, attach, attach_other, check_records},
    {"a client attaches, its record is freed", begin_old_host, attach, free_first_record, check_record_or_none},
    {"two claim a stream", begin_old_host, claim_stream, claim_other_stream, check_streams},
    {"a reservation is withdrawn and granted", begin_reservation, withdraw, grant, check_grant},
    {"an offer is taken and taken back", begin_offer, withdraw, take_back, check_offer},
    [ARMING] = {"two arm", begin_bell, arm, arm_other, check_armed},
    {"one arms, the bell rings, another arms", begin_bell, arm, ring_and_arm_other, check_armed},
    {"the bell rings, and somebody arms again", begin_armed_bell, ring, arm_other, check_still_armed},
    {"an answer is read, goes on and ends", begin_answer, read_answer, append_and_end, check_snapshot},
    {"an answer goes on and is read", begin_answer, append_more, read_answer, check_beginning},
    {"an answer is read, its stream is used again", begin_answer, read_answer, answer_another, check_own_text},
    {"thoughts and text are read, and go on", begin_answer, read_answer, append_all_and_end, check_order},
    {"thoughts and text go on and are read", begin_answer, append_all, read_answer, check_order},
    {"a classic answer goes on and is read", begin_classic, append_classic, read_classic, check_classic},
    {"a classic answer is read and goes on", begin_classic, read_classic, append_classic, check_classic},
};

/* ---- halting ---- */

static pid_t halted;

/* The process that is halted: stops itself before each call. */
static void be_halted(void) {
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) _exit(77);
    for (;;) {
        raise(SIGSTOP);
        if (shared->scenario < 0) _exit(0);
        shared->is_inside = true;
        scenarios[shared->scenario].act();
        shared->is_inside = false;
    }
}

/* Waits until it has stopped; what it stopped for must be what is expected. */
static void wait_for_stop(int signal_number) {
    int status;
    CHECK(waitpid(halted, &status, 0) == halted);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) test_skip("processes may not be traced here");
    CHECK_SAY(WIFSTOPPED(status) && WSTOPSIG(status) == signal_number, "the traced process: status 0x%x", status);
}

static void step(void) {
    CHECK(ptrace(PTRACE_SINGLESTEP, halted, NULL, NULL) == 0);
    wait_for_stop(SIGTRAP);
}

/* One call, halted after so many steps. Returns false if it had returned before. */
static bool halt_after(const struct scenario *it, unsigned n_steps) {
    it->set_up();
    while (!shared->is_inside) step();
    for (unsigned i = 0; i < n_steps && shared->is_inside; i++) step();
    bool is_halted = shared->is_inside;
    it->intrude();
    CHECK(ptrace(PTRACE_CONT, halted, NULL, NULL) == 0);
    wait_for_stop(SIGSTOP);
    it->check();
    return is_halted;
}

static unsigned count_failpoints(const struct scenario *it) {
    unsigned n_steps = 0;
    it->set_up();
    while (!shared->is_inside) step();
    for (; shared->is_inside; n_steps++) {
        if (n_steps > MOST_STEPS) test_skip("more than %d steps: a machine that cannot be stepped", MOST_STEPS);
        step();
    }
    CHECK(ptrace(PTRACE_CONT, halted, NULL, NULL) == 0);
    wait_for_stop(SIGSTOP);
    return n_steps;
}

/* Somebody scribbles over the bell after every single instruction: arming ends, and its caller does not sleep. */
static void check_scribbled_bell(void) {
    shared->scenario = ARMING;
    begin_bell();
    while (!shared->is_inside) step();
    for (unsigned i = 0; shared->is_inside; i++) {
        CHECK_SAY(i < MOST_STEPS, "still arming after %u steps", i);
        step();
        shared->bell.armed += 4;
    }
    CHECK(ptrace(PTRACE_CONT, halted, NULL, NULL) == 0);
    wait_for_stop(SIGSTOP);
    test_step("a bell that is scribbled over all the time");
    CHECK(plat_doorbell_has_rung(&shared->bell, shared->seen));
}

static void check_scenario(int number) {
    const struct scenario *it = &scenarios[number];
    shared->scenario = number;
    count_failpoints(it); /* the first call also looks up what it calls */
    unsigned n_steps = count_failpoints(it), stride = n_steps / MOST_HALTS + 1, n_halts = 0;
    for (unsigned i = 0; i < n_steps; i += stride) n_halts += halt_after(it, i);
    test_step("%s: halted at %u of %u steps", it->what, n_halts, n_steps);
    CHECK_INT(n_halts, >, 5);
}

int main(void) {
    test_begin("every_failpoint", 90);
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
    test_skip("a sanitizer adds too many steps");
#endif
    hub_plan(&view.at, 2, 4096, 4096);
    view.base = mmap(NULL, view.at.segment_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(view.base != MAP_FAILED && shared != MAP_FAILED);
    halted = fork();
    CHECK(halted >= 0);
    if (halted == 0) be_halted();
    wait_for_stop(SIGSTOP);
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++) check_scenario((int)i);
    check_scribbled_bell();
    shared->scenario = -1;
    CHECK(ptrace(PTRACE_CONT, halted, NULL, NULL) == 0);
    CHECK(waitpid(halted, NULL, 0) == halted);
    return test_end();
}
