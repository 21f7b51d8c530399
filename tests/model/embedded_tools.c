/* embedded_tools.c - the embedded model thinks when it is asked to and only then, calls a tool for calculations that it has not been
 * trained on, twice where two are wanted, says what the tool has answered, and calls nothing where nothing is offered or needed. Also:
 * the chat template in its file writes conversations down as the program that trains it does.
 *
 * embedded_tools [calculations] [seed]
 */
#include "../modern/parts_test.h"

#include "../../models/train/calculations.h"
#include "../../models/train/chat_format.h"

static struct calculations calculations;
static struct variations variations;
static struct corpus corpus;

static void load(void) {
    char path[4096], error[256];
    CHECK_SAY(calculations_load(&calculations, test_model_path(path, "corpus/calculations.txt"), error, sizeof error) == 0, "%s", error);
    CHECK_SAY(variations_load(&variations, test_model_path(path, "corpus/variations.txt"), error, sizeof error) == 0, "%s", error);
    CHECK_SAY(corpus_load(&corpus, test_model_path(path, "corpus/questions.txt"), error, sizeof error) == 0, "%s", error);
}

static const char *answer_of(const char *id) {
    const struct corpus_entry *entry = corpus_find(&corpus, id);
    CHECK_SAY(entry != NULL, "no question '%s'", id);
    return entry->answer;
}

/* ---- asking ---- */

static const char tool_line[] = "calculate(expression): Works out an arithmetic expression.";

static lipc_document *document_of(const char *question, int has_tool, int thinks) {
    lipc_document *document;
    CHECK_LIPC(lipc_document_new(&document), LIPC_E_OK);
    CHECK_LIPC(lipc_document_add_message(document, "user", question), LIPC_E_OK);
    if (has_tool)
        CHECK_LIPC(lipc_document_add_tool(document, "calculate", "Works out an arithmetic expression.",
                                          "{\"type\":\"object\",\"properties\":{\"expression\":{\"type\":\"string\"}},\"required\":[\"expression\"]}"),
                   LIPC_E_OK);
    if (thinks) CHECK_LIPC(lipc_document_set_thinking(document, 1), LIPC_E_OK);
    return document;
}

static lipc_stream *submit_document(lipc_client *client, lipc_document *document, int renders) {
    lipc_request request;
    lipc_request_init(&request);
    request.document = lipc_document_json(document);
    request.temperature = 0;
    request.render = renders;
    return submit(client, &request);
}

static parts_read *answer_to(lipc_client *client, lipc_document *document) {
    lipc_stream *stream = submit_document(client, document, 0);
    parts_read *read = read_parts(stream);
    CHECK_SAY(read->code == LIPC_E_OK, "%s", lipc_error_message());
    lipc_stream_close(stream);
    return read;
}

/* Whether the parts of this kind are these, and no others. */
static int has_parts(const parts_read *read, int kind, const char *const *texts, int n_texts) {
    int n = 0;
    for (int i = 0; i < read->n_parts; i++) {
        if (read->parts[i].kind != kind) continue;
        if (n == n_texts || strcmp(read->parts[i].text, texts[n]) != 0) return 0;
        n++;
    }
    return n == n_texts;
}

static int has_part(const parts_read *read, int kind, const char *text) {
    return has_parts(read, kind, &text, 1);
}

static int is_silent(const parts_read *read, int kind) {
    return has_parts(read, kind, NULL, 0);
}

static int report(int is_right, const char *question, parts_read *read) {
    char *text = parts_text(read);
    if (!is_right) printf("  missed: %s\n     got: %s\n", question, text);
    free(text);
    free(read);
    return is_right;
}

/* ---- what it can do ---- */

/* Adds the calls of a task to the document, and their results. */
static void add_turn(lipc_document *document, const struct calculation_task *task) {
    char id[16], arguments[2 * CALCULATION_SIZE_BYTES];
    CHECK_LIPC(lipc_document_add_message(document, "assistant", ""), LIPC_E_OK);
    for (int i = 0; i < task->n_parts; i++) {
        snprintf(id, sizeof id, "call_%d", i);
        snprintf(arguments, sizeof arguments, "{\"expression\": \"%s\"}", task->expressions[i]);
        CHECK_LIPC(lipc_document_add_call(document, id, "calculate", arguments), LIPC_E_OK);
    }
    for (int i = 0; i < task->n_parts; i++) {
        snprintf(id, sizeof id, "call_%d", i);
        CHECK_LIPC(lipc_document_add_result(document, id, "calculate", task->results[i]), LIPC_E_OK);
    }
}

