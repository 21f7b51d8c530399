/* arguments.hpp - what arguments.h hides, for those of this room that hand it to the library. */
#ifndef LLAMA_COMMON_ARGUMENTS_HPP
#define LLAMA_COMMON_ARGUMENTS_HPP

#include "arguments.h"

#include "arg.h"
#include "common.h"

#include <memory>

/* An option about devices, and its values, which are read once these are known. */
struct deferred_option {
    std::string said; /* how the user said it, for complaints */
    const common_arg *option;
    bool is_positive;
    std::string values[2];
};

struct arguments {
    common_params params;
    std::vector<common_arg> options; /* the library's; empty until they are needed */
    std::vector<deferred_option> deferred;
    bool are_devices_known = false;  /* no longer deferred, then */
    /* What fitting a model to devices overwrites, as the user gave it: each model is fitted anew. */
    bool is_fitted = false;
    std::vector<float> given_split;
    std::vector<llama_model_tensor_buft_override> given_overrides;
};

/* A draft model, as it is made beside a context of the target's. */
struct draft_model {
    common_params params; /* which the others point into */
    llama_model_params model;
    llama_context_params context;
};

/* Defined in drafter.cpp. NULL: the options ask for none, or for one that is refused. */
std::unique_ptr<draft_model> draft_model_beside(const arguments &arguments, const llama_context_params &context, bool on_devices);

#endif
