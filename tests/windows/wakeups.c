/* wakeups.c - what sleeping and waking cost: a reader that never sleeps costs its writer no system call for a token; and, as a figure
 * that decides nothing, how long a wake-up takes over a bell of the segment beside one over a bare named semaphore.
 *
 *     wakeups [ROUNDS]        wakeups --echo NAME ROUNDS: the other end
 *
 * That a bell was rung without a system call shows in that its event is not there: ringing a sleeper, and sleeping, make it.
 */
#include "../modern/modern_test.h"

#include "platform/platform.h"

#define WIN32_LEAN_AND_MEAN
#undef open
#undef close
#include <windows.h>

enum { PINGS = 100, PAIRS_MOST = 1000 };

/* ---- no system call ---- */

static bool has_event(const char *instance, const segment *segment, const void *bell) {
    char name[256];
    snprintf(name, sizeof name, "Local\\%s_shared_mem.bell.%08x", instance,
             (unsigned)((const char *)bell - segment->base));
    HANDLE event = OpenEventA(SYNCHRONIZE, FALSE, name);
    if (event)
        CloseHandle(event);
    return event != NULL;
}

/* Reads to the end without ever sleeping. Returns how often it found something. */
static int read_awake(lipc_stream *stream, size_t n_expected) {
    lipc_delta delta;
    size_t n_bytes = 0;
    int n_found = 0;
    double end_ms = test_now_ms() + soon();
    do {
        int code = lipc_stream_read(stream, 0, &delta);
        CHECK_SAY(code == 0 || code == LIPC_E_TIMEOUT, "%s", lipc_error_name(code));
        n_bytes += code == 0 ? delta.n_bytes : 0;
        n_found += code == 0 && delta.n_bytes > 0;
    } while (n_bytes < n_expected && test_now_ms() < end_ms);
    CHECK_INT(n_bytes, ==, n_expected);
    return n_found;
}

static void awake(const char *instance) {
    test_host host;
    script script = script_new(2000);
    test_step("a reader that never sleeps");
    segment segment = host_ready(&host, instance, REPLAY(script, "--rate", "500"));
    lipc_client *client = client_of(instance);
    const void *bell = &record_in(&segment, 0)->bell;
    CHECK_INT(clients_in_use(&segment), ==, 1);
    CHECK_SAY(!has_event(instance, &segment, bell), "it has slept before it has asked");
    lipc_stream *stream = ask(client, "whole");
    int n_found = read_awake(stream, script.n_bytes);
    CHECK_SAY(!has_event(instance, &segment, bell), "somebody has rung a reader that never slept");
    printf("  2000 tokens, found in %d looks, and nobody was rung\n", n_found);
    lipc_stream_close(stream);

    test_step("one that sleeps");
    stream = ask(client, "whole");
    check_whole(stream, &script);
    CHECK(has_event(instance, &segment, bell));
    lipc_stream_close(stream);
    lipc_client_close(client);
    end_host(&host, &segment);
    free(script.text);
}

/* ---- how long a wake-up takes ---- */

/* Two processes wake each other, `turn` saying whose turn it is. */
typedef struct court {
    plat_doorbell bells[2];
    uint32_t turn; /* atomic */
} court;

typedef struct player {
    court *court;
    plat_semaphore *semaphores[2];
    int side;
} player;

static void play_semaphore(const player *player) {
    plat_semaphore_post(player->semaphores[!player->side]);
    CHECK(plat_semaphore_wait(player->semaphores[player->side], plat_deadline_ns(soon())) == PLAT_OK);
}

static void wait_turn(const player *player) {
    plat_doorbell *bell = &player->court->bells[player->side];
    uint64_t deadline_ns = plat_deadline_ns(soon());
    for (;;) {
        uint32_t seen = plat_doorbell_arm(bell, PLAT_BELL_ALL);
        if (NOW(player->court->turn) == (uint32_t)player->side)
            return;
        CHECK(plat_clock_ns() < deadline_ns);
        plat_doorbell_wait(bell, seen, deadline_ns);
    }
}

