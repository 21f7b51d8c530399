/* chat.hpp - what the files of this room know of a chat and its prompts. See chat.h. */
#ifndef LLAMA_COMMON_CHAT_HPP
#define LLAMA_COMMON_CHAT_HPP

#include "chat.h"
#include "document.hpp"
#include "marks.hpp"

#include <memory>

struct chat {
    const llama_model *model;
    const llama_vocab *vocab;
    ::marks marks;
    std::string name;
    common_chat_templates_ptr templates; /* none: "plain" */
    bool is_jinja = true;                /* false: a form that the library knows by name */
    std::map<std::string, std::string> kwargs;
    common_reasoning_format reasoning_format = COMMON_REASONING_FORMAT_AUTO;
    bool enable_thinking = true;
    bool thinks_if_asked = false; /* the model's file says so, and nobody else said anything */
    int thinking_budget = -1;

    explicit chat(const llama_model *model)
        : model(model), vocab(llama_model_get_vocab(model)), marks(vocab) {}
};

struct chat_prompt {
    const ::chat *chat;
    std::string text;
    std::vector<::marks::piece> pieces;
    std::vector<llama_token> tokens;
    std::vector<std::pair<size_t, size_t>> inputs; /* bytes of the text that came from outside, ascending */
    common_chat_params params;                     /* how the answer is bound and read; `prompt` is the text without guards */
    common_reasoning_format reasoning_format = COMMON_REASONING_FORMAT_NONE;
    std::string grammar_prefix;                    /* what the prompt has of the text that the grammar is of */
    bool has_schema = false;
    bool parses_calls = false;
    bool is_continuation = false;
    int thinking_budget = -1;
};

#endif
