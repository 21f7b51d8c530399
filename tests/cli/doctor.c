/* doctor.c - llamaipc doctor: each fault that it names is made here, named, fixed (by --fix, or as it advises) and gone;
 * what belongs to a live host, to a waiting client or to the next host stays, whatever is asked. All in a /dev/shm of this
 * test's own: --fix looks at everything there. */
#include "cli_test.h"
#include "../death/worker_test.h"

#include <semaphore.h>
#include <sys/mount.h>

enum { NOBODY = 65534 };

static char instance[64];
static script story;

#define SMALL "--streams", "2", "--request-size", "16K", "--response-size", "64K"

/* ---- what it says ---- */

static json_t *run_doctor(int code, const char *const *more) {
    const char *words[16] = {"doctor", "--json"};
    cli cli;
    for (int i = 0; more[i]; i++)
        words[i + 2] = more[i];
    cli_run_words(&cli, code, NULL, words);
    json_t *said = json_loads(cli.out, 0, NULL);
    CHECK_SAY(said != NULL, "no JSON: %s", cli.out);
    cli_free(&cli);
    return said;
}
#define DOCTOR(code, ...) run_doctor((code), (const char *const[]){__VA_ARGS__, NULL})

static const json_t *finding_of(const json_t *said, const char *fault) {
    size_t i;
    const json_t *finding;
    json_array_foreach(json_object_get(said, "findings"), i, finding) {
        const char *name = json_string_value(json_object_get(finding, "fault"));
        if (name && strcmp(name, fault) == 0)
            return finding;
    }
    return NULL;
}

/* It names these faults (up to NULL) and no others, each in this state, and says what to do. */
static void check_faults(json_t *said, const char *state, const char *const *faults) {
    size_t i, n = 0, n_expected = 0;
    const json_t *finding;
    char *text = json_dumps(said, JSON_INDENT(1));
    json_array_foreach(json_object_get(said, "findings"), i, finding) n += json_is_string(json_object_get(finding, "fault"));
    for (; faults[n_expected]; n_expected++) {
        finding = finding_of(said, faults[n_expected]);
        CHECK_SAY(finding != NULL, "it does not name %s: %s", faults[n_expected], text);
        CHECK_TEXT(json_string_value(json_object_get(finding, "state")), state);
        CHECK_SAY(json_is_string(json_object_get(finding, "advice")), "no advice: %s", text);
    }
    CHECK_SAY(n == n_expected, "%zu faults named, %zu expected: %s", n, n_expected, text);
    free(text);
    json_decref(said);
}
#define FAULTS(said, state, ...) check_faults((said), (state), (const char *const[]){__VA_ARGS__, NULL})

/* Nothing is wrong, also not with --fix. */
static void check_well(void) {
    FAULTS(DOCTOR(CLI_EXIT_OK, NULL), "", NULL);
}

/* Named; named as fixed; gone, and with it all of the instance's objects. */
#define MENDS(...)                                                                                                     \
    do {                                                                                                               \
        FAULTS(DOCTOR(CLI_EXIT_WRONG, NULL), "wrong", __VA_ARGS__);                                                    \
        FAULTS(DOCTOR(CLI_EXIT_OK, "--fix"), "fixed", __VA_ARGS__);                                                   \
        check_well();                                                                                                  \
        CHECK_INT(objects_count(instance), ==, 0);                                                                     \
    } while (0)

/* Named, and left alone also with --fix. */
#define LEAVES(...)                                                                                                    \
    do {                                                                                                               \
        int n_objects_ = objects_count(instance);                                                                      \
        ino_t inode_ = object_inode(instance, OBJECT_SEGMENT);                                                         \
        FAULTS(DOCTOR(CLI_EXIT_WRONG, NULL), "wrong", __VA_ARGS__);                                                    \
        FAULTS(DOCTOR(CLI_EXIT_WRONG, "--fix"), "wrong", __VA_ARGS__);                                                 \
        CHECK_INT(objects_count(instance), ==, n_objects_);                                                            \
        CHECK_INT(object_inode(instance, OBJECT_SEGMENT), ==, inode_);                                                 \
    } while (0)

/* ---- what is there ---- */

static void check_answers(void) {
    lipc_client *client = client_of(instance);
    lipc_stream *stream = ask(client, "hello");
    check_whole(stream, &story);
    lipc_stream_close(stream);
    lipc_client_close(client);
}

static void bury(test_host *host) {
    host_kill(host);
    close(host->out_fd);
    close(host->err_fd);
}

