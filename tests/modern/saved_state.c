/* saved_state.c - what a host remembers of a conversation is written to a file and read back, by another worker and by another
 * host: the next turn is the same and evaluates only what is new. Files that are damaged, of another model or no states are
 * refused, a file that is something else is not replaced, and a worker that is killed over it leaves the old file or the new. */
#include "../death/worker_test.h"
#include "../support/test_model.h"

enum { N_DAMAGES = 60, N_KILLS = 12 };

#define SECOND_QUESTION "What is a semaphore?"

static char path[64], other_model[64], copied_model[64], foreign[80];
static char said[65536];   /* the first answer */
static reading next;       /* the second, by a host that remembered the first */
static int n_remembered;   /* tokens that it did not evaluate */

/* One that saves, or restores if there are no messages. */
static lipc_stream *submit_state(lipc_client *client, const lipc_message *messages, int n_messages, const char *file) {
    lipc_request request;
    lipc_request_init(&request);
    request.messages = messages;
    request.n_messages = n_messages;
    if (messages) request.save_path = file;
    else request.restore_path = file;
    return submit(client, &request);
}

static const lipc_message turns[] = {{"user", QUESTION}, {"assistant", said}, {"user", SECOND_QUESTION}};

static lipc_stream *save(lipc_client *client) {
    return submit_state(client, turns, 2, path);
}

static lipc_stream *restore(lipc_client *client, const char *file) {
    return submit_state(client, NULL, 0, file);
}

/* Ends well, with a document. Returns how many tokens it names. */
static int check_done(lipc_stream *stream) {
    int n_tokens = -1;
    long n_bytes = -1;
    reading text = read_to_end(stream);
    CHECK_SAY(text.code == 0, "%s", lipc_error_message());
    CHECK_SAY(sscanf(text.text, "{\"tokens\":%d,\"bytes\":%ld}", &n_tokens, &n_bytes) == 2, "%s", text.text);
    struct stat status;
    CHECK(stat(path, &status) == 0 && status.st_size == n_bytes && (status.st_mode & 0777) == 0600);
    free(text.text);
    lipc_stream_close(stream);
    return n_tokens;
}

static void check_refused(lipc_stream *stream, const char *reason) {
    lipc_delta delta;
    CHECK_LIPC(lipc_stream_read(stream, soon(), &delta), LIPC_E_REFUSED);
    CHECK_SAY(strstr(lipc_error_message(), reason), "'%s' says nothing of '%s'", lipc_error_message(), reason);
    lipc_stream_close(stream);
}

static lipc_stream *ask_second(lipc_client *client) {
    lipc_request request;
    lipc_request_init(&request);
    request.messages = turns;
    request.n_messages = 3;
    return submit(client, &request);
}

/* The second turn is what it was, and so is what of it was remembered. */
static void check_second(lipc_client *client, bool is_remembered) {
    lipc_stream *stream = ask_second(client);
    reading text = read_to_end(stream);
    CHECK_SAY(text.code == 0, "%s", lipc_error_message());
    if (is_remembered) {
        CHECK_INT(progress_of(stream).n_cached, >=, n_remembered); /* more, if it was asked this before */
        CHECK_TEXT(text.text, next.text);
    } else {
        CHECK_INT(progress_of(stream).n_cached, ==, 0);
    }
    free(text.text);
    lipc_stream_close(stream);
}

/* The file is whole, whichever it is, and other workers do not remember the conversation by themselves. */
static void forget(const test_host *host, const segment *segment) {
    worker_killed(host, worker_awaited(host), SIGKILL);
    pid_t worker = worker_awaited(host);
    CHECK(WAITED(SOON_MS, worker_serves(segment, worker)));
}

static void saves_and_restores(const test_host *host, const segment *segment, lipc_client *client) {
    test_step("saved, and restored by another worker");
    lipc_stream *stream = ask(client, QUESTION);
    reading first = read_to_end(stream);
    CHECK(first.code == 0 && first.n_bytes > 0 && first.n_bytes < sizeof said);
    memcpy(said, first.text, first.n_bytes + 1);
    free(first.text);
    lipc_stream_close(stream);
    int n_saved = check_done(save(client));
    stream = ask_second(client);
    next = read_to_end(stream);
    n_remembered = progress_of(stream).n_cached;
    CHECK(next.code == 0 && n_remembered > 10 && n_remembered <= n_saved);
    lipc_stream_close(stream);
    forget(host, segment);
    check_refused(save(client), "remembers less than half");
    check_second(client, false);
    forget(host, segment);
    CHECK_INT(check_done(restore(client, path)), ==, n_saved);
    check_second(client, true);
}

