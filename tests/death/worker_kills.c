/* worker_kills.c - the worker is killed at random moments, while it starts, loads, evaluates and publishes: every answer
 * goes on, and is in the end byte for byte, token for token, the one of an undisturbed run.
 *
 * Eight clients in processes of their own each read in another way, and one of the guide. Each first makes its answers
 * while nobody disturbs the host, and keeps them; what it gets later must be the same.
 *
 * Promised: the next text at the client 100 ms after the kill where there is no model to load and nothing to evaluate.
 *
 * worker_kills [kills with a text played back] [kills with the embedded model] [seed]
 */
#include "worker_test.h"

enum { CLIENTS = 8, CLASSIC = CLIENTS, SEATS, ANSWERS_MOST = 6, STARTS_IN_A_ROW = 3 };

/* Set by the killer once the worker is dead; by the first client when it has read all that this worker had published,
 * and when it has read something newer. */
enum { NOTHING_AWAITED, NEWS_AWAITED, NEWS_ARE_NEW };

typedef struct seat {
    int n_rounds; /* that were compared with the undisturbed one */
} seat;

typedef struct board {
    const char *instance;
    const script *script; /* NULL: the embedded model */
    int n_recorded, is_disturbed, may_end;
    int awaited, stage;   /* of the first client; its stage is odd in the middle of an answer */
    uint64_t arrived_ns;
    seat seats[SEATS];
} board;

enum { N_PROBS = 3 };

typedef struct outcome {
    reading text;
    lipc_token *tokens;
    lipc_prob (*probs)[N_PROBS]; /* NULL: of the guide's */
    size_t n_tokens;
    lipc_progress progress;
} outcome;

typedef struct guest {
    board *board;
    int number;
    lipc_client *client;
    guide_client classic;
    outcome answers[ANSWERS_MOST];
    int n_answers;
} guest;

/* ---- what is asked ---- */

static const lipc_parameter n_probs[] = {{"n_probs", N_PROBS, NULL}};

static const char grammar[] = "root ::= (word \" \")+ \".\"\nword ::= [a-z] [a-z]? [a-z]?";

static lipc_request replay_request(const guest *guest, int which) {
    static char stop[64];
    static const char *const stops[] = {stop, "not in there", "nor that"};
    const script *script = guest->board->script;
    lipc_request request = request_of("what is it like?");
    switch (guest->number) {
    case 0: request.priority = 100; break;
    case 1:
        request.parameters = n_probs;
        request.n_parameters = 1;
        break;
    case 3: /* across four tokens */
        snprintf(stop, sizeof stop, "%.*s", (int)(tokens_end(script, 404) - tokens_end(script, 400)),
                 script->text + tokens_end(script, 400));
        request.stops = stops;
        request.n_stops = 3;
        break;
    case 4: /* long enough not to end while nobody owns it */
        request.detachable = request.ignore_eos = 1;
        request.n_predict = 4000;
        break;
    case 6:
    case 7: request.n_predict = (int[]){0, 1, 7, 60, 200, 500}[which]; break;
    }
    return request;
}

static lipc_request model_request(const guest *guest, int which) {
    static const char *const questions[] = {"What is C++?", "What is UTF-8?", "Explain pointers in C++"};
    static const char *const stops[] = {". ", "zzz"};
    static const lipc_parameter dry[] = {{"dry_multiplier", 1.5, NULL}, {"dry_sequence_breakers", 0, "[\". \"]"},
                                         {"xtc_probability", 0.3, NULL}};
    static const lipc_parameter mirostat[] = {{"mirostat", 2, NULL}, {"mirostat_tau", 2.5, NULL}};
    lipc_request request = request_of(questions[(guest->number + which) % 3]);
    request.n_predict = 120 + guest->number;
    request.seed = 1000 * guest->number + which;
    request.temperature = guest->number % 4 == 0 ? 0 : 0.8f;
    request.ignore_eos = guest->number % 2;
    switch (guest->number) {
    case 0: request.priority = 100; break;
    case 1:
        request.parameters = n_probs;
        request.n_parameters = 1;
        break;
    case 2:
        request.repeat_penalty = 1.3f;
        request.frequency_penalty = 0.5f;
        request.repeat_last_n = 16;
        request.parameters = dry;
        request.n_parameters = 3;
        break;
    case 3: request.stops = stops; request.n_stops = 2; request.n_predict = 300; break; /* at the end of a sentence */
    case 4: request.detachable = request.ignore_eos = 1; request.n_predict = 250; break;
    case 5: request.grammar = grammar; break;
    case 6: request.n_predict = (int[]){0, 1, 7}[which]; break;
    case 7: request.parameters = mirostat; request.n_parameters = 2; request.logprobs = which & 1; break;
    }
    return request;
}