/* What a killed host leaves; mapped. */
static segment leave_objects(void) {
    test_host host;
    segment segment = host_ready(&host, instance, REPLAY(story, "--rate", "0", SMALL));
    bury(&host);
    CHECK_INT(objects_count(instance), ==, N_OBJECTS);
    return segment;
}

static void attach_and_wait(void *data, int number) {
    (void)data, (void)number;
    client_of(instance);
    raise(SIGSTOP);
}

/* The host has noticed who came and who went. */
static void wait_for_clients(const segment *segment, uint32_t n) {
    CHECK(WAITED(SOON_MS, NOW(hub_in(segment)->n_attached) == n));
}

/* ---- the program and the model ---- */

static void make_file(const char *path, const void *content, size_t n_bytes, mode_t mode) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    CHECK_SAY(fd >= 0, "%s: %s", path, strerror(errno));
    CHECK_INT(write(fd, content, n_bytes), ==, n_bytes);
    close(fd);
}

static void models(void) {
    char path[4096], cut[] = "/dev/shm/cut.gguf";
    test_step("a model that is missing, one that is damaged");
    FAULTS(DOCTOR(CLI_EXIT_WRONG, "-m", "/no/such/model.gguf"), "wrong", "model-missing");
    setenv("LLAMA_ARG_MODEL", "/no/such/model.gguf", 1);
    FAULTS(DOCTOR(CLI_EXIT_WRONG, NULL), "wrong", "model-missing");
    setenv("LLAMA_ARG_MODEL", cut, 1);
    int fd = open(test_model_path(path, "tutor.gguf"), O_RDONLY | O_CLOEXEC);
    static char model[1000000];
    CHECK(fd >= 0 && read(fd, model, sizeof model) == sizeof model);
    close(fd);
    make_file(cut, model, sizeof model, 0600); /* the beginning of a good one */
    FAULTS(DOCTOR(CLI_EXIT_WRONG, NULL), "wrong", "model-damaged");
    make_file(cut, "not a model", 11, 0600);
    FAULTS(DOCTOR(CLI_EXIT_WRONG, NULL), "wrong", "model-damaged");
    unlink(cut);
    setenv("LLAMA_ARG_MODEL", path, 1);
    check_well();
    unsetenv("LLAMA_ARG_MODEL");
}

/* llamaipc in a folder with a host program of this text beside it; NULL: with none. */
static void use_program(const char *folder, const char *host) {
    char path[256], command[8192];
    unsetenv("LIPC_LLAMAIPC");
    snprintf(command, sizeof command, "cp %s %s/llamaipc", cli_program(), folder);
    CHECK_INT(system(command), ==, 0);
    snprintf(path, sizeof path, "%s/chatbot", folder);
    unlink(path);
    if (host)
        make_file(path, host, strlen(host), 0700);
    snprintf(path, sizeof path, "%s/llamaipc", folder);
    setenv("LIPC_LLAMAIPC", path, 1);
}

static void programs(void) {
    char folder[] = "/tmp/lipctestXXXXXX", command[64], *paths = strdup(getenv("PATH"));
    CHECK(mkdtemp(folder) && paths);
    test_step("no host program, a processor and a library that do not fit");
    use_program(folder, NULL);
    setenv("PATH", "/no/such/folder", 1);
    FAULTS(DOCTOR(CLI_EXIT_WRONG, NULL), "wrong", "no-chatbot");
    setenv("PATH", paths, 1);
    use_program(folder, "#!/bin/sh\nkill -ILL $$\n");
    FAULTS(DOCTOR(CLI_EXIT_WRONG, NULL), "wrong", "processor");
    use_program(folder, "#!/bin/sh\necho 'chatbot: version GLIBC_2.99 not found' >&2\nexit 1\n");
    json_t *said = DOCTOR(CLI_EXIT_WRONG, NULL);
    CHECK(strstr(json_string_value(json_object_get(finding_of(said, "library"), "text")), "GLIBC_2.99"));
    FAULTS(said, "wrong", "library");
    unsetenv("LIPC_LLAMAIPC");
    check_well();
    snprintf(command, sizeof command, "rm -r %s", folder);
    CHECK_INT(system(command), ==, 0);
    free(paths);
}

