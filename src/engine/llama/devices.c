/* devices.c - layers that lie elsewhere than with the processor: on graphics cards, or other computers.
 *
 * A driver may fail at any time: the card is reset, the machine slept, its memory is full. What the driver reports, the owner of the
 * engine hears; of what kills this process, its supervisor knows by on_device_layers whether layers lay there.
 */
#include "internal.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* Where the library's last words go: those of whoever opened a model last. Without this they would be a backtrace by
 * whatever debugger is installed, over pages of the log. */
static engine_callbacks last_words;

/* Whether it holds layers: other libraries for the processor count as devices, too. */
static bool has_device(ggml_backend_reg_t part) {
    if (ggml_backend_reg_dev_count(part) == 0) return false;
    enum ggml_backend_dev_type type = ggml_backend_dev_type(ggml_backend_reg_dev_get(part, 0));
    return type == GGML_BACKEND_DEVICE_TYPE_GPU || type == GGML_BACKEND_DEVICE_TYPE_IGPU;
}

/* Whether a source file of a backend for devices stands in the words. Those for AMD's and Moore Threads' cards are made of CUDA's,
 * and each remote server is a part of its own, "RPC[address]". */
static bool is_of_device(const char *message) {
    for (size_t i = 0; i < ggml_backend_reg_count(); i++) {
        char name[64];
        ggml_backend_reg_t part = ggml_backend_reg_get(i);
        const char *said = ggml_backend_reg_name(part);
        if (strcmp(said, "ROCm") == 0 || strcmp(said, "MUSA") == 0) said = "CUDA";
        snprintf(name, sizeof name, "ggml-%.*s", (int)strcspn(said, "["), said);
        for (char *c = name; *c; c++) *c = (char)tolower((unsigned char)*c);
        if (has_device(part) && strstr(message, name)) return true;
    }
    return false;
}

static void on_abort(const char *message) {
    if (last_words.on_log) last_words.on_log(last_words.user_data, 0, message);
    if (last_words.on_device_failure && is_of_device(message)) last_words.on_device_failure(last_words.user_data, message);
}

static void tell(const struct llama_engine *engine, int32_t n_layers) {
    const engine_callbacks *callbacks = &engine->options.callbacks;
    if (callbacks->on_device_layers) callbacks->on_device_layers(callbacks->user_data, n_layers);
}

void devices_report_failure(const struct llama_engine *engine, const char *reason) {
    const engine_callbacks *callbacks = &engine->options.callbacks;
    if (callbacks->on_device_failure) callbacks->on_device_failure(callbacks->user_data, reason);
}

/* The options about devices, now that these are known. Errors: OPTION. */
static int read_options(struct llama_engine *engine) {
    char complaint[ENGINE_MESSAGE_SIZE / 2], line[ENGINE_MESSAGE_SIZE];
    if (arguments_know_devices(engine->options.arguments, complaint, sizeof complaint)) return ENGINE_OK;
    if (!engine->options.may_lack_devices) {
        llama_say(engine, "%s", complaint);
        return ENGINE_E_OPTION;
    }
    snprintf(line, sizeof line, "a device is gone (%s): all layers stay with the processor", complaint);
    llama_log(engine, 1, line);
    engine->has_devices = false;
    return ENGINE_OK;
}

/* Which of its parts for this kind of processor runs here, the library finds out when it loads them. */
int devices_open(struct llama_engine *engine) {
    bool with_devices = engine->options.device_layers_most != 0;
    bool is_check = !engine->options.callbacks.on_device_failure && last_words.on_device_failure; /* beside an engine */
    if (!is_check) last_words = engine->options.callbacks;
    ggml_set_abort_callback(on_abort);
    tell(engine, with_devices ? -1 : 0);
    bool has_processor = backends_load(with_devices);
    llama_backend_init();
    llama_numa_init(arguments_numa(engine->options.arguments));
    engine->has_devices = with_devices;
    int error = with_devices ? read_options(engine) : ENGINE_OK;
    if (error < 0) return error;
    engine->has_devices = engine->has_devices && backends_have_devices();
    if (has_processor) return ENGINE_OK;
    llama_say(engine, "libllama has no part that runs on this processor: the libraries libggml-cpu*.so must lie beside it, "
                      "and one of them must be for a processor like this one; build or install the library anew");
    return ENGINE_E_LIBRARY;
}