static lipc_stream *open_stream(const guest *guest, int which) {
    lipc_request request = guest->board->script ? replay_request(guest, which) : model_request(guest, which);
    return submit(guest->client, &request);
}

/* ---- how it is read ---- */

/* The answer has ended and was read: the rest of what is to be compared. Closes the stream. */
static void keep(guest *guest, lipc_stream *stream, reading text) {
    outcome *outcome = &guest->answers[guest->n_answers++];
    outcome->text = text;
    outcome->progress = progress_of(stream);
    size_t room = (size_t)outcome->progress.n_tokens + 1;
    outcome->tokens = malloc(room * sizeof *outcome->tokens);
    CHECK(outcome->tokens != NULL);
    CHECK_LIPC(lipc_stream_tokens(stream, 0, outcome->tokens, room, &outcome->n_tokens), LIPC_E_OK);
    outcome->probs = calloc(room, sizeof *outcome->probs);
    CHECK(outcome->probs != NULL);
    for (size_t i = 0; i < room; i++) {
        size_t n_probs;
        CHECK_LIPC(lipc_stream_probs(stream, i, outcome->probs[i], N_PROBS, &n_probs), LIPC_E_OK);
        if (guest->number == 1) CHECK_INT(n_probs, ==, i >= outcome->n_tokens ? 0 : guest->board->script ? 1 : N_PROBS);
        else CHECK_INT(n_probs, ==, 0);
    }
    lipc_stream_close(stream);
}

static reading nothing_read(void) {
    return (reading){.text = calloc(1, 1), .room = 1};
}

