/* classic_turns.c - whose turn it is in the classic block (word 40972, `reader`): the next client is let in when the one
 * before has read its answer, and a client that lost its turn says so instead of handing out another one's text. */
#include "modern_test.h"

#include "../support/guide_client.h"

#include <math.h>
#include <pthread.h>

enum { LOOK_MS = 100 };

static script text;
static char instance[64];
static guide_client client;
static uint32_t number = 0x01020304; /* another for each request */

static uint32_t *reader_word(void) {
    return (uint32_t *)(void *)(client.block + 40972);
}

static void set_reader(uint32_t reader) {
    __atomic_store_n(reader_word(), reader, __ATOMIC_RELEASE);
}

static int32_t guide_update_counter(void) {
    static guide_update update;
    guide_read(&client, &update);
    return update.update_counter;
}

/* As liblipc's clients ask. */
static void ask_with_number(bool stream) {
    CHECK(guide_take(client.ready, soon()));
    set_reader(++number);
    guide_write(&client, NULL, "tell", stream);
    sem_post(client.prompts_written);
}

static void check_next_is_served(bool stream) {
    static guide_update update;
    CHECK(stream ? guide_stream(&client, NULL, "tell", soon(), &update)
                 : guide_request(&client, NULL, "tell", soon(), &update));
    CHECK_SAY(update.complete, "the next client took a permit of the one before for its own");
    CHECK_TEXT(update.text, text.text);
}

static void check_waits_for_reader(void) {
    test_step("nobody is let in before the answer is read");
    for (int stream = 0; stream < 2; stream++) {
        ask_with_number(stream);
        CHECK(guide_take(client.response_written, soon()));
        CHECK_SAY(!guide_take(client.ready, LOOK_MS), "the next client is let in while an answer is being read");
        set_reader(0);
        CHECK(guide_take(client.ready, soon()));
        sem_post(client.ready);
        check_next_is_served(stream);
    }

    test_step("who has read its answer leaves its permits");
    for (int stream = 0; stream < 2; stream++) {
        ask_with_number(stream);
        CHECK(WAITED(SOON_MS, client.block[40966]));
        set_reader(0);
        check_next_is_served(!stream);
    }
}

static void check_abandoned(void) {
    test_step("a reader that does not come back: the next one is served");
    for (int stream = 0; stream < 2; stream++) {
        ask_with_number(stream);
        CHECK(guide_take(client.response_written, soon()));
        double begin = test_now_ms();
        CHECK(guide_take(client.ready, soon()));
        printf("  after %.0f ms\n", test_now_ms() - begin);
        sem_post(client.ready);
        CHECK_INT(*reader_word(), ==, number); /* it may still come, as long as nobody else has */
        check_next_is_served(stream);
        CHECK_INT(*reader_word(), ==, 0);
    }
}

static void check_guide_has_time(void) {
    enum { TRIES = 40 };
    static guide_update update;
    double longest_ms = 0;
    test_step("a client of the guide has two milliseconds to read");
    /* Where this process is woken late, it sees less of them: one try that sees them is enough. */
    for (int i = 0; i < TRIES && longest_ms < 1.5; i++) {
        CHECK(guide_send(&client, NULL, "tell", false, soon()));
        CHECK(guide_take(client.response_written, soon()));
        double begin = test_now_ms();
        CHECK(guide_take(client.ready, soon()));
        longest_ms = fmax(longest_ms, test_now_ms() - begin);
        sem_post(client.ready);
        guide_read(&client, &update);
        CHECK_TEXT(update.text, text.text);
    }
    CHECK_SAY(longest_ms >= 1.5, "the next one was let in after %.2f ms at most", longest_ms);
}

typedef struct call {
    bool stream;
    int code;
    lipc_classic_result result;
    lipc_classic *handle;
} call;

static void *make_call(void *argument) {
    call *call = argument;
    call->code = call->stream ? lipc_classic_stream(call->handle, NULL, "tell", soon(), NULL, NULL, &call->result)
                              : lipc_classic_request(call->handle, NULL, "tell", soon(), &call->result);
    return NULL;
}

static pthread_t call_start(call *call, bool stream) {
    pthread_t thread;
    *call = (struct call){.stream = stream};
    CHECK_LIPC(lipc_classic_open(instance, &call->handle), LIPC_E_OK);
    CHECK_LIPC(lipc_classic_connect(call->handle, soon()), LIPC_E_OK);
    CHECK_INT(pthread_create(&thread, NULL, make_call, call), ==, 0);
    return thread;
}

static void check_lost_turn(void) {
    test_step("liblipc: no text of another client's, and its permit is given back");
    for (int stream = 0; stream < 2; stream++) {
        call call;
        pthread_t thread = call_start(&call, stream);
        CHECK(WAITED(SOON_MS, *reader_word() != 0 && *reader_word() != number));
        CHECK(!stream || WAITED(SOON_MS, guide_update_counter() >= 3));
        set_reader(number);
        pthread_join(thread, NULL);
        CHECK_INT(call.code, ==, LIPC_E_TIMEOUT);
        CHECK(!call.result.complete && call.result.n_bytes < text.n_bytes);
        CHECK(memcmp(call.result.text, text.text, call.result.n_bytes) == 0);
        lipc_classic_close(call.handle);
        set_reader(0);
        check_next_is_served(stream);
    }
}

static void check_read_behind(void) {
    call call;
    test_step("liblipc: gives its turn back, and tells nobody else's");
    pthread_t thread = call_start(&call, false);
    pthread_join(thread, NULL);
    CHECK_INT(call.code, ==, LIPC_E_OK);
    CHECK_TEXT(call.result.text, text.text);
    CHECK_INT(*reader_word(), ==, 0);
    lipc_classic_close(call.handle);
}

/* One place for answers, and a long one in it. */
static void check_ending_host(test_host *host) {
    call call;
    test_step("a request that waits when the host is told to end says HOST_GONE");
    for (int stream = 0; stream < 2; stream++) {
        if (stream)
            host_start_with(host, instance, NULL, REPLAY(text, "--rate", "200", "--streams", "4", "-np", "1"));
        lipc_client *modern = client_of(instance);
        lipc_stream *long_one = ask_endless(modern);
        reading reading = {0};
        read_until(long_one, &reading, 1);
        pthread_t thread = call_start(&call, stream);
        CHECK(WAITED(SOON_MS, *reader_word() != 0));
        test_pause_ms(20);
        kill(host->pid, SIGTERM);
        pthread_join(thread, NULL);
        CHECK_INT(call.code, ==, LIPC_E_HOST_GONE);
        lipc_classic_close(call.handle);
        lipc_stream_close(long_one);
        lipc_client_close(modern);
        free(reading.text);
        CHECK(host_ended(host, soon()));
    }
}

int main(void) {
    test_begin("classic_turns", 120);
    test_host host;
    text = script_new(300);
    test_instance(instance, "turns");
    host_start_with(&host, instance, NULL, REPLAY(text, "--rate", "2000", "--streams", "4", "-np", "1"));
    CHECK(guide_open_within(&client, instance, soon()));
    check_waits_for_reader();
    check_abandoned();
    check_guide_has_time();
    check_read_behind();
    host_stop(&host);
    guide_close(&client);

    host_start_with(&host, instance, NULL, REPLAY(text, "--rate", "200", "--streams", "4", "-np", "1"));
    CHECK(guide_open_within(&client, instance, soon()));
    check_lost_turn();
    check_ending_host(&host);
    guide_close(&client);
    free(text.text);
    return test_end();
}
