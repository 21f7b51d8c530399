/* drafter.cpp - see drafter.h. */
#include "drafter.h"

#include "arguments.hpp"

#include "gguf.h"
#include "speculative.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>

struct drafter {
    common_params params;
    common_speculative_init_result_ptr model; /* NULL: none is needed */
    common_speculative_ptr made;
    std::vector<llama_tokens> texts, drafts; /* of each sequence */
    std::vector<bool> asked;
    int32_t n_vocab = 0;   /* of the model */
    bool has_failed = false, is_told = false;
};

namespace {

const common_speculative_type by_model = COMMON_SPECULATIVE_TYPE_DRAFT_SIMPLE;
constexpr int vocabulary_difference_most = 128; /* tokens; the library's bound */

bool has_type(const common_params_speculative &params, common_speculative_type type) {
    return std::find(params.types.begin(), params.types.end(), type) != params.types.end();
}

/* A draft model that is named without a way to use it drafts by itself. */
common_params_speculative complete(common_params_speculative params) {
    auto &types = params.types;
    types.erase(std::remove(types.begin(), types.end(), COMMON_SPECULATIVE_TYPE_NONE), types.end());
    if (types.empty() && params.has_dft()) types.push_back(by_model);
    return params;
}

std::string unsuitable(const std::string &path, const std::string &reason) {
    return "the draft model '" + path + "' does not suit this model: its vocabulary must be the same (" + reason + ")";
}

/* All that is drafted beside a context of the target's. */
common_params params_beside(const common_params &given, const llama_context_params &context, bool on_devices) {
    common_params params = given;
    params.n_parallel = static_cast<int32_t>(context.n_seq_max);
    params.n_batch = static_cast<int32_t>(context.n_batch);
    params.n_ubatch = static_cast<int32_t>(context.n_ubatch);
    params.cpuparams.n_threads = context.n_threads;
    params.cpuparams_batch.n_threads = context.n_threads_batch;
    params.kv_unified = true;
    params.no_perf = true;
    common_params_speculative_draft &draft = params.speculative.draft;
    if (!on_devices) draft.n_gpu_layers = 0;
    if (draft.n_gpu_layers == 0) draft.devices = {nullptr};
    return params;
}

/* The architecture of a file that holds no model but heads, which read the inner states of the model that they belong to; empty: it is
 * another. The library would load some of them, and end the process when they are evaluated by themselves. */
std::string kind_of_heads(const std::string &path) {
    static const char *const heads_only[] = {"eagle3", "dflash", "gemma4-assistant"};
    gguf_context *file = gguf_init_from_file(path.c_str(), {true, nullptr});
    int64_t key = file ? gguf_find_key(file, "general.architecture") : -1;
    bool is_known = key >= 0 && gguf_get_kv_type(file, key) == GGUF_TYPE_STRING;
    std::string architecture = is_known ? gguf_get_val_str(file, key) : "";
    gguf_free(file);
    bool is_head = std::find(std::begin(heads_only), std::end(heads_only), architecture) != std::end(heads_only);
    return is_head ? architecture : "";
}

void load_model(drafter &drafter, llama_context *context) {
    const std::string &path = drafter.params.speculative.draft.mparams.path;
    const std::string heads = kind_of_heads(path);
    if (!heads.empty())
        throw std::runtime_error("the draft model '" + path + "' holds heads of another model (" + heads + "), which read that model's "
                                 "inner states; they are not supported here: give a draft model that stands by itself, or none");
    common_params params = common_base_params_to_speculative(drafter.params);
    auto *model = const_cast<llama_model *>(llama_get_model(context));
    drafter.model = common_speculative_init_from_params(params, model, context);
    llama_context *own = drafter.model->context();
    if (!own) throw std::runtime_error("the draft model '" + path + "' cannot be loaded");
    if (common_context_can_seq_rm(own) != COMMON_CONTEXT_SEQ_RM_TYPE_PART)
        throw std::runtime_error("the draft model '" + path + "' is of a kind that cannot take tokens back; give another");
    /* The library compares the vocabularies closely, but loses memory where it refuses one: plain differences are seen before. */
    const llama_vocab *ours = llama_model_get_vocab(model), *its = llama_model_get_vocab(llama_get_model(own));
    if (llama_vocab_type(ours) != llama_vocab_type(its) ||
        std::abs(llama_vocab_n_tokens(ours) - llama_vocab_n_tokens(its)) > vocabulary_difference_most)
        throw std::runtime_error(unsuitable(path, std::to_string(llama_vocab_n_tokens(its)) + " tokens instead of " +
                                                      std::to_string(llama_vocab_n_tokens(ours)) + ", or another type"));
    drafter.params.speculative.draft.ctx_tgt = context;
    drafter.params.speculative.draft.ctx_dft = own;
}

void make(drafter &drafter, llama_context *context) {
    uint32_t n_sequences = llama_n_seq_max(context);
    common_params_speculative &speculative = drafter.params.speculative;
    speculative = complete(speculative);
    if (has_type(speculative, by_model) && !speculative.has_dft())
        throw std::invalid_argument("--spec-type draft-simple needs a draft model: --spec-draft-model FILE");
    if (has_type(speculative, by_model)) load_model(drafter, context);
    try {
        drafter.made.reset(common_speculative_init(speculative, n_sequences));
    } catch (const std::exception &error) {
        throw std::runtime_error(unsuitable(speculative.draft.mparams.path, error.what()));
    }
    drafter.n_vocab = llama_vocab_n_tokens(llama_model_get_vocab(llama_get_model(context)));
    drafter.texts.resize(n_sequences);
    drafter.drafts.resize(n_sequences);
    drafter.asked.resize(n_sequences);
}

/* What fails here, whether a device is lost or a token unknown to the draft model, costs drafts and no answer. */
template <typename function> void guarded(drafter &drafter, const function &work) {
    if (drafter.has_failed) return;
    try {
        if (work()) return;
    } catch (const std::exception &) {
    }
    drafter.has_failed = true;
    for (llama_tokens &draft : drafter.drafts) draft.clear();
}

}

