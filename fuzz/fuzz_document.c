/* fuzz_document.c - src/engine/llama/common over arbitrary documents: what a client asks of a chat model, from the first byte of
 * JSON to tokens, grammar and the reader of the answer. A document is refused with a sentence that names the field, or it has a
 * prompt of the vocabulary's tokens; and whatever the answer then says is told apart into whole characters.
 *
 * A document that begins with a T is asked of a template with tools and thoughts, others of the embedded model's own. The answer
 * is what stands behind the first zero byte, in pieces of seven bytes.
 *
 * The vocabulary is that of models/tutor.gguf, or of that file in LIPC_TEST_MODEL_DIR. */
#include "fuzz.h"

#include "engine/grammar.h"
#include "engine/llama/common/answer.h"
#include "engine/llama/common/chat.h"
#include "text/json.h"
#include "text/utf8.h"

#include <stdio.h>
#include <string.h>

enum { PIECE = 7, MESSAGE_SIZE = ENGINE_MESSAGE_SIZE };

static const char tools_template[] =
    "{%- if tools %}<|im_start|>system\nTools:\n{%- for tool in tools %}\n{{ tool | tojson }}{%- endfor %}\n"
    "Call as <tool_call>\n{\"name\": NAME, \"arguments\": OBJECT}\n</tool_call><|im_end|>\n{%- endif %}"
    "{%- for m in messages %}"
    "{%- if m.role == 'tool' %}<|im_start|>user\n<tool_response>\n{{ m.content }}\n</tool_response><|im_end|>\n"
    "{%- else %}<|im_start|>{{ m.role }}\n"
    "{%- if m.reasoning_content %}<think>\n{{ m.reasoning_content }}\n</think>\n\n{%- endif %}{{ m.content }}"
    "{%- for call in m.tool_calls or [] %}\n<tool_call>\n{\"name\": \"{{ call.function.name }}\", \"arguments\": "
    "{{ call.function.arguments | tojson }}}\n</tool_call>{%- endfor %}<|im_end|>\n{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}<|im_start|>assistant\n{%- if enable_thinking is defined and not enable_thinking %}"
    "<think>\n\n</think>\n\n{%- endif %}{%- endif %}";

static const struct llama_model *model;
static chat *chats[2]; /* the model's own template, and the one above */

static void be_silent(enum ggml_log_level level, const char *text, void *user_data) {
    (void)level, (void)text, (void)user_data;
}

static void open_once(void) {
    char path[4096], message[MESSAGE_SIZE] = "";
    const char *folder = getenv("LIPC_TEST_MODEL_DIR");
    struct llama_model_params params = llama_model_default_params();
    if (model) return;
    params.vocab_only = true;
    llama_log_set(be_silent, NULL);
    snprintf(path, sizeof path, "%s/tutor.gguf", folder ? folder : "models");
    model = llama_model_load_from_file(path, params);
    MUST(model);
    for (int i = 0; i < 2; i++) {
        chat_options options = {.template_text = i == 0 ? NULL : tools_template};
        chats[i] = chat_open(model, &options, message, sizeof message);
        MUST(chats[i]);
    }
}

/* One line of text that says something. */
static void must_be_sentence(const char message[MESSAGE_SIZE]) {
    size_t n = strnlen(message, MESSAGE_SIZE);
    MUST(n > 10 && n < MESSAGE_SIZE && !memchr(message, '\n', n));
}

static void check_output(answer_output *output) {
    size_t n_bytes, n_deltas, n_before = 0;
    const char *text = answer_output_text(output, &n_bytes);
    const engine_delta *deltas = answer_output_deltas(output, &n_deltas);
    MUST(utf8_is_valid(text, n_bytes));
    for (size_t i = 0; i < n_deltas; i++) {
        const engine_delta *delta = &deltas[i];
        MUST(delta->kind == ENGINE_PART_THOUGHT || delta->kind == ENGINE_PART_CALL);
        MUST(delta->n_before >= n_before && delta->n_before <= n_bytes && utf8_is_valid(delta->bytes, delta->n_bytes));
        if (delta->kind == ENGINE_PART_CALL && delta->begins) MUST(delta->name && delta->id);
        n_before = delta->n_before;
    }
    answer_output_clear(output);
}

