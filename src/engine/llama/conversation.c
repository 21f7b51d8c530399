/* conversation.c - messages become the tokens of a prompt. */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A model's own template is applied; one without any, or with one that the library does not know, gets "chatml" if its
 * vocabulary has the marks of that, otherwise plain text: the messages under "System:", "User:", "Assistant:". */
static const char *choose_template(struct llama_engine *engine, const char **name) {
    const struct llama_chat_message probe = {"user", "x"};
    const char *own = llama_model_chat_template(engine->model, NULL);
    *name = "the model's own";
    if (own && llama_chat_apply_template(own, &probe, 1, true, NULL, 0) > 0) return own;
    llama_token mark[4];
    static const char chatml_mark[] = "<|im_start|>";
    bool is_chatml = llama_tokenize(engine->vocab, chatml_mark, sizeof chatml_mark - 1, mark, 4, false, true) == 1;
    *name = is_chatml ? "chatml" : "plain";
    return is_chatml ? "chatml" : NULL;
}

void conversation_choose_template(struct llama_engine *engine) {
    const char *name;
    engine->chat_template = choose_template(engine, &name);
    snprintf(engine->base.facts.template_name, sizeof engine->base.facts.template_name, "%s", name);
}

/* ---- text ---------------------------------------------------------------------------------------------------------- */