/* Tells the killer when something new has come after the worker's death. */
static void watch_for_news(board *board, int code) {
    int awaited = NOW(board->awaited);
    if (awaited == NEWS_AWAITED && code == LIPC_E_TIMEOUT) {
        __atomic_compare_exchange_n(&board->awaited, &awaited, NEWS_ARE_NEW, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    } else if (awaited == NEWS_ARE_NEW && code == 0) {
        board->arrived_ns = now_ns();
        __atomic_compare_exchange_n(&board->awaited, &awaited, NOTHING_AWAITED, false, __ATOMIC_SEQ_CST,
                                    __ATOMIC_SEQ_CST);
    }
}

/* As a user interface does: looks again and again. */
static void by_looking(guest *guest) {
    lipc_stream *stream = open_stream(guest, 0);
    reading text = nothing_read();
    while (read_some(stream, 0, &text) || text.code == LIPC_E_TIMEOUT) {
        guest->board->stage |= text.n_bytes > 0;
        watch_for_news(guest->board, text.code);
        if (text.code == LIPC_E_TIMEOUT)
            test_breathe();
    }
    keep(guest, stream, text);
    guest->board->stage = (guest->board->stage | 1) + 1;
}

static int on_delta(void *user_data, const lipc_delta *delta) {
    reading_add(user_data, delta);
    return 0;
}

static void by_run(guest *guest) {
    lipc_stream *stream = open_stream(guest, 0);
    reading text = nothing_read();
    text.code = lipc_stream_run(stream, -1, on_delta, &text);
    keep(guest, stream, text);
}

static void by_reading(guest *guest) {
    lipc_stream *stream = open_stream(guest, 0);
    keep(guest, stream, read_to_end(stream));
}

/* Several at once, in the order in which they have something. */
static void by_waiting_for_any(guest *guest, int n_streams) {
    lipc_stream *streams[ANSWERS_MOST], *going[ANSWERS_MOST];
    int which[ANSWERS_MOST], n_going = n_streams;
    reading texts[ANSWERS_MOST];
    for (int i = 0; i < n_streams; i++) {
        streams[i] = going[i] = open_stream(guest, i);
        which[i] = i;
        texts[i] = nothing_read();
    }
    while (n_going > 0) {
        size_t at;
        CHECK_LIPC(lipc_stream_wait_any(going, (size_t)n_going, soon(), &at), LIPC_E_OK);
        reading *text = &texts[which[at]];
        if (read_some(going[at], 0, text) || text->code == LIPC_E_TIMEOUT)
            continue;
        n_going--;
        going[at] = going[n_going];
        which[at] = which[n_going];
    }
    for (int i = 0; i < n_streams; i++)
        keep(guest, streams[i], texts[i]);
}

static void by_two(guest *guest) {
    by_waiting_for_any(guest, 2);
}

static void by_three(guest *guest) {
    by_waiting_for_any(guest, 3);
}

static void by_six(guest *guest) {
    by_waiting_for_any(guest, 6);
}

/* Lets go of it in the middle, three times, and finds it again where the reading stopped. */
static void by_attaching_again(guest *guest) {
    lipc_stream *stream = open_stream(guest, 0);
    reading text = nothing_read();
    char id[LIPC_STREAM_ID_SIZE];
    CHECK_LIPC(lipc_stream_id(stream, id), LIPC_E_OK);
    for (size_t part = 1; part <= 3; part++) {
        read_until(stream, &text, 100 * part);
        lipc_stream_detach(stream);
        CHECK_LIPC(lipc_stream_attach(guest->client, id, text.n_bytes, 0, &stream), LIPC_E_OK);
    }
    while (read_some(stream, soon(), &text))
        ;
    keep(guest, stream, text);
}

/* One reads and one follows. */
static void by_following(guest *guest) {
    lipc_stream *stream = open_stream(guest, 0), *followed;
    reading text = nothing_read(), seen = nothing_read();
    char id[LIPC_STREAM_ID_SIZE];
    CHECK_LIPC(lipc_stream_id(stream, id), LIPC_E_OK);
    read_until(stream, &text, 1);
    CHECK_LIPC(lipc_stream_attach(guest->client, id, 0, 1, &followed), LIPC_E_OK);
    while (read_some(stream, soon(), &text))
        read_some(followed, 0, &seen);
    while (read_some(followed, soon(), &seen))
        ;
    keep(guest, followed, seen);
    keep(guest, stream, text);
}

/* One is cancelled in the middle; what it had is a beginning. Three more are short. */
static void by_cancelling(guest *guest) {
    const script *script = guest->board->script;
    lipc_request request = request_of("What is UTF-8?");
    request.ignore_eos = 1;
    request.n_predict = -1;
    lipc_stream *stream = submit(guest->client, &request);
    reading text = nothing_read();
    read_until(stream, &text, 60);
    lipc_stream_cancel(stream);
    while (read_some(stream, soon(), &text))
        ;
    CHECK_SAY(text.code == LIPC_E_CANCELLED, "a cancelled answer ended with %s (%s)", lipc_error_name(text.code),
              lipc_error_message());
    CHECK(!script || script_has(script, 0, text.text, text.n_bytes));
    free(text.text);
    lipc_stream_close(stream);
    by_three(guest);
}

/* A client of the guide, in both modes. */
static void by_the_guide(guest *guest) {
    static guide_update update;
    for (int stream = 0; stream < 2; stream++) {
        bool is_answered = stream ? guide_stream(&guest->classic, NULL, QUESTION_MULTIBYTE, soon(), &update)
                                  : guide_request(&guest->classic, NULL, QUESTION_MULTIBYTE, soon(), &update);
        CHECK_SAY(is_answered, "a %s client of the guide is left without a permit", stream ? "streaming" : "normal");
        outcome *outcome = &guest->answers[guest->n_answers++];
        outcome->text = nothing_read();
        reading_add(&outcome->text, &(lipc_delta){.text = update.text, .n_bytes = update.n_bytes});
        outcome->progress.n_tokens = update.tokens_generated;
        outcome->progress.end = update.complete ? LIPC_END_TURN : LIPC_END_NONE;
    }
}

static void (*const ways[SEATS])(guest *guest) = {
    by_looking,         by_run,       by_two, by_reading, by_attaching_again,
    by_following,       by_cancelling, by_six, by_the_guide,
};

/* ---- the same as undisturbed ---- */

static void compare_tokens(const guest *guest, int which, const outcome *expected, const outcome *got) {
    for (size_t i = 0; i < got->n_tokens; i++) {
        const lipc_token *wanted = &expected->tokens[i], *token = &got->tokens[i];
        CHECK_SAY(token->id == wanted->id && token->end == wanted->end,
                  "client %d, answer %d: token %zu is %d up to byte %llu, undisturbed %d up to byte %llu", guest->number,
                  which, i, token->id, (unsigned long long)token->end, wanted->id, (unsigned long long)wanted->end);
        CHECK_SAY(memcmp(&token->logprob, &wanted->logprob, sizeof token->logprob) == 0,
                  "client %d, answer %d: token %zu has the log probability %.9g, undisturbed %.9g", guest->number, which,
                  i, token->logprob, wanted->logprob);
        if (expected->probs)
            CHECK_SAY(memcmp(expected->probs[i], got->probs[i], sizeof got->probs[i]) == 0,
                      "client %d, answer %d: the likeliest at token %zu are %d (%.9g), ..., undisturbed %d (%.9g), ...", guest->number,
                      which, i, got->probs[i][0].id, got->probs[i][0].logprob, expected->probs[i][0].id, expected->probs[i][0].logprob);
    }
}

static void compare(const guest *guest, int which, const outcome *expected, const outcome *got) {
    CHECK_SAY(got->text.code == expected->text.code && got->progress.end == expected->progress.end &&
                  got->progress.error == expected->progress.error,
              "client %d, answer %d: %s, end %s, error %d after %zu bytes; undisturbed %s, end %s, error %d", guest->number,
              which, lipc_error_name(got->text.code), lipc_end_text(got->progress.end), got->progress.error,
              got->text.n_bytes, lipc_error_name(expected->text.code), lipc_end_text(expected->progress.end),
              expected->progress.error);
    CHECK_SAY(got->text.n_bytes == expected->text.n_bytes &&
                  memcmp(got->text.text, expected->text.text, got->text.n_bytes) == 0,
              "client %d, answer %d has %zu bytes, undisturbed %zu:\n%s\nundisturbed:\n%s", guest->number, which,
              got->text.n_bytes, expected->text.n_bytes, got->text.text, expected->text.text);
    CHECK_INT(got->progress.n_tokens, ==, expected->progress.n_tokens);
    CHECK_INT(got->progress.n_prompt, ==, expected->progress.n_prompt);
    CHECK_INT(got->n_tokens, ==, expected->n_tokens);
    compare_tokens(guest, which, expected, got);
}

/* What the script says, where there is one; and that everything was answered. */
static void check_undisturbed(const guest *guest) {
    const script *script = guest->board->script;
    for (int i = 0; i < guest->n_answers; i++) {
        const outcome *answer = &guest->answers[i];
        CHECK_SAY(answer->text.code == 0 && answer->progress.error == 0, "client %d, answer %d, undisturbed: %s (%s)",
                  guest->number, i, lipc_error_name(answer->text.code), lipc_error_message());
        CHECK_INT(answer->progress.end, !=, LIPC_END_NONE);
        CHECK(!script || script_has(script, 0, answer->text.text, answer->text.n_bytes));
        for (size_t k = 0; script && k < answer->n_tokens; k++)
            CHECK_INT(answer->tokens[k].id, ==, (int)k % count_tokens(script->text));
    }
    if (guest->number == 3)
        CHECK_INT(guest->answers[0].progress.end, ==, LIPC_END_STOP);
}

static void forget(outcome *outcomes, int n) {
    for (int i = 0; i < n; i++) {
        free(outcomes[i].text.text);
        free(outcomes[i].tokens);
        free(outcomes[i].probs);
    }
    memset(outcomes, 0, (size_t)n * sizeof *outcomes);
}

/* A client's life: one round for the record, then as many as there is time for. */
static void be_served(void *data, int number) {
    board *board = data;
    guest guest = {.board = board, .number = number};
    outcome expected[ANSWERS_MOST];
    if (number == CLASSIC)
        CHECK(guide_open_within(&guest.classic, board->instance, 5000));
    else
        guest.client = client_of(board->instance);
    ways[number](&guest);
    check_undisturbed(&guest);
    memcpy(expected, guest.answers, sizeof expected);
    int n_expected = guest.n_answers;
    __atomic_add_fetch(&board->n_recorded, 1, __ATOMIC_SEQ_CST);
    CHECK(WAITED(3 * SOON_MS, NOW(board->is_disturbed)));
    while (!NOW(board->may_end)) {
        guest.n_answers = 0;
        ways[number](&guest);
        CHECK_INT(guest.n_answers, ==, n_expected);
        for (int i = 0; i < n_expected; i++)
            compare(&guest, i, &expected[i], &guest.answers[i]);
        forget(guest.answers, guest.n_answers);
        board->seats[number].n_rounds++;
    }
    forget(expected, n_expected);
    if (number == CLASSIC)
        guide_close(&guest.classic);
    lipc_client_close(guest.client);
}

/* ---- the killer ---- */

typedef struct killing {
    test_host *host;
    segment *segment;
    board *board;
    double *recovery_ms; /* from each kill to the first client's next text, where that client was in an answer */
    int n_kills, n_recoveries, n_starts_in_a_row;
    double start_ms, work_ms; /* the longest pauses before a kill */
    uint64_t seed;
} killing;

/* Waits for news of the worker that runs now; without, more and more workers would die before they have done anything,
 * and the host would rightly suspect the requests. */
static void await_news(killing *killing, uint64_t killed_ns, int stage) {
    board *board = killing->board;
    CHECK_SAY(WAITED(SOON_MS, NOW(board->awaited) == NOTHING_AWAITED), "kill %d: no next token", killing->n_kills);
    if (stage % 2 == 1 && NOW(board->stage) == stage)
        killing->recovery_ms[killing->n_recoveries++] = (double)(board->arrived_ns - killed_ns) / 1e6;
}

/* One death, at a random moment: soon after the worker's start, or after it has made at least one token. */
static void kill_once(killing *killing, uint64_t *killed_ns, int *stage) {
    pid_t worker = worker_awaited(killing->host);
    bool while_it_starts = killing->n_starts_in_a_row < STARTS_IN_A_ROW && test_random(&killing->seed, 4) == 0;
    killing->n_starts_in_a_row = while_it_starts ? killing->n_starts_in_a_row + 1 : 0;
    if (!while_it_starts && *killed_ns != 0)
        await_news(killing, *killed_ns, *stage);
    /* Now and then longer: what is read back takes as long as its tokens, and everybody must get on. */
    double most_ms = while_it_starts ? killing->start_ms : killing->work_ms * (killing->n_kills % 8 ? 1 : 10);
    test_pause_ms(most_ms * test_random(&killing->seed, 1000) / 1000);
    __atomic_store_n(&killing->board->awaited, NOTHING_AWAITED, __ATOMIC_SEQ_CST);
    *stage = NOW(killing->board->stage);
    *killed_ns = now_ns();
    worker_killed(killing->host, worker, SIGKILL);
    __atomic_store_n(&killing->board->awaited, NEWS_AWAITED, __ATOMIC_SEQ_CST);
    CHECK_SAY(!host_ended(killing->host, 0), "kill %d: the host ended with %d", killing->n_kills,
              killing->host->exit_code);
    killing->n_kills++;
}

static void check_nobody_failed(pid_t seats[SEATS]) {
    for (int i = 0; i < SEATS; i++) {
        int status;
        CHECK_SAY(waitpid(seats[i], &status, WNOHANG) == 0, "client %d has ended with %x: see above", i, (unsigned)status);
    }
}

static void print_times(killing *killing) {
    int n = killing->n_recoveries;
    if (n == 0) {
        printf("  no kill was in the middle of the first client's answer\n");
        return;
    }
    double median = quantile(killing->recovery_ms, n, 0.5), p99 = quantile(killing->recovery_ms, n, 0.99);
    printf("  %d recoveries, from the kill to the next text at a client: median %.1f ms, p99 %.1f ms, most %.1f ms\n", n,
           median, p99, maximum(killing->recovery_ms, n));
}

static void check_permits(const char *instance) {
    guide_client guide;
    CHECK(guide_open(&guide, instance));
    check_idle_permits(&guide);
    guide_close(&guide);
}

static void kill_workers(const char *suffix, const script *script, const char *const *arguments, int n_kills,
                         double work_ms, uint64_t seed) {
    char instance[64];
    test_host host;
    pid_t seats[SEATS];
    test_instance(instance, suffix);
    board *board = shared_new(sizeof *board);
    *board = (struct board){.instance = instance, .script = script};
    segment segment = host_ready(&host, instance, arguments);
    killing killing = {.host = &host, .segment = &segment, .board = board, .seed = seed, .work_ms = work_ms,
                       .start_ms = 1.2 * (test_now_ms() - host.started_ms),
                       .recovery_ms = malloc((size_t)n_kills * sizeof *killing.recovery_ms)};
    CHECK(killing.recovery_ms != NULL);
    host_files files = host_files_now(&host);
    for (int i = 0; i < SEATS; i++)
        seats[i] = worker_start(be_served, board, i);
    while (!WAITED(100, NOW(board->n_recorded) == SEATS))
        check_nobody_failed(seats);
    double begin = test_now_ms();
    __atomic_store_n(&board->is_disturbed, 1, __ATOMIC_SEQ_CST);
    uint64_t killed_ns = 0;
    for (int stage = 0; killing.n_kills < n_kills;) {
        kill_once(&killing, &killed_ns, &stage);
        check_nobody_failed(seats);
    }
    await_news(&killing, killed_ns, 0);
    __atomic_store_n(&board->may_end, 1, __ATOMIC_SEQ_CST);
    double seconds = (test_now_ms() - begin) / 1e3;
    int n_rounds = 0;
    for (int i = 0; i < SEATS; i++) {
        worker_wait(seats[i]);
        CHECK_SAY(board->seats[i].n_rounds > 0, "client %d has compared nothing", i);
        n_rounds += board->seats[i].n_rounds;
    }
    CHECK_INT(NOW(hub_in(&segment)->n_recoveries), ==, n_kills);
    printf("  %d kills in %.0f s, start %.0f ms; %d rounds of answers were the same as undisturbed\n", n_kills, seconds,
           killing.start_ms / 1.2, n_rounds);
    print_times(&killing);
    check_nothing_left(&segment);
    check_permits(instance);
    host_check_files(&host, files);
    free(killing.recovery_ms);
    end_host(&host, &segment);
}

int main(int argc, char *argv[]) {
    int n_kills = argc > 1 ? atoi(argv[1]) : 150, n_model_kills = argc > 2 ? atoi(argv[2]) : 5;
    uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;
    test_begin("worker_kills", 150 + (unsigned)(n_kills / 5 + n_model_kills * 5));
    script text = script_new(4000);
    /* More requests than streams, and more streams than answers at a time. */
    test_step("%d kills with a text played back, seed %llu", n_kills, (unsigned long long)seed);
    if (n_kills > 0)
        kill_workers("replayed", &text, REPLAY(text, "--rate", "1000", "--streams", "10", "-np", "4"), n_kills, 15, seed);
    test_step("%d kills with the embedded model", n_model_kills);
    if (n_model_kills > 0)
        kill_workers("model", NULL,
                     (const char *const[]){"--log-level", "warn", "-t", "1", "--seed", "5", "-n", "60", "--streams", "10",
                                           "-np", "4", "-c", "1024", "--repeatable", NULL},
                     n_model_kills, 120, seed);
    free(text.text);
    return test_end();
}
