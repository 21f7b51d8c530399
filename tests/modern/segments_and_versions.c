/* segments_and_versions.c - a running host of another version is named, not attached to; a dead host's segment is
 * adopted if it has the same geometry or no modern channel yet, and replaced if not; what is damaged is not
 * believed. */
#include "modern_test.h"

#include "platform/platform.h"

/* A host that lives would mend it within a second, and is given two; or the client's own time, if that is less. */
static void expect_layout_within(const char *instance, int timeout_ms, const char *const *words) {
    lipc_client_options options;
    lipc_client *client;
    lipc_client_options_init(&options);
    options.name = instance;
    options.timeout_ms = timeout_ms;
    CHECK_LIPC(lipc_client_open(&options, &client), LIPC_E_LAYOUT);
    CHECK(client == NULL);
    printf("  %s\n", lipc_error_message());
    for (; *words; words++)
        CHECK_SAY(strstr(lipc_error_message(), *words), "'%s' is missing in: %s", *words, lipc_error_message());
    /* One that would start a host does not push it aside either. */
    options.start = LIPC_START_WITH_ME;
    CHECK_LIPC(lipc_client_open(&options, &client), LIPC_E_LAYOUT);
}

static void expect_layout(const char *instance, const char *const *words) {
    expect_layout_within(instance, soon(), words); /* it is told long before */
}

static void another_version(const char *instance, const script *script) {
    test_host host;
    char pid[16], ours[16];
    test_step("another version");
    segment segment = host_ready(&host, instance, REPLAY(*script, "--rate", "0"));
    lipc_hub *hub = hub_in(&segment);
    snprintf(pid, sizeof pid, "%d", (int)host.pid);
    snprintf(ours, sizeof ours, "%d.%d", LIPC_LAYOUT_MAJOR, LIPC_LAYOUT_MINOR);
    host_pause(&host); /* it would mend the hub within a second */
    hub->layout_major = LIPC_LAYOUT_MAJOR + 1;
    hub->layout_minor = 7;
    expect_layout(instance, (const char *const[]){pid, "2.7", ours, NULL});
    hub->layout_major = 0;
    expect_layout(instance, (const char *const[]){pid, "0.7", ours, NULL});
    host_resume(&host);
    /* A higher minor has only added. */
    hub->layout_major = LIPC_LAYOUT_MAJOR;
    hub->features = UINT64_MAX;
    lipc_client *client = client_of(instance);
    lipc_stream *stream = ask(client, "hello");
    check_whole(stream, script);
    lipc_stream_close(stream);
    lipc_client_close(client);
    /* A lower one lacks something: the host is not even asked. */
    hub->layout_minor = 2;
    client = client_of(instance);
    CHECK_LIPC(lipc_client_load(client, "/model.gguf", &stream), LIPC_E_REFUSED);
    CHECK(stream == NULL && strstr(lipc_error_message(), "older"));
    lipc_client_close(client);
    hub->layout_minor = LIPC_LAYOUT_MINOR;
    hub->features = 0;
    end_host(&host, &segment);
}

static void damaged(const char *instance, const script *script) {
    test_host host;
    test_step("a damaged hub");
    segment segment = host_ready(&host, instance, REPLAY(*script, "--rate", "0"));
    const lipc_hub whole = *hub_in(&segment);
    static const struct {
        size_t offset;
        uint64_t value;
        size_t n_bytes;
    } damages[] = {
        {offsetof(lipc_hub, magic), 1, 8},
        {offsetof(lipc_hub, segment_size), UINT64_MAX, 8},
        {offsetof(lipc_hub, segment_size), 4096, 8},
        {offsetof(lipc_hub, clients_offset), UINT64_MAX - 63, 8},
        {offsetof(lipc_hub, clients_offset), 45056, 8},
        {offsetof(lipc_hub, client_size), 1, 4},
        {offsetof(lipc_hub, client_size), 0x40000000, 4},
        {offsetof(lipc_hub, n_clients), 0, 4},
        {offsetof(lipc_hub, n_clients), 4000, 4},
        {offsetof(lipc_hub, streams_offset), UINT64_MAX / 2 + 1, 8},
        {offsetof(lipc_hub, stream_size), UINT64_MAX / 4 + 1, 8},
        {offsetof(lipc_hub, stream_size), 0, 8},
        {offsetof(lipc_hub, n_streams), 0, 4},
        {offsetof(lipc_hub, n_streams), UINT32_MAX, 4},
        {offsetof(lipc_hub, request_offset), 0, 4},
        {offsetof(lipc_hub, request_offset), 7777, 4},
        {offsetof(lipc_hub, log_offset), UINT32_MAX - 7, 4},
        {offsetof(lipc_hub, log_size), UINT32_MAX, 4},
        {offsetof(lipc_hub, index_offset), 0x7ffffff8, 4},
        {offsetof(lipc_hub, index_length), UINT32_MAX, 4},
    };
    host_pause(&host); /* it would mend the hub within a second */
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        memcpy((char *)hub_in(&segment) + damages[i].offset, &damages[i].value, damages[i].n_bytes);
        test_step("damage %zu at offset %zu", i, damages[i].offset);
        expect_layout_within(instance, i == 0 ? soon() : 50, (const char *const[]){NULL});
        memcpy((char *)hub_in(&segment) + damages[i].offset, (const char *)&whole + damages[i].offset,
               damages[i].n_bytes);
    }
    /* Nobody has to put it right: the host does. */
    memcpy((char *)hub_in(&segment) + damages[0].offset, &damages[0].value, damages[0].n_bytes);
    host_resume(&host);
    CHECK(WAITED(SOON_MS, memcmp((char *)hub_in(&segment) + damages[0].offset, (const char *)&whole + damages[0].offset,
                                 damages[0].n_bytes) == 0));
    lipc_client *client = client_of(instance);
    lipc_stream *stream = ask(client, "hello");
    check_whole(stream, script);
    lipc_stream_close(stream);
    lipc_client_close(client);
    end_host(&host, &segment);
}