/* A copy of the library without what evaluates. */
static void backends(void) {
    char folder[] = "/tmp/lipctestXXXXXX", command[9000];
    test_step("a library without its parts for processors");
    CHECK(mkdtemp(folder));
    const char *chatbot = getenv("LIPC_CHATBOT");
    snprintf(command, sizeof command,
             "for lib in $(ldd %s | sed -n 's/.* => \\(.*lib\\(llama\\|ggml\\)[^ ]*\\).*/\\1/p'); do "
             "case $lib in *cpu*) exit 1 ;; esac; ln -s $lib %s/; done; ls %s/libllama* >/dev/null 2>&1",
             chatbot, folder, folder);
    if (chatbot && system(command) == 0) {
        /* Not LD_LIBRARY_PATH, which comes behind the place that the host was built with. */
        snprintf(command, sizeof command, "ls -d %s/* | tr '\\n' :", folder);
        FILE *list = popen(command, "r");
        CHECK(list && fgets(command, sizeof command, list));
        CHECK_INT(pclose(list), ==, 0);
        setenv("LD_PRELOAD", command, 1);
        add_option("ASAN_OPTIONS", "verify_asan_link_order=0");
        FAULTS(DOCTOR(CLI_EXIT_WRONG, NULL), "wrong", "library");
        unsetenv("LD_PRELOAD");
    } else {
        printf("  this one has them built in\n");
    }
    snprintf(command, sizeof command, "rm -r %s", folder);
    CHECK_INT(system(command), ==, 0);
    check_well();
}

/* ---- what dead hosts leave ---- */

static void dead_hosts(void) {
    test_step("a host that was killed, a client that died behind it");
    segment segment = leave_objects();
    MENDS("stale-objects");
    segment_close(&segment);
    test_host host;
    segment = host_ready(&host, instance, REPLAY(story, "--rate", "0", SMALL));
    pid_t client = worker_start(attach_and_wait, NULL, 0);
    worker_wait_stopped(client);
    bury(&host);
    FAULTS(DOCTOR(CLI_EXIT_WRONG, NULL), "wrong", "stale-objects"); /* the client lives: it will find out by itself */
    worker_kill(client);
    MENDS("stale-objects", "dead-clients");
    segment_close(&segment);

    test_step("semaphores alone");
    segment = leave_objects();
    char path[256];
    CHECK(unlink(object_path(path, instance, OBJECT_SEGMENT)) == 0);
    MENDS("stale-objects");
    segment_close(&segment);

    test_step("those of another version, and damaged ones");
    segment = leave_objects();
    hub_in(&segment)->layout_major = LIPC_LAYOUT_MAJOR + 1;
    MENDS("other-version");
    segment_close(&segment);
    segment = leave_objects();
    hub_in(&segment)->streams_offset = 12345;
    MENDS("damaged");
    segment_close(&segment);
}

static void live_on(void *data, int fd) {
    (void)data;
    struct flock place = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 1, .l_len = 1};
    CHECK_INT(fcntl(fd, F_SETLKW, &place), ==, 0); /* behind the real one, which dies at this moment */
    raise(SIGSTOP);
}

static void dead_worker(void) {
    char path[256];
    test_step("a worker that outlives its host");
    segment segment = leave_objects();
    int fd = open(object_path(path, instance, OBJECT_SEGMENT), O_RDWR | O_CLOEXEC), status;
    pid_t worker = worker_start(live_on, NULL, fd);
    close(fd);
    worker_wait_stopped(worker);
    MENDS("dead-worker", "stale-objects");
    CHECK_INT(waitpid(worker, &status, 0), ==, worker);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    segment_close(&segment);
}

static void others(void) {
    static const char content[LIPC_HUB_END];
    char own[64];
    snprintf(own, sizeof own, "%s", instance);
    test_step("leftovers of other instances; what is not ours stays");
    make_file("/dev/shm/other_shared_mem", content, sizeof content, 0600);
    make_file("/dev/shm/sem.other_sem_ready", content, 32, 0600);
    snprintf(instance, sizeof instance, "%.50s_2", own);
    segment segment = leave_objects();
    setenv("LIPC_NAME", own, 1);
    json_t *said = DOCTOR(CLI_EXIT_WRONG, NULL);
    CHECK_TEXT(json_string_value(json_object_get(finding_of(said, "stale-objects"), "instance")), instance);
    json_decref(said);
    MENDS("stale-objects");
    segment_close(&segment);
    CHECK(unlink("/dev/shm/other_shared_mem") == 0 && unlink("/dev/shm/sem.other_sem_ready") == 0);
    snprintf(instance, sizeof instance, "%s", own);
}

/* ---- what must stay ---- */