static void read_answer(const chat_prompt *prompt, const char *answer, size_t n_bytes) {
    char message[MESSAGE_SIZE] = "";
    answer_reader *reader = answer_reader_new(prompt, message, sizeof message);
    answer_output *output = answer_output_new();
    MUST(reader && output);
    for (size_t at = 0; at < n_bytes;) {
        size_t n = utf8_fit(answer + at, n_bytes - at, PIECE);
        if (n == 0 || !utf8_is_valid(answer + at, n)) break; /* the engine repairs what is no text */
        MUST(answer_reader_take(reader, answer + at, n, ANSWER_GOES_ON, output));
        check_output(output);
        at += n;
    }
    MUST(answer_reader_take(reader, "", 0, n_bytes % 2 ? ANSWER_COMPLETE : ANSWER_CUT, output));
    check_output(output);
    answer_output_free(output);
    answer_reader_free(reader);
}

static void check_grammar(const chat_prompt *prompt) {
    char message[MESSAGE_SIZE] = "";
    const char *prefix;
    bool is_lazy;
    answer_reader *reader = answer_reader_new(prompt, message, sizeof message);
    MUST(reader);
    const char *text = answer_reader_grammar(reader, &is_lazy, &prefix);
    grammar *made = text ? grammar_new(text, message, sizeof message) : NULL;
    if (text && !made) must_be_sentence(message);
    if (made && prefix[0] && grammar_fits(made, prefix, strlen(prefix))) grammar_accept(made, prefix, strlen(prefix));
    grammar_free(made);
    answer_reader_free(reader);
}

static void check_prompt(const chat_prompt *prompt, const chat_document *document) {
    size_t n_tokens, n_ids = 0;
    const llama_token *tokens = chat_prompt_tokens(prompt, &n_tokens);
    int32_t n_vocab = llama_vocab_n_tokens(llama_model_get_vocab(model));
    MUST(n_tokens > 0 && chat_prompt_n_keep(prompt, document) <= n_tokens);
    for (size_t i = 0; i < n_tokens; i++) n_ids += tokens[i] >= 0 && tokens[i] < n_vocab;
    MUST(n_ids == n_tokens);
    char *json = chat_prompt_json(prompt);
    json_slice value;
    MUST(json && json_check(json, strlen(json), &value, NULL) && json_kind(value) == '{');
    free(json);
}

static void check_document(const chat *chat, const char *text, const char *answer, size_t n_answer) {
    char message[MESSAGE_SIZE] = "";
    engine_request request = {.document = text};
    engine_error error;
    chat_document *document = chat_document_new(&request, message, sizeof message);
    if (!document) {
        must_be_sentence(message);
        return;
    }
    size_t n_messages = chat_document_n_messages(document);
    for (size_t i = 0; i < n_messages; i++) MUST(chat_document_message_bytes(document, i) > 0);
    MUST(n_messages > 0 || !chat_document_begins_with_system(document));
    for (size_t n_dropped = 0; n_dropped < 2; n_dropped++) {
        chat_prompt *prompt = chat_render(chat, document, n_dropped, &error, message, sizeof message);
        MUST(prompt ? error == ENGINE_OK : error == ENGINE_E_DOCUMENT);
        if (!prompt) {
            must_be_sentence(message);
            continue;
        }
        check_prompt(prompt, document);
        check_grammar(prompt);
        read_answer(prompt, answer, n_answer);
        chat_prompt_free(prompt);
    }
    chat_document_free(document);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    open_once();
    bool has_tools = size > 0 && data[0] == 'T';
    const char *bytes = (const char *)data + has_tools;
    size_t n_bytes = size - has_tools, n_text = strnlen(bytes, n_bytes);
    if (!utf8_is_valid(bytes, n_text)) return 0; /* the channel refuses such a request */
    char *text = malloc(n_text + 1);
    MUST(text);
    memcpy(text, bytes, n_text);
    text[n_text] = 0;
    size_t n_answer = n_bytes - n_text;
    check_document(chats[has_tools], text, n_answer > 0 ? bytes + n_text + 1 : "", n_answer > 0 ? n_answer - 1 : 0);
    free(text);
    return 0;
}
