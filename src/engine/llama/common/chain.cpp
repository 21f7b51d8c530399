/* chain.cpp - see chain.h. */
#include "chain.h"

#include "common.h"
#include "json.h"
#include "sampling.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <stdexcept>

struct chain {
    common_sampler_ptr made; /* owns the samplers */
    std::vector<llama_sampler *> samplers;
    std::vector<llama_logit_bias> biases; /* -INFINITY: never */
    std::vector<llama_token_data> candidates;
    double xtc_probability;
    bool has_memory; /* the last sampler chooses */
};

namespace {

constexpr float xtc_threshold_max = 0.5f; /* two tokens cannot both be likelier */
constexpr int n_nested_max = 2;

[[noreturn]] void refuse(const std::string &what) {
    throw std::invalid_argument(what);
}

/* ---- texts ---- */

common_json read_list(const char *name, const char *text) {
    int depth = 0; /* whoever reads JSON follows it by recursion */
    for (const char *at = text; *at; at++) {
        if ((*at == '[' || *at == '{') && ++depth > n_nested_max) refuse(std::string(name) + " is nested too deep");
        if (*at == ']' || *at == '}') depth--;
    }
    return common_json::parse(text);
}

std::vector<common_sampler_type> read_order(const char *text) {
    std::vector<common_sampler_type> order;
    for (const std::string &name : string_split<std::string>(text, ';')) {
        std::vector<common_sampler_type> found = common_sampler_types_from_names({name});
        if (found.empty() || found[0] == COMMON_SAMPLER_TYPE_INFILL)
            refuse("samplers: there is none called '" + name + "'; penalties, dry, top_n_sigma, top_k, typ_p, top_p, min_p, xtc, "
                   "temperature and adaptive_p are known, with semicolons between them");
        order.push_back(found[0]);
    }
    return order;
}

std::vector<std::string> read_breakers(const char *text) {
    std::vector<std::string> breakers;
    if (text[0] != '[') {
        if (strcmp(text, "none") != 0) breakers.push_back(text);
        return breakers;
    }
    common_json list = read_list("dry_sequence_breakers", text);
    for (size_t i = 0; i < list.size(); i++) {
        if (!list.at(i).is_string()) refuse("dry_sequence_breakers: number " + std::to_string(i) + " is not a text");
        breakers.push_back(list.at(i).get<std::string>());
    }
    return breakers;
}

void add_bias(const llama_vocab *vocab, double token, float bias, std::vector<llama_logit_bias> &biases) {
    if (!(token >= 0 && token < llama_vocab_n_tokens(vocab)) || token != std::floor(token) || std::isnan(bias))
        refuse("logit_bias: " + std::to_string(token) + " is no token of the model, or its bias no number");
    biases.push_back({static_cast<llama_token>(token), bias});
}

/* Of [token or text, bias or false]. */
void read_pair(const llama_vocab *vocab, const common_json &pair, std::vector<llama_logit_bias> &biases) {
    if (!pair.is_array() || pair.size() != 2 || !(pair.at(0).is_number() || pair.at(0).is_string()) ||
        !(pair.at(1).is_number() || pair.at(1).is_boolean()))
        refuse("logit_bias: expected a list of [token or text, bias or false]");
    float bias = pair.at(1).is_number() ? static_cast<float>(pair.at(1).get<double>()) : pair.at(1).get<bool>() ? 0 : -INFINITY;
    if (pair.at(0).is_number()) return add_bias(vocab, pair.at(0).get<double>(), bias, biases);
    for (llama_token token : common_tokenize(vocab, pair.at(0).get<std::string>(), false)) add_bias(vocab, token, bias, biases);
}

void read_biases(const llama_vocab *vocab, const char *text, std::vector<llama_logit_bias> &biases) {
    if (text[0] == '[') {
        common_json list = read_list("logit_bias", text);
        for (size_t i = 0; i < list.size(); i++) read_pair(vocab, list.at(i), biases);
        return;
    }
    while (*text) {
        char *sign, *end = nullptr;
        long token = strtol(text, &sign, 10);
        float bias = *sign == '+' || *sign == '-' ? strtof(sign, &end) : 0;
        if (!end || end == sign || (*end && *end != ',')) refuse(std::string("logit_bias: expected TOKEN+BIAS or TOKEN-BIAS: ") + text);
        add_bias(vocab, static_cast<double>(token), bias, biases);
        text = *end ? end + 1 : end;
    }
}

/* ---- making ---- */

int32_t window(int32_t n_wanted, uint32_t n_ctx) {
    return n_wanted < 0 || static_cast<uint32_t>(n_wanted) > n_ctx ? static_cast<int32_t>(n_ctx) : n_wanted;
}

common_params_sampling params_of(const engine_sampling &sampling, uint32_t n_ctx) {
    common_params_sampling params;
    params.seed = sampling.seed == LLAMA_DEFAULT_SEED ? 0 : sampling.seed; /* which would be a random one */
    params.no_perf = true;
    params.top_k = sampling.top_k;
    params.top_p = sampling.top_p;
    params.min_p = sampling.min_p;
    params.xtc_probability = sampling.xtc_probability > 0 ? 1 : 0; /* how often, is decided here */
    params.xtc_threshold = sampling.xtc_threshold;
    params.typ_p = sampling.typical_p;
    params.temp = sampling.temperature;
    params.dynatemp_range = sampling.dynatemp_range;
    params.dynatemp_exponent = sampling.dynatemp_exponent;
    params.penalty_last_n = window(sampling.repeat_last_n, n_ctx);
    params.penalty_repeat = sampling.repeat_penalty;
    params.penalty_freq = sampling.frequency_penalty;
    params.penalty_present = sampling.presence_penalty;
    params.dry_multiplier = sampling.dry_multiplier;
    params.dry_base = sampling.dry_base;
    params.dry_allowed_length = sampling.dry_allowed_length;
    params.dry_penalty_last_n = window(sampling.dry_penalty_last_n, n_ctx);
    params.adaptive_target = sampling.adaptive_target;
    params.adaptive_decay = sampling.adaptive_decay;
    params.mirostat = sampling.mirostat;
    params.top_n_sigma = sampling.top_n_sigma;
    params.mirostat_tau = sampling.mirostat_tau;
    params.mirostat_eta = sampling.mirostat_eta;
    if (sampling.dry_sequence_breakers) params.dry_sequence_breakers = read_breakers(sampling.dry_sequence_breakers);
    if (sampling.samplers) params.samplers = read_order(sampling.samplers);
    auto &order = params.samplers;
    order.erase(std::remove(order.begin(), order.end(), COMMON_SAMPLER_TYPE_ADAPTIVE_P), order.end());
    if (sampling.adaptive_target >= 0) order.push_back(COMMON_SAMPLER_TYPE_ADAPTIVE_P);
    return params;
}

void forbid(const llama_vocab *vocab, bool ignores_eos, std::vector<llama_logit_bias> &biases) {
    int32_t n_suppressed = 0, n_vocab = llama_vocab_n_tokens(vocab);
    const llama_token *suppressed = llama_vocab_get_suppress_tokens(vocab, &n_suppressed);
    for (int32_t i = 0; i < n_suppressed; i++) biases.push_back({suppressed[i], -INFINITY});
    for (llama_token token = 0; ignores_eos && token < n_vocab; token++)
        if (llama_vocab_is_eog(vocab, token)) biases.push_back({token, -INFINITY});
}

std::unique_ptr<chain> make(const llama_model *model, const engine_sampling &sampling, uint32_t n_ctx) {
    const llama_vocab *vocab = llama_model_get_vocab(model);
    common_params_sampling params = params_of(sampling, n_ctx);
    auto made = std::make_unique<chain>();
    made->made.reset(common_sampler_init(model, params));
    made->xtc_probability = sampling.xtc_probability;
    made->has_memory = sampling.mirostat > 0 || sampling.adaptive_target >= 0;
    llama_sampler *all = common_sampler_get(made->made.get());
    for (int i = 0; i < llama_sampler_chain_n(all); i++) made->samplers.push_back(llama_sampler_chain_get(all, i));
    if (!made->has_memory) made->samplers.pop_back(); /* who draws */
    if (sampling.logit_bias) read_biases(vocab, sampling.logit_bias, made->biases);
    forbid(vocab, sampling.ignore_eos, made->biases);
    made->candidates.resize(static_cast<size_t>(llama_vocab_n_tokens(vocab)));
    return made;
}

/* ---- choosing ---- */

/* What the samplers begin with: no token that is not possible, since some of them divide by what is left then. */
llama_token_data_array list_candidates(chain &chain, const float *logits, const uint64_t *allowed) {
    std::vector<llama_token_data> &all = chain.candidates;
    size_t n = 0;
    for (size_t i = 0; i < all.size(); i++) all[i] = {static_cast<llama_token>(i), std::min(logits[i], FLT_MAX), 0};
    for (const llama_logit_bias &bias : chain.biases) all[static_cast<size_t>(bias.token)].logit += bias.bias;
    for (size_t i = 0; i < all.size(); i++)
        if (all[i].logit > -INFINITY && (!allowed || (allowed[i / 64] >> i % 64 & 1) != 0)) all[n++] = all[i];
    return {all.data(), n, -1, false};
}

/* By ascending token: then rounding that swaps two of the same likelihood does not swap what is drawn. */
llama_token draw(llama_token_data_array &left, double uniform) {
    llama_token_data *end = left.data + left.size;
    std::sort(left.data, end, [](const llama_token_data &a, const llama_token_data &b) { return a.id < b.id; });
    float largest = -INFINITY;
    double sum = 0;
    llama_token drawn = -1;
    for (llama_token_data *each = left.data; each < end; each++) largest = std::max(largest, each->logit);
    for (llama_token_data *each = left.data; each < end; each++) sum += each->p = std::exp(each->logit - largest);
    sum *= uniform;
    for (llama_token_data *each = left.data; each < end && (drawn < 0 || sum >= 0); each++) {
        if (!(each->p > 0)) continue;
        drawn = each->id;
        sum -= static_cast<double>(each->p);
    }
    return drawn;
}

}

