/* chat_test.hpp - what the tests of chats share: vocabularies and templates of the pinned source, and what llama-server
 * makes of a document, by the functions that it is made of.
 */
#ifndef LIPC_TESTS_CHAT_TEST_HPP
#define LIPC_TESTS_CHAT_TEST_HPP

extern "C" {
#include "../../src/engine/engine.h"
#include "../support/harness.h"
}
#include "../../src/engine/llama/common/chat.h"

#include <chat.h>

#include <string>
#include <vector>

/* The folder with vocab/ and templates/, fetched into the cache; skips the test where it cannot be had. */
std::string testdata_folder();

/* All names in a folder that end so, sorted, without their ends. */
std::vector<std::string> names_in(const std::string &folder, const std::string &end);

std::string file_text(const std::string &path);

/* A model's vocabulary alone. */
llama_model *open_vocabulary(const std::string &name);

/* The vocabulary that belongs to a template's family, or the nearest that there is. */
std::string vocabulary_of(const std::string &template_name);

struct peer_prompt {
    bool is_refused = false;
    std::string reason, text;
    std::vector<llama_token> tokens;
    common_chat_params params;
};

/* As llama-server: oaicompat_chat_params_parse, then the tokenizer on the whole text. */
peer_prompt peer_render(const llama_model *model, const std::string &chat_template, const common_json &document);

/* Ours; is_refused also where the template is. */
peer_prompt our_render(const llama_model *model, const std::string &chat_template, const common_json &document);

std::string shown_tokens(const llama_model *model, const std::vector<llama_token> &tokens);

#endif
