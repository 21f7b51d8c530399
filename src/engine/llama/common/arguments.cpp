/* arguments.cpp - see arguments.h. */
#include "arguments.hpp"

#include "backends.h"

#include "fit.h"
#include "log.h"

#include "../../../platform/platform.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <set>
#include <sstream>
#include <stdexcept>

#include <unistd.h>

namespace {

/* Those that mean something here, by one of their names. All others of llama-server's are refused. */
const std::set<std::string> known = {
    "--threads-batch", "--cpu-mask", "--cpu-range", "--cpu-strict", "--prio", "--poll", "--cpu-mask-batch", "--cpu-range-batch",
    "--cpu-strict-batch", "--prio-batch", "--poll-batch", "--flash-attn", "--rope-scaling", "--rope-scale", "--rope-freq-base",
    "--rope-freq-scale", "--yarn-orig-ctx", "--yarn-ext-factor", "--yarn-attn-factor", "--yarn-beta-slow", "--yarn-beta-fast",
    "--kv-offload", "--repack", "--no-host", "--cache-type-k", "--cache-type-v", "--rpc", "--mlock", "--mmap", "--direct-io",
    "--load-mode", "--lazy-mode", "--numa", "--device", "--override-tensor", "--cpu-moe", "--n-cpu-moe", "--n-cpu-ffn", "--gpu-layers",
    "--split-mode", "--tensor-split", "--main-gpu", "--fit", "--fit-target", "--fit-ctx", "--check-tensors", "--override-kv",
    "--op-offload", "--lora", "--lora-scaled", "--spec-type", "--spec-draft-model", "--spec-draft-n-max", "--spec-draft-n-min",
    "--spec-draft-p-min", "--spec-draft-ngl", "--spec-draft-device", "--spec-draft-type-k", "--spec-draft-type-v",
    "--spec-draft-override-tensor", "--spec-draft-cpu-moe", "--spec-draft-n-cpu-moe", "--spec-ngram-mod-n-min", "--spec-ngram-mod-n-max",
    "--spec-ngram-mod-n-match", "--spec-ngram-simple-size-n", "--spec-ngram-simple-size-m", "--spec-ngram-simple-min-hits",
    "--spec-ngram-map-k-size-n", "--spec-ngram-map-k-size-m", "--spec-ngram-map-k-min-hits", "--spec-ngram-map-k4v-size-n",
    "--spec-ngram-map-k4v-size-m", "--spec-ngram-map-k4v-min-hits"};

/* They look at the devices that there are, which only the process may do that uses them. */
const std::set<std::string> about_devices = {"--device", "--override-tensor", "--rpc", "--split-mode", "--tensor-split", "--main-gpu",
                                             "--spec-draft-device", "--spec-draft-override-tensor"};

bool has(const std::vector<const char *> &names, const std::string &name) {
    return std::any_of(names.begin(), names.end(), [&](const char *each) { return name == each; });
}

bool is_among(const common_arg &option, const std::set<std::string> &names) {
    return std::any_of(option.args.begin(), option.args.end(), [&](const char *name) { return names.count(name) > 0; });
}

/* What the library says about a value: mostly a word or two, or the name of a function that found no number. */
std::string reason(const std::exception &error) {
    std::string text = error.what();
    if (text.rfind("sto", 0) == 0) return "expected a number";
    size_t at = text.rfind("error: ", 0) == 0 ? 7 : 0;
    return text.substr(at, text.find('\n', at) - at);
}

/* The library's own reader warns where there is no GPU, also of 0 layers. */
int read_layers(const std::string &value) {
    size_t n_read = 0;
    if (value == "auto") return -1;
    if (value == "all") return -2;
    int n = std::stoi(value, &n_read);
    if (n_read != value.size()) throw std::invalid_argument("expected a number, auto or all");
    return n;
}

/* The heads that belong to a model (MTP, EAGLE-3, ...) read states of it that are not handed on here. */
void check_kinds(const common_params_speculative &params) {
    for (common_speculative_type type : params.types)
        if (type > COMMON_SPECULATIVE_TYPE_DRAFT_SIMPLE && type < COMMON_SPECULATIVE_TYPE_NGRAM_SIMPLE)
            throw std::invalid_argument("expected draft-simple or a kind of ngram; heads of a model (MTP, EAGLE-3, DFlash) are not supported here");
}

constexpr int server_ms = 5000;

/* The library would look for backends in the current folder, too. */
void add_servers(const std::string &addresses) {
    std::stringstream all(addresses);
    for (std::string address; std::getline(all, address, ',');) {
        size_t colon = address.find(':');
        bool is_good = colon != std::string::npos && colon > 0 && colon + 1 < address.size() &&
                       address.find_first_not_of("0123456789", colon + 1) == std::string::npos;
        if (!is_good) throw std::invalid_argument("expected HOST:PORT,...");
        if (!plat_server_answers(address.substr(0, colon).c_str(), address.c_str() + colon + 1, server_ms)) /* or the library ends us */
            throw std::invalid_argument("no server answers at " + address + " (chatbot --rpc-server there, or llama.cpp's own)");
        if (!backends_add_server(address.c_str())) throw std::invalid_argument(address + " lends no device");
    }
}

void apply(common_params &params, const common_arg &option, bool is_positive, const std::string &first, const std::string &second) {
    if (has(option.args, "--gpu-layers")) params.n_gpu_layers = read_layers(first);
    else if (has(option.args, "--spec-draft-ngl")) params.speculative.draft.n_gpu_layers = read_layers(first);
    else if (has(option.args, "--rpc")) add_servers(first);
    else if (option.handler_void) option.handler_void(params);
    else if (option.handler_bool) option.handler_bool(params, is_positive);
    else if (option.handler_int) option.handler_int(params, std::stoi(first));
    else if (option.handler_string) option.handler_string(params, first);
    else if (option.handler_str_str) option.handler_str_str(params, first, second);
    check_kinds(params.speculative);
}

/* Applies it, or keeps it for arguments_know_devices. */
void accept(arguments &arguments, const deferred_option &given) {
    if (!arguments.are_devices_known && is_among(*given.option, about_devices)) arguments.deferred.push_back(given);
    else apply(arguments.params, *given.option, given.is_positive, given.values[0], given.values[1]);
}

int count_values(const common_arg &option) {
    return option.handler_str_str ? 2 : option.handler_int || option.handler_string ? 1 : 0;
}

/* Made when it is first needed: most hosts are started with options of ours alone. The library would load backends for it, if there
 * were none yet, those of the current folder, too. */
const std::vector<common_arg> &options_of(arguments &arguments) {
    if (arguments.options.empty()) {
        common_params defaults;
        backends_load(false);
        backends_load_rpc(); /* the library has no --rpc without */
        arguments.options = common_params_parser_init(defaults, LLAMA_EXAMPLE_SERVER).options;
    }
    return arguments.options;
}

const common_arg *find(arguments &arguments, const std::string &name) {
    for (const common_arg &option : options_of(arguments))
        if (has(option.args, name) || has(option.args_neg, name)) return &option;
    return nullptr;
}

/* "--cache_type_k=q8_0" is the same as "--cache-type-k" "q8_0". */
struct spelling {
    std::string name, value;
    bool has_value = false;
};

spelling read_spelling(const char *word) {
    spelling found = {word, "", false};
    if (strncmp(word, "--", 2) != 0) return found;
    size_t equals = found.name.find('=');
    if (equals != std::string::npos) found = {found.name.substr(0, equals), found.name.substr(equals + 1), true};
    std::replace(found.name.begin(), found.name.end(), '_', '-');
    return found;
}

std::string complaint_about(const deferred_option &given, const std::exception &error) {
    return given.said + " is '" + given.values[0] + "': " + reason(error);
}

int take(arguments &arguments, int n_words, char *const words[], std::string &complaint) {
    spelling given = read_spelling(words[0]);
    const common_arg *option = find(arguments, given.name);
    if (!option && given.name == "--rpc") complaint = "--rpc needs the RPC backend, which 'make rpc' builds: docs/gpu.md";
    if (!option) return complaint.empty() ? 0 : -1;
    if (!is_among(*option, known)) {
        complaint = given.name + " is an option of llama-server that has no meaning here: see chatbot --help-all";
        return -1;
    }
    int n_values = count_values(*option), n_here = given.has_value ? 1 : 0;
    deferred_option taken = {given.name, option, has(option->args, given.name), {given.value, ""}};
    if (n_here > n_values || n_words - 1 < n_values - n_here) {
        complaint = given.name + (n_here > n_values ? " takes no value" : std::string(" needs a value (") +
                                  (option->value_hint ? option->value_hint : "") + ")") + ": see chatbot --help-all";
        return -1;
    }
    for (int i = n_here; i < n_values; i++) taken.values[i] = words[1 + i - n_here];
    try {
        accept(arguments, taken);
    } catch (const std::exception &error) {
        complaint = complaint_about(taken, error);
        return -1;
    }
    return 1 + n_values - n_here;
}

/* All of the known ones have names that begin so. */
bool is_environment_empty() {
    for (char **each = environ; *each; each++)
        if (strncmp(*each, "LLAMA_ARG_", 10) == 0) return false;
    return true;
}

bool take_environment(arguments &arguments, std::string &complaint) {
    if (is_environment_empty()) return true;
    for (const common_arg &option : options_of(arguments)) {
        std::string value;
        if (!is_among(option, known) || !option.get_value_from_env(value)) continue;
        try {
            bool is_on = common_arg_utils::is_truthy(value);
            if (option.handler_bool && !is_on && !common_arg_utils::is_falsey(value)) throw std::invalid_argument("expected on or off");
            if (!option.handler_void || is_on) accept(arguments, {"the environment's " + std::string(option.env), &option, is_on, {value, ""}});
        } catch (const std::exception &error) {
            complaint = complaint_about({"the environment's " + std::string(option.env), &option, true, {value, ""}}, error);
            return false;
        }
    }
    return true;
}

/* Lists get the ends that libllama wants, with room for what is fitted. */
void complete(arguments &arguments) {
    common_params &params = arguments.params;
    if (!params.kv_overrides.empty() && params.kv_overrides.back().key[0] != 0) {
        params.kv_overrides.emplace_back();
        params.kv_overrides.back().key[0] = 0;
    }
    if (params.tensor_buft_overrides.empty() || params.tensor_buft_overrides.back().pattern)
        params.tensor_buft_overrides.resize(params.tensor_buft_overrides.size() + llama_max_tensor_buft_overrides(), {nullptr, nullptr});
    auto &of_draft = params.speculative.draft.tensor_buft_overrides;
    if (!of_draft.empty() && of_draft.back().pattern) of_draft.push_back({nullptr, nullptr});
}

common_device_memory_data_vec measure_as_it_is(const char *model_path, const llama_model_params *model, const llama_context_params *context,
                                               std::vector<ggml_backend_dev_t> &devices) {
    uint32_t n_layers, n_trained, n_experts;
    devices.clear();
    return common_get_device_memory_data(model_path, model, context, devices, n_layers, n_trained, n_experts, GGML_LOG_LEVEL_ERROR);
}

/* What a model and its context need on each device, and last on the processor. The library allocates and fills some 48 bytes for
 * each token also when it only measures. What more tokens than these need follows from two smaller contexts: what grows, grows evenly. */
constexpr uint32_t MEASURED_TOKENS_MOST = 1 << 20;

common_device_memory_data_vec measure(const char *model_path, const llama_model_params *model, const llama_context_params *context,
                                      std::vector<ggml_backend_dev_t> &devices) {
    if (context->n_ctx <= MEASURED_TOKENS_MOST) return measure_as_it_is(model_path, model, context, devices);
    llama_context_params smaller = *context;
    smaller.n_ctx = MEASURED_TOKENS_MOST / 2;
    auto half = measure_as_it_is(model_path, model, &smaller, devices);
    smaller.n_ctx = MEASURED_TOKENS_MOST;
    auto needs = measure_as_it_is(model_path, model, &smaller, devices);
    double further = static_cast<double>(context->n_ctx - MEASURED_TOKENS_MOST) / (MEASURED_TOKENS_MOST / 2);
    auto grown = [further](size_t from, size_t to) { return to > from ? to + static_cast<size_t>(further * static_cast<double>(to - from)) : to; };
    for (size_t i = 0; i < needs.size() && i < half.size(); i++) {
        needs[i].context = grown(half[i].context, needs[i].context);
        needs[i].compute = grown(half[i].compute, needs[i].compute);
    }
    return needs;
}

/* What the draft model needs on these, and last on the processor, whose weights stay in their file, as the target's, unless the
 * user wants them in memory. Where it cannot be measured, nothing: it cannot be loaded either, and that is then said. */
void add_draft(const arguments &arguments, const llama_context_params &context, bool on_devices,
               const std::vector<ggml_backend_dev_t> &devices, std::vector<size_t> &needs) {
    std::vector<ggml_backend_dev_t> its_devices;
    common_device_memory_data_vec its_needs;
    auto draft = draft_model_beside(arguments, context, on_devices);
    if (!draft) return;
    try {
        its_needs = measure(draft->params.model.path.c_str(), &draft->model, &draft->context, its_devices);
    } catch (const std::exception &) {
        return;
    }
    llama_load_mode mode = draft->model.load_mode;
    bool is_mapped = mode == LLAMA_LOAD_MODE_AUTO || mode == LLAMA_LOAD_MODE_MMAP;
    needs.back() += its_needs.back().context + its_needs.back().compute + (is_mapped ? 0 : its_needs.back().model);
    for (size_t i = 0; i < its_devices.size(); i++) {
        auto place = static_cast<size_t>(std::find(devices.begin(), devices.end(), its_devices[i]) - devices.begin());
        if (place < devices.size()) needs[place] += its_needs[i].model + its_needs[i].context + its_needs[i].compute;
    }
}

}