/* Before anything is known of the model: as many as fit beside the largest context that it may get. */
static void fit_layers(struct llama_engine *engine) {
    const llama_engine_options *options = &engine->options;
    uint32_t n_sequences = options->n_sequences > 0 ? (uint32_t)options->n_sequences : ENGINE_SEQUENCES_DEFAULT;
    uint32_t n_ctx = options->n_ctx ? options->n_ctx : options->n_ctx_limit;
    struct llama_context_params context = model_context_params(engine, n_ctx, n_sequences);
    arguments_fit_layers(options->arguments, engine->model_file, &engine->model_params, &context, !options->is_repeatable);
}

/* Without layers there, the library would still let a device compute now and then. */
static void use_none(struct llama_model_params *params) {
    static ggml_backend_dev_t none[] = {NULL};
    params->n_gpu_layers = 0;
    params->devices = none;
}

void devices_choose_layers(struct llama_engine *engine) {
    struct llama_model_params *params = &engine->model_params;
    int32_t most = engine->options.device_layers_most;
    *params = arguments_model(engine->options.arguments);
    if (engine->has_devices) fit_layers(engine);
    if (most > 0 && (params->n_gpu_layers < 0 || params->n_gpu_layers > most)) params->n_gpu_layers = most;
    if (!engine->has_devices || params->n_gpu_layers == 0) use_none(params);
    tell(engine, engine->has_devices ? params->n_gpu_layers : 0);
}

bool devices_give_up(struct llama_engine *engine) {
    char line[ENGINE_MESSAGE_SIZE];
    if (!engine->has_devices || engine->model_params.n_gpu_layers == 0 || engine_is_interrupted(&engine->options.callbacks)) return false;
    snprintf(line, sizeof line, "the model cannot be loaded with layers on devices: %.300s; it is tried without. If it is their memory, "
             "fewer layers (-ngl N) may fit", llama_reason(engine));
    llama_log(engine, 1, line);
    engine->library_error[0] = 0;
    use_none(&engine->model_params);
    tell(engine, 0);
    return true;
}

void devices_count_draft(const struct llama_engine *engine) {
    if (engine->has_devices) tell(engine, devices_count_layers(engine) + drafter_device_layers(engine->drafter));
}

int32_t devices_count_layers(const struct llama_engine *engine) {
    const struct llama_model_params *params = &engine->model_params;
    int32_t n_all = llama_model_n_layer(engine->model) + 1; /* and the output's */
    bool has_any = engine->has_devices && !(params->devices && !params->devices[0]);
    if (!has_any) return 0;
    return params->n_gpu_layers < 0 || params->n_gpu_layers > n_all ? n_all : params->n_gpu_layers;
}

void devices_fill_in_facts(struct llama_engine *engine, const struct llama_context_params *context) {
    engine_model_facts *facts = &engine->base.facts;
    facts->n_layers = llama_model_n_layer(engine->model) + 1;
    facts->n_device_layers = devices_count_layers(engine);
    tell(engine, facts->n_device_layers);
    if (facts->n_device_layers > 0)
        arguments_describe_devices(engine->model_file, &engine->model_params, context, facts->devices, sizeof facts->devices);
    else if (engine->has_devices)
        snprintf(facts->devices, sizeof facts->devices, "no layers were put on a device");
    else if (engine->options.device_layers_most != 0)
        backends_explain(facts->devices, sizeof facts->devices);
}