int32_t drafter_most(const arguments *arguments) {
    if (!arguments) return 0;
    common_params_speculative params = complete(arguments->params.speculative);
    return common_speculative_n_max(&params);
}

const char *drafter_model(const arguments *arguments) {
    if (!arguments || !has_type(complete(arguments->params.speculative), by_model)) return nullptr;
    const std::string &path = arguments->params.speculative.draft.mparams.path;
    return path.empty() ? nullptr : path.c_str();
}

std::unique_ptr<draft_model> draft_model_beside(const arguments &arguments, const llama_context_params &context, bool on_devices) {
    const char *path = drafter_model(&arguments);
    /* Nothing else may be opened, which could be a pipe: it is refused later. */
    std::error_code error;
    if (!path || !std::filesystem::is_regular_file(path, error) || !kind_of_heads(path).empty()) return nullptr;
    auto made = std::make_unique<draft_model>();
    made->params = common_base_params_to_speculative(params_beside(arguments.params, context, on_devices));
    made->model = common_model_params_to_llama(made->params);
    made->context = common_context_params_to_llama(made->params);
    made->context.n_ctx = context.n_ctx; /* as the library makes it (common_speculative_init_from_params) */
    return made;
}

drafter *drafter_new(arguments *arguments, llama_context *context, const llama_context_params *context_params, bool on_devices,
                     bool (*on_progress)(float progress, void *user_data), void *user_data, char *message, size_t message_size) {
    message[0] = 0;
    try {
        auto made = std::make_unique<drafter>();
        made->params = params_beside(arguments->params, *context_params, on_devices);
        made->params.load_progress_callback = on_progress;
        made->params.load_progress_callback_user_data = user_data;
        make(*made, context);
        return made.release();
    } catch (const std::exception &error) {
        snprintf(message, message_size, "%s", error.what());
        return nullptr;
    }
}

void drafter_free(drafter *drafter) {
    delete drafter;
}

llama_context *drafter_context(const drafter *drafter) {
    return drafter->params.speculative.draft.ctx_dft;
}

int32_t drafter_device_layers(const drafter *drafter) {
    const llama_context *own = drafter_context(drafter);
    int32_t n_layers = drafter->params.speculative.draft.n_gpu_layers;
    if (!own) return 0;
    int32_t n_all = llama_model_n_layer(llama_get_model(own)) + 1;
    return n_layers < 0 || n_layers > n_all ? n_all : n_layers;
}

void drafter_begin(drafter *drafter, int sequence, const llama_token *tokens, int32_t n_tokens) {
    llama_tokens &text = drafter->texts[static_cast<size_t>(sequence)];
    text.assign(tokens, tokens + n_tokens);
    guarded(*drafter, [&] {
        common_speculative_begin(drafter->made.get(), sequence, text);
        return true;
    });
}

bool drafter_follow(drafter *drafter, const llama_batch *batch) {
    guarded(*drafter, [&] { return common_speculative_process(drafter->made.get(), *batch); });
    if (!drafter->has_failed || drafter->is_told) return true;
    drafter->is_told = true;
    return false;
}

void drafter_ask(drafter *drafter, int sequence, const llama_token *tokens, int32_t n_tokens, llama_token last, int32_t n_most) {
    llama_tokens &text = drafter->texts[static_cast<size_t>(sequence)], &draft = drafter->drafts[static_cast<size_t>(sequence)];
    draft.clear();
    if (n_most <= 0 || drafter->has_failed) return;
    /* Older tokens were given up: some kinds rely on a text that grows. */
    if (static_cast<size_t>(n_tokens) < text.size()) drafter_begin(drafter, sequence, tokens, n_tokens);
    text.assign(tokens, tokens + n_tokens);
    drafter->asked[static_cast<size_t>(sequence)] = true;
    common_speculative_get_draft_params(drafter->made.get(), sequence) = {true, n_most, n_tokens, last, &text, &draft};
}

void drafter_work(drafter *drafter) {
    guarded(*drafter, [&] {
        common_speculative_draft(drafter->made.get());
        return true;
    });
    llama_context *own = drafter_context(drafter);
    for (size_t s = 0; s < drafter->asked.size(); s++) {
        auto n_text = static_cast<llama_pos>(drafter->texts[s].size());
        /* It evaluates them again, with what the model evaluates. */
        if (own && drafter->asked[s]) llama_memory_seq_rm(llama_get_memory(own), static_cast<llama_seq_id>(s), n_text, -1);
        drafter->asked[s] = false;
    }
}

int32_t drafter_take(drafter *drafter, int sequence, const llama_token **drafted) {
    const llama_tokens &draft = drafter->drafts[static_cast<size_t>(sequence)];
    /* The vocabularies may differ at their ends. */
    auto end = std::find_if(draft.begin(), draft.end(), [&](llama_token token) { return token < 0 || token >= drafter->n_vocab; });
    *drafted = draft.data();
    return static_cast<int32_t>(end - draft.begin());
}

void drafter_learn(drafter *drafter, int sequence, int32_t n_right) {
    guarded(*drafter, [&] {
        common_speculative_accept(drafter->made.get(), sequence, static_cast<uint16_t>(n_right));
        return true;
    });
}