static void hold_semaphore(void *data, int number) {
    char name[128];
    (void)data, (void)number;
    snprintf(name, sizeof name, "/%s_sem_ready", instance);
    CHECK(sem_open(name, 0) != SEM_FAILED);
    raise(SIGSTOP);
}

static void waited_for(void) {
    test_step("a client of the guide waits there: it stays for the next host");
    segment segment = leave_objects();
    pid_t client = worker_start(hold_semaphore, NULL, 0);
    worker_wait_stopped(client);
    LEAVES("stale-objects");
    worker_kill(client);
    MENDS("stale-objects");
    segment_close(&segment);
}

static void answers(void) {
    test_host host;
    char id[LIPC_STREAM_ID_SIZE];
    test_step("an answer that was left to run: it stays for the next host");
    segment segment = host_ready(&host, instance, REPLAY(story, "--rate", "200", SMALL));
    lipc_client *client = client_of(instance);
    lipc_request request = request_of("hello");
    request.detachable = 1;
    lipc_stream *stream = submit(client, &request);
    reading reading = {0};
    read_until(stream, &reading, 20);
    free(reading.text);
    CHECK_LIPC(lipc_stream_id(stream, id), LIPC_E_OK);
    lipc_stream_detach(stream);
    lipc_client_close(client);
    bury(&host);
    LEAVES("stale-objects");
    segment_close(&segment);
    segment = host_ready(&host, instance, REPLAY(story, "--rate", "0", SMALL));
    client = client_of(instance);
    CHECK_LIPC(lipc_stream_attach(client, id, 0, 0, &stream), LIPC_E_OK);
    check_whole(stream, &story);
    lipc_stream_close(stream);
    lipc_client_close(client);
    end_host(&host, &segment);
    check_well();
}

static void live_hosts(void) {
    test_host host;
    char path[256];
    test_step("a live host's things are looked at, and nothing more");
    segment segment = host_ready(&host, instance, REPLAY(story, "--rate", "0", SMALL));
    ino_t inodes[N_OBJECTS];
    for (int i = 0; i < N_OBJECTS; i++)
        inodes[i] = object_inode(instance, i);
    FAULTS(DOCTOR(CLI_EXIT_OK, "--fix"), "", NULL);
    pid_t client = worker_start(attach_and_wait, NULL, 0);
    worker_wait_stopped(client);
    FAULTS(DOCTOR(CLI_EXIT_OK, "--fix"), "", NULL);
    host_pause(&host);
    LEAVES("stopped");
    host_resume(&host);
    worker_kill(client);
    wait_for_clients(&segment, 0);
    check_well();
    process_stop(host_worker(&host));
    LEAVES("stopped");
    kill(host_worker(&host), SIGCONT);
    check_answers();
    for (int i = 0; i < N_OBJECTS; i++)
        CHECK_INT(object_inode(instance, i), ==, inodes[i]);
    CHECK(unlink(object_path(path, instance, OBJECT_CHUNK_READY)) == 0);
    LEAVES("no-semaphores");
    check_answers();
    end_host(&host, &segment);
    check_well();
}

static void own_and_wait(void *data, int fd) {
    (void)data;
    struct flock place = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
    CHECK_INT(fcntl(fd, F_SETLK, &place), ==, 0);
    for (;;)
        pause();
}

static bool is_owned(int fd) {
    struct flock place = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
    return fcntl(fd, F_GETLK, &place) == 0 && place.l_type != F_UNLCK;
}

/* Hosts of ours write a hub anew that somebody else wrote into, within a second or so; how long doctor takes nobody knows.
 * So the owner is a process that does nothing: a host of another release, or one that is too busy to look. */
static void hosts_that_do_not_look(void) {
    test_host host;
    char path[256];
    test_step("a live host of another version, a damaged hub, a host that does not notice a client's death");
    segment segment = host_ready(&host, instance, REPLAY(story, "--rate", "0", SMALL));
    pid_t client = worker_start(attach_and_wait, NULL, 0);
    worker_wait_stopped(client);
    bury(&host);
    int fd = open(object_path(path, instance, OBJECT_SEGMENT), O_RDWR | O_CLOEXEC);
    pid_t owner = worker_start(own_and_wait, NULL, fd);
    CHECK(WAITED(SOON_MS, is_owned(fd)));
    lipc_hub *hub = hub_in(&segment);
    LEAVES("foreign-lock"); /* it says of itself that it is another's */
    hub->host_pid = (uint32_t)owner;
    FAULTS(DOCTOR(CLI_EXIT_OK, "--fix"), "", NULL);
    uint16_t major = hub->layout_major;
    hub->layout_major = LIPC_LAYOUT_MAJOR + 1;
    LEAVES("other-version");
    hub->layout_major = major;
    uint32_t size = hub->client_size;
    hub->client_size = 3;
    LEAVES("damaged");
    hub->client_size = size;
    /* The pid is somebody else's by now. */
    record_in(&segment, 0)->start_time = 1;
    LEAVES("dead-clients");
    worker_kill(client);
    LEAVES("dead-clients");
    worker_kill(owner);
    close(fd);
    MENDS("stale-objects", "dead-clients");
    segment_close(&segment);
}

