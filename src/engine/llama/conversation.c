/* conversation.c - what is asked becomes the tokens of a prompt (see common/chat.h), also when it outgrows the context. */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int conversation_open(struct llama_engine *engine) {
    const llama_engine_options *options = &engine->options;
    const chat_options chosen = {
        .template_text = options->chat_template,
        .template_kwargs = options->chat_template_kwargs,
        .reasoning_format = options->reasoning_format,
        .thinking = options->thinking,
        .thinking_budget = options->thinking_budget,
    };
    engine->chat = chat_open(engine->model, &chosen, engine->base.message, sizeof engine->base.message);
    if (!engine->chat) return ENGINE_E_MODEL_BAD;
    snprintf(engine->base.facts.template_name, sizeof engine->base.facts.template_name, "%s", chat_template_name(engine->chat));
    return ENGINE_OK;
}

/* Replaces *rendered. Errors: DOCUMENT, EVALUATION, NO_MEMORY. */
static int render(struct llama_engine *engine, const chat_document *document, size_t n_dropped, chat_prompt **rendered) {
    engine_error error;
    chat_prompt_free(*rendered);
    *rendered = chat_render(engine->chat, document, n_dropped, &error, engine->base.message, sizeof engine->base.message);
    return error;
}

static size_t count_tokens(const chat_prompt *rendered) {
    size_t n_tokens;
    chat_prompt_tokens(rendered, &n_tokens);
    return n_tokens;
}

/* How many more of the oldest messages, behind those dropped, must go for what is left to be half of the context, going by
 * their bytes. The system's and the last one stay. */
static size_t count_to_drop(const chat_document *document, size_t n_dropped, double n_tokens, double n_ctx) {
    size_t n_messages = chat_document_n_messages(document), first = chat_document_begins_with_system(document) + n_dropped;
    double n_bytes = 1, n_gone = 0;
    size_t n = 0;
    for (size_t i = first; i < n_messages; i++) n_bytes += (double)chat_document_message_bytes(document, i);
    while (first + n + 1 < n_messages && n_tokens * (1 - n_gone / n_bytes) > n_ctx / 2)
        n_gone += (double)chat_document_message_bytes(document, first + n++);
    return n;
}

/* Leaves out the oldest messages, but not the system's, until the prompt fits. Half of the context at once: so it happens
 * seldom, and what follows finds its beginning in memory. Errors: those of render(). */
static int drop_oldest(struct llama_engine *engine, const chat_document *document, chat_prompt **rendered) {
    size_t n_dropped = 0, n_tokens;
    double n_ctx = (double)engine->base.facts.n_ctx;
    while ((double)(n_tokens = count_tokens(*rendered)) >= n_ctx) {
        size_t n = count_to_drop(document, n_dropped, (double)n_tokens, n_ctx);
        if (n == 0) break;
        n_dropped += n;
        int error = render(engine, document, n_dropped, rendered);
        if (error < 0) return error;
    }
    if (n_dropped > 0) {
        char line[96];
        snprintf(line, sizeof line, "the conversation outgrew the context: its %zu oldest messages are left out", n_dropped);
        llama_log(engine, 2, line);
    }
    return ENGINE_OK;
}

/* Errors: those of render(), TOO_LONG. *rendered is the caller's also then. */
static int render_to_fit(struct llama_engine *engine, const chat_document *document, chat_prompt **rendered) {
    uint32_t n_ctx = engine->base.facts.n_ctx;
    int error = render(engine, document, 0, rendered);
    if (error == ENGINE_OK && engine->can_shift) error = drop_oldest(engine, document, rendered);
    if (error < 0 || count_tokens(*rendered) < n_ctx) return error;
    llama_say(engine, "the prompt has %zu tokens, the context only %u; shorten it, or start the host with a larger -c N%s",
              count_tokens(*rendered), n_ctx, engine->can_shift ? "" : " or with --context-shift");
    return ENGINE_E_TOO_LONG;
}

static chat_document *read_request(struct llama_engine *engine, const engine_request *request) {
    return chat_document_new(request, engine->base.message, sizeof engine->base.message);
}

int conversation_tokenise(struct llama_engine *engine, struct sequence *sequence, const engine_request *request) {
    chat_document *document = read_request(engine, request);
    if (!document) return ENGINE_E_DOCUMENT;
    int error = render_to_fit(engine, document, &sequence->rendered);
    if (error == ENGINE_OK) {
        size_t n_tokens;
        const llama_token *tokens = chat_prompt_tokens(sequence->rendered, &n_tokens);
        sequence->prompt = malloc(n_tokens * sizeof *tokens);
        error = sequence->prompt ? ENGINE_OK : ENGINE_E_NO_MEMORY;
        if (sequence->prompt) memcpy(sequence->prompt, tokens, n_tokens * sizeof *tokens);
        sequence->n_prompt = (int32_t)n_tokens;
        if (engine->can_shift) sequence->n_keep = (int32_t)chat_prompt_n_keep(sequence->rendered, document);
    }
    chat_document_free(document);
    return error;
}

int conversation_show(struct llama_engine *engine, const engine_request *request, char **json) {
    *json = NULL;
    chat_prompt *rendered = NULL;
    chat_document *document = read_request(engine, request);
    if (!document) return ENGINE_E_DOCUMENT;
    int error = render_to_fit(engine, document, &rendered);
    if (error == ENGINE_OK) {
        *json = chat_prompt_json(rendered);
        if (!*json) error = ENGINE_E_NO_MEMORY;
    }
    if (error == ENGINE_E_NO_MEMORY) llama_say(engine, "not enough memory for a prompt");
    chat_prompt_free(rendered);
    chat_document_free(document);
    return error;
}