bool chain_is_needed(const engine_sampling *s) {
    bool has_penalties = s->repeat_last_n != 0 && (s->repeat_penalty != 1 || s->frequency_penalty != 0 || s->presence_penalty != 0);
    return has_penalties || s->dry_multiplier > 0 || s->top_n_sigma > 0 || s->typical_p < 1 || s->dynatemp_range > 0 ||
           (s->xtc_probability > 0 && s->xtc_threshold <= xtc_threshold_max) || s->mirostat > 0 || s->adaptive_target >= 0 ||
           s->samplers || (s->logit_bias && s->logit_bias[0]);
}

bool chain_is_slow_to_make(const engine_sampling *sampling) {
    return sampling->dry_multiplier > 0; /* looks at the text of each token for each breaker */
}

chain *chain_new(const llama_model *model, const engine_sampling *sampling, uint32_t n_ctx, char *message, size_t message_size) {
    try {
        return make(model, *sampling, n_ctx).release();
    } catch (const std::exception &error) {
        snprintf(message, message_size, "a sampling parameter cannot be used: %s", error.what());
        return nullptr;
    }
}

void chain_free(chain *chain) {
    delete chain;
}

bool chain_has_memory(const chain *chain) {
    return chain->has_memory;
}

void chain_accept(chain *chain, const llama_token *tokens, size_t n_tokens) {
    for (size_t i = 0; i < n_tokens; i++) common_sampler_accept(chain->made.get(), tokens[i], true);
}

llama_token chain_choose(chain *chain, const float *logits, const double uniform[2], const uint64_t *allowed) {
    llama_token_data_array left = list_candidates(*chain, logits, allowed);
    for (llama_sampler *sampler : chain->samplers) {
        bool is_off = strcmp(llama_sampler_name(sampler), "xtc") == 0 && uniform[1] >= chain->xtc_probability;
        if (left.size == 0) return -1;
        if (!is_off) llama_sampler_apply(sampler, &left);
    }
    if (chain->has_memory) return left.selected < 0 ? -1 : left.data[left.selected].id;
    return draw(left, uniform[0]);
}