arguments *arguments_new(void) {
    /* A library is silent: both would write to standard error. Who opens an engine listens. */
    llama_log_set([](ggml_log_level, const char *, void *) {}, nullptr);
    common_log_set_verbosity_thold(-1);
    try {
        auto made = std::make_unique<arguments>();
        made->params.swa_full = true; /* what a sequence has in its window can then be given back token by token */
        return made.release();
    } catch (const std::exception &) {
        return nullptr;
    }
}

void arguments_free(arguments *arguments) {
    delete arguments;
}

bool arguments_environment(arguments *arguments, char *message, size_t message_size) {
    try {
        std::string complaint;
        if (take_environment(*arguments, complaint)) return true;
        snprintf(message, message_size, "%s", complaint.c_str());
    } catch (const std::exception &error) {
        snprintf(message, message_size, "llama.cpp's options cannot be read: %s", error.what());
    }
    return false;
}

int arguments_take(arguments *arguments, int n_words, char *const words[], char *message, size_t message_size) {
    try {
        std::string complaint;
        int n = take(*arguments, n_words, words, complaint);
        if (n < 0) snprintf(message, message_size, "%s", complaint.c_str());
        return n;
    } catch (const std::exception &error) {
        snprintf(message, message_size, "llama.cpp's options cannot be read: %s", error.what());
        return -1;
    }
}