static char *render_plain(const engine_message *messages, size_t n_messages, bool asks) {
    static const struct { const char *role, *title; } titles[] = {
        {"system", "System"}, {"user", "User"}, {"assistant", "Assistant"}};
    char *text = NULL;
    size_t n_bytes;
    FILE *stream = open_memstream(&text, &n_bytes);
    if (!stream) return NULL;
    for (size_t i = 0; i < n_messages; i++)
        for (size_t t = 0; t < sizeof titles / sizeof titles[0]; t++)
            if (strcmp(messages[i].role, titles[t].role) == 0)
                fprintf(stream, "%s: %s\n\n", titles[t].title, messages[i].text);
    if (asks) fprintf(stream, "Assistant:");
    if (fclose(stream) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

/* The messages as the one text that the model reads, with what asks for its answer behind them; NULL if memory ran out.
 * The caller frees it. */
static char *render(const struct llama_engine *engine, const engine_message *messages, size_t n_messages, bool asks) {
    const char *template = engine->chat_template;
    if (!template) return render_plain(messages, n_messages, asks);
    struct llama_chat_message *listed = calloc(n_messages + 1, sizeof *listed);
    if (!listed) return NULL;
    for (size_t i = 0; i < n_messages; i++) listed[i] = (struct llama_chat_message){messages[i].role, messages[i].text};
    char *text = NULL;
    int32_t size = llama_chat_apply_template(template, listed, n_messages, asks, NULL, 0);
    if (size >= 0 && (text = malloc((size_t)size + 1)) != NULL) {
        llama_chat_apply_template(template, listed, n_messages, asks, text, size + 1);
        text[size] = 0;
    }
    free(listed);
    return text;
}

/* ---- tokens -------------------------------------------------------------------------------------------------------- */

/* The tokens of a text, in memory that the caller frees. Errors: EVALUATION, NO_MEMORY. */
static int tokenise(struct llama_engine *engine, const char *text, llama_token **tokens, int32_t *n_tokens) {
    size_t n_bytes = strlen(text);
    *tokens = NULL;
    *n_tokens = 0;
    /* A token has a byte or more, but for the few that the library adds at the ends. It counts in 32 bits. */
    enum { N_ADDED = 16 };
    if (n_bytes <= INT32_MAX - N_ADDED) {
        *tokens = malloc((n_bytes + N_ADDED) * sizeof **tokens);
        if (!*tokens) return ENGINE_E_NO_MEMORY;
        *n_tokens = llama_tokenize(engine->vocab, text, (int32_t)n_bytes, *tokens, (int32_t)n_bytes + N_ADDED, true, true);
    }
    if (*n_tokens > 0) return ENGINE_OK;
    llama_say(engine, "the prompt of %zu bytes cannot be turned into tokens", n_bytes);
    free(*tokens);
    *tokens = NULL;
    return ENGINE_E_EVALUATION;
}

/* Replaces sequence->prompt. Errors: EVALUATION, NO_MEMORY. */
static int take_messages(struct llama_engine *engine, struct sequence *sequence, const engine_message *messages,
                         size_t n_messages) {
    char *text = render(engine, messages, n_messages, true);
    if (!text) return ENGINE_E_NO_MEMORY;
    free(sequence->prompt);
    int error = tokenise(engine, text, &sequence->prompt, &sequence->n_prompt);
    free(text);
    return error;
}

/* ---- conversations that outgrow the context ------------------------------------------------------------------------ */

static bool begins_with_system(const engine_request *request) {
    return request->n_messages > 0 && strcmp(request->messages[0].role, "system") == 0;
}

/* How many of the oldest messages behind the first n_kept must go for what is left to be half of the context, going by
 * their bytes. The last message stays. */
static size_t count_to_drop(const engine_request *request, size_t n_kept, double n_tokens, double n_ctx) {
    double n_bytes = 0, n_dropped = 0;
    size_t n = 0;
    for (size_t i = 0; i < request->n_messages; i++) n_bytes += (double)strlen(request->messages[i].text);
    while (n_kept + n + 1 < request->n_messages && n_tokens * (1 - n_dropped / (n_bytes + 1)) > n_ctx / 2)
        n_dropped += (double)strlen(request->messages[n_kept + n++].text);
    return n;
}

/* Leaves out the oldest messages, but not the system's, until the prompt fits. Half of the context at once: so it happens
 * seldom, and what follows finds its beginning in memory. Errors: EVALUATION, NO_MEMORY. */
static int drop_oldest(struct llama_engine *engine, struct sequence *sequence, const engine_request *request) {
    size_t n_kept = begins_with_system(request), n_dropped = 0;
    double n_ctx = (double)engine->base.facts.n_ctx;
    engine_message *messages = calloc(request->n_messages, sizeof *messages);
    if (!messages) return ENGINE_E_NO_MEMORY;
    memcpy(messages, request->messages, request->n_messages * sizeof *messages);
    engine_request rest = *request;
    rest.messages = messages;
    int error = ENGINE_OK;
    while (error == ENGINE_OK && sequence->n_prompt >= n_ctx) {
        size_t n = count_to_drop(&rest, n_kept, sequence->n_prompt, n_ctx);
        if (n == 0) break;
        n_dropped += n;
        rest.n_messages -= n;
        memmove(messages + n_kept, messages + n_kept + n, (rest.n_messages - n_kept) * sizeof *messages);
        error = take_messages(engine, sequence, messages, rest.n_messages);
    }
    if (n_dropped > 0) {
        char line[96];
        snprintf(line, sizeof line, "the conversation outgrew the context: its %zu oldest messages are left out", n_dropped);
        llama_log(engine, 2, line);
    }
    free(messages);
    return error;
}

/* The tokens of a system message at the beginning: a shift leaves them in place. */
static int count_to_keep(struct llama_engine *engine, struct sequence *sequence, const engine_request *request) {
    if (!begins_with_system(request)) return ENGINE_OK;
    llama_token *tokens;
    char *text = render(engine, request->messages, 1, false);
    if (!text) return ENGINE_E_NO_MEMORY;
    cells system = {0};
    int error = tokenise(engine, text, &tokens, &system.n);
    free(text);
    if (error < 0) return error;
    system.tokens = tokens;
    sequence->n_keep = cells_common(&system, sequence->prompt, sequence->n_prompt);
    free(tokens);
    return ENGINE_OK;
}

int conversation_tokenise(struct llama_engine *engine, struct sequence *sequence, const engine_request *request) {
    uint32_t n_ctx = engine->base.facts.n_ctx;
    int error = take_messages(engine, sequence, request->messages, request->n_messages);
    if (error == ENGINE_OK && engine->can_shift) error = drop_oldest(engine, sequence, request);
    if (error == ENGINE_OK && engine->can_shift) error = count_to_keep(engine, sequence, request);
    if (error < 0 || (uint32_t)sequence->n_prompt < n_ctx) return error;
    llama_say(engine, "the prompt has %d tokens, the context only %u; shorten it, or start the host with a larger -c N%s",
              sequence->n_prompt, n_ctx, engine->can_shift ? "" : " or with --context-shift");
    return ENGINE_E_TOO_LONG;
}