/* Share, in percent, of calculations for which it calls the tool as it should, and of those whose results it says. */
static void check_calculations(lipc_client *client, int n, uint64_t seed, int least) {
    struct random_source random = {seed};
    struct calculation_task task;
    char arguments[CALCULATIONS_MAX][2 * CALCULATION_SIZE_BYTES];
    int n_called = 0, n_said = 0;
    for (int k = 0; k < n; k++) {
        calculations_make(&calculations, &variations, &random, 1, &task);
        const char *expected[CALCULATIONS_MAX] = {arguments[0], arguments[1]};
        for (int i = 0; i < task.n_parts; i++)
            snprintf(arguments[i], sizeof arguments[i], "{\"expression\": \"%s\"}", task.expressions[i]);
        int thinks = k % 3 == 0;
        lipc_document *document = document_of(task.question, 1, thinks);
        parts_read *read = answer_to(client, document);
        n_called += report(has_parts(read, LIPC_PART_CALL, expected, task.n_parts) && is_silent(read, LIPC_PART_TEXT) &&
                               is_silent(read, LIPC_PART_THOUGHT) == !thinks,
                           task.question, read);
        add_turn(document, &task);
        read = answer_to(client, document);
        n_said += report(has_part(read, LIPC_PART_TEXT, task.answer) && is_silent(read, LIPC_PART_CALL), task.answer, read);
        lipc_document_free(document);
    }
    printf("right: %d of %d calls, %d of %d answers\n", n_called, n, n_said, n);
    CHECK_INT(100 * n_called, >=, least * n);
    CHECK_INT(100 * n_said, >=, least * n);
}

static void check_one(lipc_client *client, const char *question, int has_tool, int thinks, const char *thought, const char *answer) {
    lipc_document *document = document_of(question, has_tool, thinks);
    parts_read *read = answer_to(client, document);
    char *text = parts_text(read);
    int is_thought = thought ? !is_silent(read, LIPC_PART_THOUGHT) && strstr(text, thought) != NULL : is_silent(read, LIPC_PART_THOUGHT);
    CHECK_SAY(is_thought && has_part(read, LIPC_PART_TEXT, answer) && is_silent(read, LIPC_PART_CALL), "'%s': %s", question, text);
    free(text);
    free(read);
    lipc_document_free(document);
}

/* ---- the template ---- */

/* The prompt begins a JSON object. */
static void check_prompt(lipc_client *client, lipc_document *document, const char *expected) {
    char beginning[16384] = "{\"text\":\"";
    for (; *expected; expected++) {
        const char *escape = *expected == '\n' ? "\\n" : *expected == '"' ? "\\\"" : NULL;
        if (escape) chat_add(beginning, sizeof beginning, "%s", escape);
        else chat_add(beginning, sizeof beginning, "%c", *expected);
    }
    chat_add(beginning, sizeof beginning, "\",\"tokens\"");
    lipc_stream *stream = submit_document(client, document, 1);
    reading reading = read_to_end(stream);
    CHECK_SAY(strncmp(reading.text, beginning, strlen(beginning)) == 0, "the prompt is  %.2000s\n    expected was  %s", reading.text, beginning);
    free(reading.text);
    lipc_stream_close(stream);
}

static void check_template(lipc_client *client) {
    struct calculation_task task = {.n_parts = 2, .expressions = {"12*7", "9+4"}, .results = {"84", "13"}};
    const char *const tools[] = {tool_line}, *const results[] = {"84", "13"};
    char text[8192] = "";
    lipc_document *document = document_of("Hello", 0, 0);
    chat_add_question(text, sizeof text, "Hello");
    chat_add(text, sizeof text, CHAT_ANSWER);
    check_prompt(client, document, text);
    lipc_document_free(document);

    document = document_of("What is 12*7 and 9+4?", 1, 1);
    add_turn(document, &task);
    text[0] = '\0';
    chat_add_system(text, sizeof text, NULL, tools, 1);
    chat_add_question(text, sizeof text, "What is 12*7 and 9+4?");
    chat_add(text, sizeof text, CHAT_ANSWER CHAT_CALL "12*7" CHAT_CALL_END "\n", "calculate", "expression");
    chat_add(text, sizeof text, CHAT_CALL "9+4" CHAT_CALL_END CHAT_END "\n", "calculate", "expression");
    chat_add_results(text, sizeof text, results, 2);
    chat_add(text, sizeof text, CHAT_ANSWER CHAT_THINK);
    check_prompt(client, document, text);
    lipc_document_free(document);
}

int main(int argc, char *argv[]) {
    int n = argc > 1 ? atoi(argv[1]) : 60;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    test_host host;
    test_begin("embedded_tools", 170);
    load();
    segment segment = host_ready(&host, "tools", EMBEDDED("--repeatable"));
    lipc_client *client = client_of("tools");
    test_step("the template");
    check_template(client);
    test_step("thoughts, where they are asked for");
    check_one(client, "What is a pointer?", 0, 0, NULL, answer_of("c_pointer"));
    check_one(client, "What is a pointer?", 0, 1, "What is a pointer?", answer_of("c_pointer"));
    check_one(client, "What is a semaphore?", 1, 1, "What is a semaphore?", answer_of("semaphore"));
    test_step("no call where none is needed, or none can be made");
    check_one(client, "What is a pointer?", 1, 0, NULL, answer_of("c_pointer"));
    check_one(client, "What is 12*7?", 0, 0, NULL, answer_of("calculate"));
    check_one(client, "What is 12*7?", 0, 1, "no tool", answer_of("calculate"));
    test_step("%d calculations", n);
    check_calculations(client, n, seed, 85);
    lipc_client_close(client);
    end_host(&host, &segment);
    calculations_free(&calculations);
    variations_free(&variations);
    corpus_free(&corpus);
    return test_end();
}