bool arguments_want_devices(const arguments *arguments) {
    return arguments && (arguments->params.n_gpu_layers != -1 || !arguments->deferred.empty() || arguments->are_devices_known);
}

bool arguments_know_devices(arguments *arguments, char *message, size_t message_size) {
    if (!arguments) return true;
    arguments->are_devices_known = true;
    std::vector<deferred_option> deferred;
    deferred.swap(arguments->deferred);
    for (const deferred_option &given : deferred) {
        try {
            accept(*arguments, given);
        } catch (const std::exception &error) {
            snprintf(message, message_size, "%s", complaint_about(given, error).c_str());
            return false;
        }
    }
    return true;
}

void arguments_print_help(FILE *file) {
    arguments *arguments = arguments_new();
    if (!arguments) return;
    for (const common_arg &option : options_of(*arguments))
        if (is_among(option, known)) fputs(option.to_string().c_str(), file);
    delete arguments;
}

llama_model_params arguments_model(arguments *arguments) {
    if (!arguments) return llama_model_default_params();
    complete(*arguments);
    if (arguments->is_fitted) {
        std::copy(arguments->given_split.begin(), arguments->given_split.end(), arguments->params.tensor_split);
        arguments->params.tensor_buft_overrides = arguments->given_overrides;
    }
    return common_model_params_to_llama(arguments->params);
}