/* A host from before the modern channel: a segment that is the classic block and nothing else, owned by a live
 * process. */
static void own_old_segment(void *data, int number) {
    (void)number;
    const char *instance = data;
    char name[128];
    bool adopted;
    int owner;
    plat_segment *owned;
    snprintf(name, sizeof name, "/%s%s", instance, LIPC_SUFFIX_SEGMENT);
    CHECK_INT(plat_segment_own(name, LIPC_CLASSIC_REGION_SIZE, &owned, &adopted, &owner), ==, 0);
    for (;;)
        pause();
}

static void an_old_host(const char *instance, const script *script) {
    test_host host;
    char pid[16];
    PART_WITH_COPIES("a host from before the modern channel");
    test_step("a host from before the modern channel");
    pid_t old = worker_start(own_old_segment, (void *)(uintptr_t)instance, 0);
    CHECK(WAITED(SOON_MS, object_exists(instance, OBJECT_SEGMENT)));
    snprintf(pid, sizeof pid, "%d", (int)old);
    expect_layout(instance, (const char *const[]){pid, NULL});
    worker_kill(old);
    ino_t before = object_inode(instance, OBJECT_SEGMENT);
    segment segment = host_ready(&host, instance, REPLAY(*script, "--rate", "0"));
    /* Old clients of the guide have the object mapped: it stays, and grows. */
    CHECK_INT(object_inode(instance, OBJECT_SEGMENT), ==, before);
    CHECK_INT(hub_in(&segment)->epoch, ==, 1);
    lipc_client *client = client_of(instance);
    lipc_stream *stream = ask(client, "hello");
    check_whole(stream, script);
    lipc_stream_close(stream);
    lipc_client_close(client);
    end_host(&host, &segment);
}

static void successors(const char *instance, const script *script) {
    test_host host;
    test_step("successors");
    segment first = host_ready(&host, instance, REPLAY(*script, "--rate", "100", "--streams", "3"));
    ino_t inode = object_inode(instance, OBJECT_SEGMENT);
    CHECK_INT(hub_in(&first)->epoch, ==, 1);
    lipc_client *client = client_of(instance);
    lipc_stream *streams[4];
    for (int i = 0; i < 4; i++)
        streams[i] = ask(client, "left behind");
    CHECK(WAITED(SOON_MS, streams_in_use(&first) == 3));
    uint64_t record = NOW(record_in(&first, 0)->claim), stream = NOW(stream_in(&first, 0)->claim);
    host_kill(&host);

    /* The same geometry: the same object. What the client left when its host died is freed under new generations. */
    segment second = host_ready(&host, instance, REPLAY(*script, "--rate", "100", "--streams", "3"));
    CHECK_INT(object_inode(instance, OBJECT_SEGMENT), ==, inode);
    CHECK_INT(hub_in(&second)->epoch, ==, 2);
    CHECK(WAITED(SOON_MS, (NOW(record_in(&second, 0)->claim) & 0xFFFFFFFF) == (record & 0xFFFFFFF0) + 16));
    CHECK(WAITED(SOON_MS, NOW(stream_in(&second, 0)->claim) == ((stream >> 32) + 1) << 32));
    lipc_delta delta;
    int code;
    while ((code = lipc_stream_read(streams[0], soon(), &delta)) == 0)
        ;
    CHECK_SAY(code == LIPC_E_HOST_GONE, "a stream of the dead host: %s", lipc_error_name(code));
    CHECK_LIPC(lipc_stream_read(streams[3], soon(), &delta), LIPC_E_HOST_GONE);
    lipc_client *next = client_of(instance);
    lipc_stream *own = ask(next, "mine");
    CHECK_LIPC(lipc_stream_read(own, soon(), &delta), LIPC_E_OK);
    /* What the old handles do has no effect on the new host's streams. */
    for (int i = 0; i < 4; i++) {
        lipc_stream_cancel(streams[i]);
        lipc_stream_close(streams[i]);
    }
    lipc_client_close(client);
    CHECK_LIPC(lipc_stream_read(own, soon(), &delta), LIPC_E_OK);
    CHECK_INT(delta.n_bytes, >, 0);
    lipc_stream_close(own);
    lipc_client_close(next);
    check_nothing_left(&second);
    host_kill(&host);

    /* Another geometry: another object. Where names cannot be taken away, it is there when the last of those who are attached has
     * let go. */
    if (!objects_are_removable) {
        segment_close(&first);
        segment_close(&second);
    }
    segment third = host_ready(&host, instance, REPLAY(*script, "--rate", "0", "--streams", "4"));
    CHECK(!objects_are_removable || object_inode(instance, OBJECT_SEGMENT) != inode);
    CHECK_INT(hub_in(&third)->epoch, ==, 1);
    CHECK_INT(hub_in(&third)->n_streams, ==, 4);
    client = client_of(instance);
    own = ask(client, "hello");
    check_whole(own, script);
    lipc_stream_close(own);
    lipc_client_close(client);
    segment_close(&first);
    segment_close(&second);
    end_host(&host, &third);
}

int main(void) {
    char instance[64];
    test_begin("segments_and_versions", 60);
    script script = script_new(1500);
    test_instance(instance, "versions");
    another_version(instance, &script);
    damaged(instance, &script);
    an_old_host(instance, &script);
    successors(instance, &script);
    free(script.text);
    return test_end();
}
