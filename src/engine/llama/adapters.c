/* adapters.c - LoRA adapters: loaded with the model, and how strongly each counts for an answer.
 *
 * A context has one set of scales at a time, so answers with others cannot be in the same batch. All sets that are asked for take
 * turns, one in each step, and what was evaluated under one is of no use to another (cells.h).
 */
#include "internal.h"

#include "../../text/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int load(struct llama_engine *engine, const char *path, struct llama_adapter_lora **adapter) {
    int error = engine_check_file(path, engine->base.message, sizeof engine->base.message);
    if (error < 0) return error;
    *adapter = llama_adapter_lora_init(engine->model, path); /* the model frees it */
    if (*adapter && llama_adapter_get_alora_n_invocation_tokens(*adapter) == 0) return ENGINE_OK;
    llama_say(engine, "the adapter '%s' cannot be used with this model: %s", path,
              *adapter ? "it counts from certain tokens of a prompt on (aLoRA), which is not supported here" : llama_reason(engine));
    return ENGINE_E_MODEL_BAD;
}

int adapters_load(struct llama_engine *engine) {
    const char *path;
    float scale;
    for (; (path = arguments_adapter(engine->options.arguments, engine->n_adapters, &scale)); engine->n_adapters++) {
        if (engine->n_adapters == ADAPTERS_MOST) {
            llama_say(engine, "there are more than %d adapters; leave out '%s'", ADAPTERS_MOST, path);
            return ENGINE_E_OPTION;
        }
        int error = load(engine, path, &engine->adapters[engine->n_adapters]);
        if (error < 0) return error;
        engine->start_scales.of[engine->n_adapters] = scale + 0.0f; /* as in set_scale */
    }
    adapters_use(engine, &engine->start_scales);
    return ENGINE_OK;
}

/* ---- what a request says ------------------------------------------------------------------------------------------- */

static int refuse_form(struct llama_engine *engine) {
    llama_say(engine, "lora: expected ID:SCALE, comma-separated, or a list such as [{\"id\":0,\"scale\":0.5}]");
    return ENGINE_E_PARAMETER;
}

static int set_scale(struct llama_engine *engine, double id, double scale, adapter_scales *scales) {
    if (!isfinite((float)scale)) return refuse_form(engine);
    if (id >= 0 && id < (double)engine->n_adapters && id == floor(id)) {
        scales->of[(size_t)id] = (float)scale + 0.0f; /* which makes one zero of two */
        return ENGINE_OK;
    }
    if (engine->n_adapters == 0)
        llama_say(engine, "lora: there is no adapter %g: the host has loaded none; start it with --lora FILE", id);
    else
        llama_say(engine, "lora: there is no adapter %g: the host has loaded %zu, numbered from 0 on", id, engine->n_adapters);
    return ENGINE_E_PARAMETER;
}

static double number(json_slice value) {
    return json_kind(value) == '0' ? strtod(value.at, NULL) : (double)NAN;
}

static int read_list(struct llama_engine *engine, json_slice list, adapter_scales *scales) {
    for (json_slice each = {NULL, 0}; (each = json_next(list, each)).at;) {
        double id = number(json_member(each, "id")), scale = number(json_member(each, "scale"));
        int error = isnan(id) ? refuse_form(engine) : set_scale(engine, id, scale, scales);
        if (error < 0) return error;
    }
    return ENGINE_OK;
}

static int read_pairs(struct llama_engine *engine, const char *text, adapter_scales *scales) {
    for (char *end; *text; text = *end ? end + 1 : end) {
        double id = strtod(text, &end), scale;
        if (end == text || *end != ':') return refuse_form(engine);
        const char *behind = end + 1;
        scale = strtod(behind, &end);
        if (end == behind || (*end && *end != ',')) return refuse_form(engine);
        int error = set_scale(engine, id, scale, scales);
        if (error < 0) return error;
    }
    return ENGINE_OK;
}

int adapters_read(struct llama_engine *engine, const char *text, adapter_scales *scales) {
    json_slice list;
    *scales = engine->start_scales;
    if (!text) return ENGINE_OK;
    *scales = (adapter_scales){{0}};
    if (text[strspn(text, " \t\r\n")] != '[') return read_pairs(engine, text, scales);
    return json_check(text, strlen(text), &list, NULL) ? read_list(engine, list, scales) : refuse_form(engine);
}

/* ---- turns --------------------------------------------------------------------------------------------------------- */

void adapters_use(struct llama_engine *engine, const adapter_scales *scales) {
    if (scales_are_equal(&engine->scales, scales)) return;
    engine->scales = *scales;
    llama_set_adapters_lora(engine->context, engine->adapters, engine->n_adapters, engine->scales.of);
}

bool adapters_fit(const struct llama_engine *engine, const struct sequence *sequence) {
    return scales_are_equal(&engine->scales, &sequence->scales);
}

/* The next sequence, behind the one that decided last, that has other scales: nobody's are passed over twice. */
void adapters_take_turns(struct llama_engine *engine) {
    int n = engine->base.facts.n_sequences;
    for (int i = 1; i <= n; i++) {
        int s = (engine->turn + i) % n;
        const struct sequence *sequence = &engine->sequences[s];
        if (!sequence->is_running || sequence->preparing || adapters_fit(engine, sequence)) continue;
        engine->turn = s;
        adapters_use(engine, &sequence->scales);
        return;
    }
}