llama_context_params arguments_context(arguments *arguments) {
    return arguments ? common_context_params_to_llama(arguments->params) : llama_context_default_params();
}

ggml_numa_strategy arguments_numa(const arguments *arguments) {
    return arguments ? arguments->params.numa : GGML_NUMA_STRATEGY_DISABLED;
}

bool arguments_threads(const arguments *arguments, int n_threads, bool is_for_prompts, ggml_threadpool_params *params) {
    common_cpu_params given = arguments ? is_for_prompts ? arguments->params.cpuparams_batch : arguments->params.cpuparams
                                        : common_cpu_params();
    bool is_the_same = is_for_prompts && given.n_threads < 0 && !given.mask_valid;
    if (!is_for_prompts || given.n_threads < 0) given.n_threads = n_threads;
    *params = ggml_threadpool_params_from_cpu_params(given);
    return !is_the_same;
}

const char *arguments_adapter(const arguments *arguments, size_t n, float *scale) {
    if (!arguments || n >= arguments->params.lora_adapters.size()) return nullptr;
    *scale = arguments->params.lora_adapters[n].scale;
    return arguments->params.lora_adapters[n].path.c_str();
}

void arguments_fit_layers(arguments *arguments, const char *model_path, llama_model_params *model, llama_context_params *context,
                          bool has_draft_model) {
    if (!arguments || !arguments->params.fit_params) return;
    common_params &params = arguments->params;
    if (!arguments->is_fitted) {
        arguments->given_split.assign(std::begin(params.tensor_split), std::end(params.tensor_split));
        arguments->given_overrides = params.tensor_buft_overrides;
        arguments->is_fitted = true;
    }
    auto draft = has_draft_model ? draft_model_beside(*arguments, *context, true) : nullptr;
    common_fit_extra_model beside = {nullptr, nullptr, nullptr, false};
    if (draft) beside = {draft->params.model.path.c_str(), &draft->model, &draft->context, false};
    common_fit_params(model_path, model, context, params.tensor_split, params.tensor_buft_overrides.data(), params.fit_params_target.data(),
                      static_cast<uint32_t>(params.fit_params_min_ctx), draft ? &beside : nullptr, GGML_LOG_LEVEL_ERROR);
}

