/* foreign_claims.c - client records that somebody claims in the name of living processes that are no clients (the first
 * process of the machine, the host itself, its worker, a bystander): they are freed. Those of real clients stay. And when
 * all records are taken by real ones, the host can still be ended. */
#include "../cli/cli_test.h"
#include "faults_test.h"

static void claim(const segment *segment, uint32_t index, pid_t pid) {
    lipc_client_record *record = record_in(segment, index);
    uint64_t generation = NOW(record->claim) >> 4 & 0xFFFFFFF;
    record->start_time = 0; /* then the pid decides */
    __atomic_store_n(&record->claim, (uint64_t)pid << 32 | generation << 4 | LIPC_CLIENT_ATTACHED, __ATOMIC_SEQ_CST);
}

static void stand_by(void *nothing, int number) {
    (void)nothing, (void)number;
    execlp("sleep", "sleep", "1000", NULL); /* without anything mapped that this program has */
    _exit(99);
}

static bool can_read(const char *path) {
    char byte;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool is_read = fd >= 0 && read(fd, &byte, 1) >= 0;
    if (fd >= 0)
        close(fd);
    return is_read;
}

static bool has_become_another(pid_t pid) {
    char path[64], name[32] = "";
    snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
    FILE *file = fopen(path, "re");
    bool is_read = file && fgets(name, sizeof name, file);
    if (file)
        fclose(file);
    return is_read && strncmp(name, "sleep", 5) == 0;
}

int main(void) {
    char instance[64];
    test_host host;
    cli cli;
    test_begin("foreign_claims", 60);
    test_instance(instance, "claims");
    setenv("LIPC_NAME", instance, 1);
    script script = script_new(300);
    segment segment = host_ready(&host, instance, REPLAY(script, "--rate", "0"));
    lipc_client *client = client_of(instance);
    pid_t bystander = worker_start(stand_by, NULL, 0);
    CHECK(WAITED(SOON_MS, has_become_another(bystander)));

    test_step("in the name of others");
    /* The first process of the machine, if this user may know what it has mapped, as is otherwise not told. */
    if (can_read("/proc/1/maps"))
        claim(&segment, 1, 1);
    else
        printf("  the first process cannot be looked into here\n");
    claim(&segment, 2, host.pid);
    claim(&segment, 3, host_worker(&host));
    claim(&segment, 4, bystander);
    CHECK_SAY(WAITED(SOON_MS, clients_in_use(&segment) == 1), "%d records are in use", clients_in_use(&segment));
    lipc_stream *stream = ask(client, "hello");
    check_whole(stream, &script);
    lipc_stream_close(stream);
    worker_kill(bystander);
    lipc_client_close(client);

    test_step("all records are taken");
    lipc_client *clients[LIPC_CLIENTS_MAX];
    for (int i = 0; i < LIPC_CLIENTS_MAX; i++)
        clients[i] = client_of(instance);
    lipc_client_options options;
    lipc_client_options_init(&options);
    options.name = instance;
    CHECK_LIPC(lipc_client_open(&options, &client), LIPC_E_FULL);
    RUN(&cli, CLI_EXIT_OK, NULL, "status");
    cli_free(&cli);
    RUN(&cli, CLI_EXIT_OK, NULL, "stop");
    cli_free(&cli);
    host_expect_exit(&host, 0, SOON_MS);
    for (int i = 0; i < LIPC_CLIENTS_MAX; i++)
        lipc_client_close(clients[i]);
    segment_close(&segment);
    check_host_left_nothing(&host);
    free(script.text);
    return test_end();
}
