/* engine.c - what does not depend on the kind of engine: words, and what an engine refuses. */
#include "engine.h"

#include <stdio.h>

const char *engine_end_text(engine_end end) {
    switch (end) {
    case ENGINE_END_NONE: return "running";
    case ENGINE_END_TURN: return "end of turn";
    case ENGINE_END_LIMIT: return "token limit";
    case ENGINE_END_CONTEXT: return "context full";
    case ENGINE_END_CANCELLED: return "cancelled";
    case ENGINE_END_FAILED: return "failed";
    case ENGINE_END_REFUSED: return "refused";
    }
    return "unknown";
}

int engine_check_resumed(engine *engine, const engine_request *request, int32_t n_prompt, bool can_shift) {
    size_t n_resumed = request->n_resumed, n_ctx = engine->facts.n_ctx > 0 ? engine->facts.n_ctx : INT32_MAX;
    if (request->n_predict >= 0 && n_resumed > (size_t)request->n_predict) {
        snprintf(engine->message, sizeof engine->message,
                 "the answer already has %zu tokens, but at most %d were asked for; ask for more, or resume fewer",
                 n_resumed, request->n_predict);
        return ENGINE_E_RESUMED;
    }
    if (!can_shift && n_resumed > n_ctx - (size_t)n_prompt) {
        snprintf(engine->message, sizeof engine->message,
                 "the prompt of %d tokens and the %zu that the answer already has are more than the context of %zu; start "
                 "the host with a larger -c N",
                 n_prompt, n_resumed, n_ctx);
        return ENGINE_E_RESUMED;
    }
    return ENGINE_OK;
}

/* ---- saved states -------------------------------------------------------------------------------------------------- */

static int refuse_state(engine *engine) {
    snprintf(engine->message, sizeof engine->message, "this host has no model of its own, and remembers no conversation");
    return ENGINE_E_STATE;
}

int engine_save_state(engine *engine, const engine_request *request, const char *path, char **json) {
    *json = NULL;
    if (!engine->operations->save_state) return refuse_state(engine);
    return engine->operations->save_state(engine, request, path, json);
}

int engine_restore_state(engine *engine, const char *path, char **json) {
    *json = NULL;
    if (!engine->operations->restore_state) return refuse_state(engine);
    return engine->operations->restore_state(engine, path, json);
}