/* ---- owners and room ---- */

static void owners(void) {
    char path[256];
    test_step("objects of another user");
    segment segment = leave_objects();
    CHECK(chown(object_path(path, instance, OBJECT_SEGMENT), NOBODY, NOBODY) == 0);
    LEAVES("wrong-owner");
    CHECK(chown(path, 0, 0) == 0);
    CHECK(chown(object_path(path, instance, OBJECT_READY), NOBODY, NOBODY) == 0);
    CHECK(unlink(object_path(path, instance, OBJECT_SEGMENT)) == 0);
    json_decref(DOCTOR(CLI_EXIT_WRONG, "--fix")); /* the other three go, this one stays */
    CHECK_INT(objects_count(instance), ==, 1);
    FAULTS(DOCTOR(CLI_EXIT_WRONG, NULL), "wrong", "wrong-owner");
    CHECK(unlink(object_path(path, instance, OBJECT_READY)) == 0);
    check_well();
    segment_close(&segment);
}

static void room(void) {
    test_step("/dev/shm is full of what dead hosts left; it is missing");
    char own[64];
    snprintf(own, sizeof own, "%s", instance);
    snprintf(instance, sizeof instance, "%.50s_2", own);
    test_host host;
    segment segment = host_ready(&host, instance, REPLAY(story, "--rate", "0"));
    bury(&host);
    segment_close(&segment); /* mapped, it would keep its memory */
    MENDS("memory-full", "stale-objects");
    snprintf(instance, sizeof instance, "%s", own);
    CHECK(mount("/dev/shm", "/dev/shm", NULL, MS_BIND, NULL) == 0);
    CHECK(mount(NULL, "/dev/shm", NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) == 0);
    FAULTS(DOCTOR(CLI_EXIT_WRONG, "--fix"), "wrong", "memory-closed");
    CHECK(umount("/dev/shm") == 0);
    check_well();
}

static void text(void) {
    cli cli;
    test_step("for people");
    FAILS(CLI_EXIT_USAGE, "doctor does not take 'fix': did you mean --fix?", "doctor", "fix");
    FAILS(CLI_EXIT_USAGE, "llamaipc doctor --fix fixes", "fix");
    segment segment = leave_objects();
    RUN(&cli, CLI_EXIT_WRONG, NULL, "doctor");
    CHECK_SAY(strstr(cli.out, "stale-objects") && strstr(cli.out, "doctor --fix"), "it says: %s", cli.out);
    for (const char *line = cli.out; *line; line = strchr(line, '\n') + 1)
        CHECK_SAY(strcspn(line, "\n") <= 80 || !strchr(line, ' '), "wider than 80 columns: %s", line);
    cli_free(&cli);
    RUN(&cli, CLI_EXIT_OK, NULL, "doctor", "--fix");
    CHECK_SAY(strstr(cli.out, "fixed") && strstr(cli.out, "Nothing is wrong"), "it says: %s", cli.out);
    cli_free(&cli);
    segment_close(&segment);
}

int main(void) {
    test_begin("doctor", 110);
    if (geteuid() != 0 || !test_private_shm("mode=1777,size=64m"))
        test_skip("a /dev/shm of one's own is not allowed here");
    test_instance(instance, "doctor");
    setenv("LIPC_NAME", instance, 1);
    story = script_new(1500);
    check_well();
    models();
    programs();
    backends();
    /* From here on it is about objects: a program that is always well is quicker. */
    char folder[] = "/tmp/lipctestXXXXXX", command[64];
    CHECK(mkdtemp(folder));
    use_program(folder, "#!/bin/sh\nexit 0\n");
    dead_hosts();
    dead_worker();
    others();
    waited_for();
    answers();
    live_hosts();
    hosts_that_do_not_look();
    owners();
    room();
    text();
    snprintf(command, sizeof command, "rm -r %s", folder);
    CHECK_INT(system(command), ==, 0);
    free(story.text);
    return test_end();
}
