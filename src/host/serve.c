/* serve.c - see serve.h. */
#include "serve.h"

#include "log.h"

#include <stdio.h>
#include <string.h>

typedef struct server {
    engine *engine;
    classic_service *classic;
    const host_options *options;
    stop_request *stop;
    unsigned n_requests;
    bool is_answering;
} server;

static bool load(const int *word) {
    return __atomic_load_n(word, __ATOMIC_ACQUIRE) != 0;
}

bool serve_is_interrupted(const classic_service *classic, const stop_request *stop) {
    return load(&stop->now) || classic_service_cancel_requested(classic) || classic_service_shutdown_requested(classic);
}

/* The channel has no place for errors: the answer says it, in brackets. */
static void answer_with_error(server *server, const char *sentence) {
    char text[640];
    int n_bytes = snprintf(text, sizeof text, "[error: %s]", sentence);
    if (n_bytes >= (int)sizeof text) n_bytes = (int)sizeof text - 1;
    log_line(LOG_LEVEL_WARN, "request %u refused: %s", server->n_requests, sentence);
    classic_service_append(server->classic, text, (size_t)n_bytes, 0);
    classic_service_finish(server->classic, 0);
}

static void begin_answer(server *server, const classic_request *request) {
    const host_options *options = server->options;
    server->n_requests++;
    log_guide_line(request->stream ? "Stream Mode: Enabled" : "Stream Mode: Disabled");
    log_guide_line(request->stream ? "Processing with streaming..." : "Processing...");
    if (request->user_prompt[0] == 0) {
        classic_service_finish(server->classic, 0);
        log_line(LOG_LEVEL_INFO, "request %u: an empty prompt, an empty answer", server->n_requests);
        return;
    }
    engine_message messages[2];
    size_t n_messages = 0;
    if (request->system_prompt[0]) messages[n_messages++] = (engine_message){"system", request->system_prompt};
    messages[n_messages++] = (engine_message){"user", request->user_prompt};
    const engine_request engine_request = {
        .messages = messages,
        .n_messages = n_messages,
        .n_predict = options->n_predict,
        .sampling = {.temperature = options->temperature,
                     .min_p = options->min_p,
                     .top_p = options->top_p,
                     .top_k = options->top_k,
                     .seed = options->seed < 0 ? ENGINE_SEED_RANDOM : (uint32_t)options->seed,
                     .ignore_eos = options->ignore_eos},
    };
    if (engine_admit(server->engine, &engine_request) < 0)
        answer_with_error(server, engine_message_text(server->engine));
    else
        server->is_answering = true;
}

static double per_second(int32_t count, uint64_t ns) {
    return ns ? (double)count * 1e9 / (double)ns : 0;
}

static void end_answer(server *server, const engine_progress *progress, const char *reason) {
    server->is_answering = false;
    if (progress->end == ENGINE_END_FAILED) {
        log_line(LOG_LEVEL_ERROR, "request %u: %s", server->n_requests, engine_message_text(server->engine));
    }
    classic_service_finish(server->classic, progress->n_tokens);
    /* The first token comes out of the prompt's evaluation; the others take the time of generating. */
    int32_t n_timed = progress->n_tokens > 1 ? progress->n_tokens - 1 : 0;
    log_line(LOG_LEVEL_INFO, "request %u: prompt %d tokens in %.1f ms (%.1f tokens/s), answer %d tokens in %.1f ms "
                             "(%.1f tokens/s), %s",
             server->n_requests, progress->n_prompt, (double)progress->prompt_ns / 1e6,
             per_second(progress->n_prompt_done, progress->prompt_ns), progress->n_tokens,
             (double)progress->generate_ns / 1e6, per_second(n_timed, progress->generate_ns), reason);
}

static void step(server *server) {
    engine_progress progress;
    if (serve_is_interrupted(server->classic, server->stop)) engine_cancel(server->engine);
    engine_step(server->engine, &progress);
    if (progress.has_token &&
        !classic_service_append(server->classic, progress.text, progress.n_bytes, progress.n_tokens) &&
        progress.end == ENGINE_END_NONE) {
        /* No room for more: end it here. What was published stands; the engine needs one more call to let go. */
        engine_cancel(server->engine);
        engine_step(server->engine, &progress);
        end_answer(server, &progress, "the answer fills the block");
        return;
    }
    if (progress.end != ENGINE_END_NONE) end_answer(server, &progress, engine_end_text(progress.end));
}

host_exit serve(engine *engine, classic_service *classic, const host_options *options, stop_request *stop) {
    server server = {.engine = engine, .classic = classic, .options = options, .stop = stop};
    static classic_request request; /* too large for the stack of a careful program, and there is one at a time */
    for (;;) {
        uint32_t seen = plat_doorbell_seen(&stop->bell);
        if (server.is_answering) {
            step(&server);
            continue;
        }
        /* After an answer that a shutdown request cut short, its flag still stands. */
        if (load(&stop->now) || load(&stop->drain) || classic_service_shutdown_requested(classic)) return HOST_EXIT_OK;
        if (classic_service_take(classic, &request)) {
            if (request.shutdown) return HOST_EXIT_OK;
            begin_answer(&server, &request);
            continue;
        }
        plat_doorbell_wait(&stop->bell, seen, PLAT_NEVER);
    }
}