static void play_bell(const player *player) {
    __atomic_store_n(&player->court->turn, (uint32_t)!player->side, __ATOMIC_RELEASE);
    plat_doorbell_ring(&player->court->bells[!player->side], PLAT_BELL_ALL);
    wait_turn(player);
}

static double time_us(void (*play)(const player *), const player *player) {
    double begin_ms = test_now_ms();
    for (int i = 0; i < PINGS; i++)
        play(player);
    return (test_now_ms() - begin_ms) * 1e3 / (2 * PINGS);
}

static player player_of(const char *name, int side) {
    player player = {.side = side};
    plat_segment *segment;
    char other[80];
    bool adopted;
    int pid;
    CHECK(side == 0 ? plat_segment_own(name, 4096, &segment, &adopted, &pid) == PLAT_OK
                    : plat_segment_open(name, 4096, &segment) == PLAT_OK);
    player.court = plat_segment_base(segment);
    for (int i = 0; i < 2; i++) {
        snprintf(other, sizeof other, "%s_%d", name, i);
        CHECK_INT(plat_semaphore_own(other, 1, &player.semaphores[i]), ==, PLAT_OK);
    }
    return player;
}

/* The side that answers: each play is the other's turn backwards. */
_Noreturn static void echo(const char *name, int n_rounds) {
    player player = player_of(name, 1);
    for (int round = 0; round < n_rounds; round++) {
        for (int i = 0; i < PINGS; i++) {
            CHECK(plat_semaphore_wait(player.semaphores[1], plat_deadline_ns(soon())) == PLAT_OK);
            plat_semaphore_post(player.semaphores[0]);
        }
        for (int i = 0; i < PINGS; i++) {
            wait_turn(&player);
            __atomic_store_n(&player.court->turn, 0, __ATOMIC_RELEASE);
            plat_doorbell_ring(&player.court->bells[0], PLAT_BELL_ALL);
        }
    }
    exit(0);
}

static void asleep(const char *program, const char *instance, int n_rounds) {
    static double semaphore_us[PAIRS_MOST], bell_us[PAIRS_MOST];
    char line[4096], name[72];
    STARTUPINFOA startup = {.cb = sizeof startup};
    PROCESS_INFORMATION started;
    test_step("wake-ups");
    snprintf(name, sizeof name, "/%s", instance);
    player player = player_of(name, 0);
    snprintf(line, sizeof line, "\"%s\" --echo %s %d", program, name, n_rounds);
    CHECK(CreateProcessA(NULL, line, NULL, NULL, FALSE, 0, NULL, NULL, &startup, &started));
    for (int round = 0; round < n_rounds; round++) {
        semaphore_us[round] = time_us(play_semaphore, &player);
        bell_us[round] = time_us(play_bell, &player);
    }
    CHECK_INT(WaitForSingleObject(started.hProcess, (DWORD)soon()), ==, WAIT_OBJECT_0);
    double semaphore = quantile(semaphore_us, n_rounds, 0.5), bell = quantile(bell_us, n_rounds, 0.5);
    printf("  a wake-up, median of %d rounds: bare named semaphore %.1f us, bell %.1f us, ratio %.3f\n", n_rounds, semaphore,
           bell, bell / semaphore);
}

int main(int argc, char *argv[]) {
    char instance[64];
    if (argc == 4 && strcmp(argv[1], "--echo") == 0)
        echo(argv[2], atoi(argv[3]));
    int n_rounds = argc > 1 ? atoi(argv[1]) : 10;
    test_begin("wakeups", 120);
    CHECK(n_rounds > 0 && n_rounds <= PAIRS_MOST);
    test_instance(instance, "awake");
    awake(instance);
    test_instance(instance, "asleep");
    asleep(argv[0], instance, n_rounds);
    return test_end();
}