bool arguments_have_room(const arguments *arguments, const char *model_path, const llama_model_params *model, const llama_context_params *context,
                         draft_place draft, uint64_t available, char *message, size_t message_size) {
    try {
        std::vector<ggml_backend_dev_t> devices;
        auto needs = measure(model_path, model, context, devices);
        std::vector<size_t> of_draft(needs.size());
        if (draft != DRAFT_NONE) add_draft(*arguments, *context, draft == DRAFT_ON_DEVICES, devices, of_draft);
        for (size_t i = 0; i < needs.size(); i++) { /* the last is the processor */
            bool is_device = i < devices.size();
            double n_needed = static_cast<double>(needs[i].context + needs[i].compute + of_draft[i]);
            double n_free = is_device ? static_cast<double>(needs[i].free) : static_cast<double>(available);
            if (n_needed <= n_free || n_free <= 0) continue;
            std::string also = of_draft[i] ? string_format(", %.1f for the draft model", static_cast<double>(of_draft[i]) / 1e9) : "";
            snprintf(message, message_size, "%.1f GB of memory of %s are needed beside the weights (%.1f for the cache, %.1f to "
                     "compute with%s), %.1f GB are available", n_needed / 1e9, is_device ? ggml_backend_dev_name(devices[i]) : "the machine",
                     static_cast<double>(needs[i].context) / 1e9, static_cast<double>(needs[i].compute) / 1e9, also.c_str(), n_free / 1e9);
            return false;
        }
    } catch (const std::exception &) {
    }
    return true;
}

void arguments_describe_devices(const char *model_path, const llama_model_params *model, const llama_context_params *context,
                                char *text, size_t size) {
    text[0] = 0;
    try {
        std::vector<ggml_backend_dev_t> devices;
        auto needs = measure(model_path, model, context, devices);
        for (size_t i = 0; i < devices.size(); i++) {
            size_t n = strlen(text);
            snprintf(text + n, size - n, "%s%s (%s): %.2f GB of weights, %.2f GB of cache, %.2f GB to compute with", n > 0 ? "; " : "",
                     ggml_backend_dev_name(devices[i]), ggml_backend_dev_description(devices[i]),
                     static_cast<double>(needs[i].model) / 1e9, static_cast<double>(needs[i].context) / 1e9,
                     static_cast<double>(needs[i].compute) / 1e9);
        }
    } catch (const std::exception &) {
    }
}
