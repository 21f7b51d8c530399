/* document.hpp - what a client asks of a chat model: an OpenAI-shaped JSON document (docs/protocol.md, "Documents"), read
 * strictly. What is not known is refused, with the field and what it holds.
 */
#ifndef LLAMA_COMMON_DOCUMENT_HPP
#define LLAMA_COMMON_DOCUMENT_HPP

#include <chat.h>

#include <optional>
#include <string>
#include <vector>

struct chat_document {
    enum { CONVERSATION, PROMPT, INFILL } kind = CONVERSATION;

    /* CONVERSATION */
    common_json messages = common_json::array(); /* whose `content` is a text, a list of texts or null */
    common_json tools;                           /* an array, or null */
    common_json bound_tools;                     /* the same, with patterns that can be bound (pattern.hpp) */
    common_chat_tool_choice tool_choice = COMMON_CHAT_TOOL_CHOICE_AUTO;
    std::optional<bool> parallel_tool_calls;     /* none: as the template can */
    common_json template_kwargs = common_json::object();
    std::optional<bool> enable_thinking;
    std::string reasoning_effort;                /* "": the model's own */
    int thinking_budget = -1;                    /* tokens of thoughts at most; negative: any */
    std::optional<common_reasoning_format> reasoning_format;
    common_chat_continuation continuation = COMMON_CHAT_CONTINUATION_NONE;

    /* all: a JSON schema that the answer is valid against, or null */
    common_json schema;

    /* PROMPT: texts, with control tokens in them, and tokens */
    common_json prompt;

    /* INFILL: what the answer is to stand between, and other files: {"filename", "text"} */
    std::string prefix, suffix;
    common_json extra = common_json::array();
};

/* Throws std::invalid_argument with a sentence. */
chat_document read_document(const std::string &text);

#endif