static void works_beside_answers(lipc_client *client) {
    test_step("beside an answer that runs");
    lipc_request request = request_of("Explain C++ pointers in detail");
    request.ignore_eos = 1;
    request.n_predict = 400;
    lipc_stream *beside = submit(client, &request);
    for (int i = 0; i < 5; i++) {
        check_done(save(client));
        check_done(restore(client, path));
    }
    check_second(client, true);
    reading text = read_to_end(beside);
    CHECK_INT(text.code, ==, 0);
    CHECK_INT(progress_of(beside).n_tokens, ==, 400);
    free(text.text);
    lipc_stream_close(beside);
}

static char *read_file(const char *name, size_t *n_bytes) {
    struct stat status;
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0 && fstat(fd, &status) == 0);
    *n_bytes = (size_t)status.st_size;
    char *bytes = malloc(*n_bytes);
    CHECK(bytes && read(fd, bytes, *n_bytes) == status.st_size);
    close(fd);
    return bytes;
}

static void write_file(const char *name, const char *bytes, size_t n_bytes) {
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    CHECK_INT(write(fd, bytes, n_bytes), ==, n_bytes);
    close(fd);
}

static void refuses_what_is_damaged(lipc_client *client) {
    size_t n_bytes;
    uint64_t seed = 7;
    char *bytes = read_file(path, &n_bytes);
    test_step("damaged files, of %zu bytes", n_bytes);
    for (int i = 0; i < N_DAMAGES; i++) {
        size_t at = i < 16 ? (size_t)i * 6 : test_random(&seed, (uint32_t)n_bytes);
        bytes[at] ^= 1 << (i % 8);
        write_file(foreign, bytes, i % 3 ? n_bytes : at);
        check_refused(restore(client, foreign), "state");
        bytes[at] ^= 1 << (i % 8);
    }
    write_file(foreign, bytes, n_bytes);
    check_done(restore(client, foreign));
    free(bytes);
    unlink(foreign);
}

static void refuses_what_is_no_state(lipc_client *client) {
    char text[16] = {0};
    test_step("what is not there, no state, or no file, and what must not be replaced");
    check_refused(restore(client, "/nowhere/state"), "there is no saved state");
    check_refused(restore(client, "/dev/zero"), "cannot be read");
    check_refused(restore(client, "/tmp"), "cannot be read");
    check_refused(submit_state(client, turns, 2, "/nowhere/state"), "cannot write");
    write_file(foreign, "a diary", 7);
    check_refused(restore(client, foreign), "no saved state");
    check_refused(submit_state(client, turns, 2, foreign), "choose another name");
    int fd = open(foreign, O_RDONLY | O_CLOEXEC);
    CHECK(read(fd, text, sizeof text) == 7 && strcmp(text, "a diary") == 0);
    close(fd);
    unlink(foreign);
    const lipc_message unknown = {"user", "Nobody has asked this, and it is long enough to be told from all else"};
    check_refused(submit_state(client, &unknown, 1, foreign), "remembers less than half");
}

/* A conversation that begins like another one: what it does not share with that is not in its file. */
static void saves_no_other_conversation(lipc_client *client) {
    static const char system[] = "You are a tutor who explains programming, and you answer in a sentence or two, in plain English.";
    const lipc_message secret[] = {{"system", system}, {"user", "My password is hunter2. What is a process?"}},
                       other[] = {{"system", system}, {"user", "Hm?"}};
    lipc_request request;
    test_step("a conversation that begins like another one");
    lipc_request_init(&request);
    request.messages = secret;
    request.n_messages = 2;
    lipc_stream *stream = submit(client, &request);
    reading text = read_to_end(stream);
    CHECK_SAY(text.code == 0, "%s", lipc_error_message());
    int n_prompt = progress_of(stream).n_prompt;
    free(text.text);
    lipc_stream_close(stream);
    int n_saved = check_done(submit_state(client, other, 2, path));
    CHECK_SAY(n_saved > n_prompt / 2 && n_saved < n_prompt - 8, "%d of %d", n_saved, n_prompt); /* "My password ..." has more */
    CHECK_INT(check_done(submit_state(client, secret, 2, path)), >=, n_prompt - 1);
}

/* What lies beside a file is nobody's business. */
static void leaves_what_is_beside(lipc_client *client) {
    char beside[80], text[16] = {0};
    test_step("files beside it");
    snprintf(beside, sizeof beside, "%s.new", path);
    write_file(beside, "precious", 8);
    check_done(save(client));
    int fd = open(beside, O_RDONLY | O_CLOEXEC);
    CHECK(read(fd, text, sizeof text) == 8 && strcmp(text, "precious") == 0);
    close(fd);
    unlink(beside);
    CHECK_INT(mkfifo(beside, 0600), ==, 0);
    check_done(save(client));
    unlink(beside);
}

/* As where a disk is full. */
static void keeps_the_old_one(const test_host *host, lipc_client *client) {
    struct rlimit small = {100000, RLIM_INFINITY}, before;
    pid_t worker = worker_awaited(host);
    char beside[120];
    test_step("a file that cannot be written whole leaves the old one");
    CHECK_INT(prlimit(worker, RLIMIT_FSIZE, &small, &before), ==, 0);
    check_refused(save(client), "cannot write the state: File too large");
    CHECK_INT(prlimit(worker, RLIMIT_FSIZE, &before, NULL), ==, 0);
    snprintf(beside, sizeof beside, "ls %s.*.new 2>/dev/null", path);
    CHECK_INT(system(beside), !=, 0);
    check_done(restore(client, path));
}

static void survives_kills(const test_host *host, const segment *segment, lipc_client *client) {
    uint64_t seed = 3;
    test_step("%d workers are killed over it", N_KILLS);
    for (int i = 0; i < N_KILLS; i++) {
        check_done(restore(client, path));
        check_second(client, true);
        pid_t worker = worker_awaited(host);
        lipc_stream *stream = save(client);
        nanosleep(&(struct timespec){.tv_nsec = test_random(&seed, 3000000)}, NULL);
        worker_killed(host, worker, SIGKILL);
        worker = worker_awaited(host);
        CHECK(WAITED(SOON_MS, worker_serves(segment, worker)));
        lipc_stream_close(stream); /* it is tried again, and then there is nothing to save */
    }
    check_done(restore(client, path));
    check_second(client, true);
}

static void is_for_its_model_alone(void) {
    test_host host;
    test_step("another host, and hosts that have no use for it");
    segment segment = host_ready(&host, "state_b", EMBEDDED("-np", "2"));
    lipc_client *client = client_of("state_b");
    check_done(restore(client, path));
    check_second(client, true);
    lipc_client_close(client);
    end_host(&host, &segment);
    segment = host_ready(&host, "state_f", EMBEDDED("-np", "2", "-m", copied_model));
    client = client_of("state_f");
    check_done(restore(client, path));
    check_second(client, true);
    lipc_client_close(client);
    end_host(&host, &segment);
    const char *const *others[] = {EMBEDDED("-m", other_model), EMBEDDED("--rope-freq-base", "500000")};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        segment = host_ready(&host, "state_c", others[i]);
        client = client_of("state_c");
        check_refused(restore(client, path), "another model, or of other options");
        lipc_client_close(client);
        end_host(&host, &segment);
    }
    segment = host_ready(&host, "state_d", EMBEDDED("--repeatable"));
    client = client_of("state_d");
    check_refused(restore(client, path), "--repeatable");
    lipc_client_close(client);
    end_host(&host, &segment);
    script script = script_new(500);
    segment = host_ready(&host, "state_e", REPLAY(script, NULL));
    client = client_of("state_e");
    check_refused(restore(client, path), "remembers no conversation");
    check_refused(save(client), "remembers no conversation");
    lipc_client_close(client);
    end_host(&host, &segment);
    free(script.text);
}

int main(void) {
    test_begin("saved_state", 120);
    expect_crashes();
    snprintf(path, sizeof path, "/tmp/saved_state-%d", (int)getpid());
    snprintf(foreign, sizeof foreign, "/tmp/saved_state-%d-foreign", (int)getpid());
    snprintf(other_model, sizeof other_model, "/tmp/saved_state-%d.gguf", (int)getpid());
    test_model_write(other_model, 50);
    char tutor[4096], command[4300];
    snprintf(copied_model, sizeof copied_model, "/tmp/saved_state-%d-copy.gguf", (int)getpid());
    snprintf(command, sizeof command, "cp '%s' '%s'", test_model_path(tutor, "tutor.gguf"), copied_model);
    CHECK_INT(system(command), ==, 0);
    test_host host;
    segment segment = host_ready(&host, "state", EMBEDDED("-np", "3"));
    lipc_client *client = client_of("state");
    saves_and_restores(&host, &segment, client);
    works_beside_answers(client);
    refuses_what_is_damaged(client);
    refuses_what_is_no_state(client);
    leaves_what_is_beside(client);
    keeps_the_old_one(&host, client);
    survives_kills(&host, &segment, client);
    lipc_client_close(client);
    end_host(&host, &segment);
    is_for_its_model_alone();
    segment = host_ready(&host, "state", EMBEDDED("-np", "3"));
    client = client_of("state");
    saves_no_other_conversation(client);
    lipc_client_close(client);
    end_host(&host, &segment);
    snprintf(command, sizeof command, "rm -f '%s' '%s'.*.new", path, path); /* also of workers that were killed over it */
    CHECK_INT(system(command), ==, 0);
    unlink(copied_model);
    unlink(other_model);
    return test_end();
}
