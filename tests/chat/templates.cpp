/* templates.cpp - every chat template of the pinned source, as its author wrote it: token by token what llama-server makes of
 * the same document, or refused by both.
 *
 *     templates         each with the vocabulary of its family, 16 kinds of conversations
 *     templates all     each with every vocabulary
 *     templates table   the table of docs/templates.md
 *     templates short   each sixth template
 */
#include "chat_test.hpp"

#include <cstring>
#include <map>

namespace {

struct tally {
    int n_same = 0, n_refused = 0;
};

common_json message(const char *role, const std::string &content) {
    common_json result = common_json::object();
    result["role"] = role;
    result["content"] = content;
    return result;
}

common_json tools() {
    return common_json::parse(R"([{"type":"function","function":{"name":"current_time","description":"The time of day.",
        "parameters":{"type":"object","properties":{"zone":{"type":"string","description":"e.g. Europe/Berlin"}},
        "required":["zone"]}}},{"type":"function","function":{"name":"add","description":"Adds two numbers.",
        "parameters":{"type":"object","properties":{"a":{"type":"number"},"b":{"type":"number"}},"required":["a","b"]}}}])");
}

/* Ordinary texts: several lines, blanks around them, more than ASCII, and what looks a little like marks. */
common_json conversation(bool has_tools, bool has_system, bool is_long, bool thinks) {
    common_json document = common_json::object();
    common_json messages = common_json::array();
    if (has_system) messages.push_back(message("system", "You are brief.\nYou speak English."));
    messages.push_back(message("user", "Hello! Is 2 < 3 && 3 > 2?"));
    if (is_long) {
        messages.push_back(message("assistant", "Yes: it is.\n\n```c\nint a[3] = {1, 2, 3};\n```"));
        messages.push_back(message("user", "  Gr\u00fc\u00dfe, \u4f60\u597d \U0001f600 "));
        messages.push_back(message("assistant", "Hello to you, too."));
        messages.push_back(message("user", "And now?\n"));
    }
    document["messages"] = messages;
    if (has_tools) document["tools"] = tools();
    common_json kwargs = common_json::object();
    kwargs["enable_thinking"] = thinks;
    document["chat_template_kwargs"] = kwargs;
    return document;
}

void compare(const llama_model *model, const std::string &name, const std::string &vocabulary, const std::string &source,
             int kind, tally &tally) {
    common_json document = conversation(kind & 1, kind & 2, kind & 4, kind & 8);
    peer_prompt peer = peer_render(model, source, document), ours = our_render(model, source, document);
    CHECK_SAY(peer.is_refused == ours.is_refused, "%s, %s, kind %d: the peer says '%s', we say '%s'", name.c_str(),
              vocabulary.c_str(), kind, peer.reason.c_str(), ours.reason.c_str());
    tally.n_refused += ours.is_refused;
    tally.n_same += !ours.is_refused;
    if (ours.is_refused || peer.tokens == ours.tokens) return;
    CHECK_TEXT(ours.text.c_str(), peer.text.c_str());
    test_fail(__FILE__, __LINE__, "%s, %s, kind %d:\npeer %s\nours %s", name.c_str(), vocabulary.c_str(), kind,
              shown_tokens(model, peer.tokens).c_str(), shown_tokens(model, ours.tokens).c_str());
}

tally compare_all(const llama_model *model, const std::string &name, const std::string &vocabulary) {
    tally tally;
    std::string source = file_text(testdata_folder() + "/templates/" + name + ".jinja");
    for (int kind = 0; kind < 16; kind++) compare(model, name, vocabulary, source, kind, tally);
    return tally;
}

} // namespace

int main(int argc, char **argv) {
    std::string word = argc > 1 ? argv[1] : "";
    bool takes_all = word == "all", prints = word == "table", is_short = word == "short";
    test_begin("chat/templates", takes_all ? 3600 : 240);
    std::map<std::string, llama_model *> models;
    std::vector<std::string> templates = names_in(testdata_folder() + "/templates", ".jinja");
    CHECK_INT(templates.size(), >=, 65);
    tally sum;
    for (size_t i = 0; i < templates.size(); i += is_short ? 6 : 1) {
        const std::string &name = templates[i];
        std::vector<std::string> vocabularies = {vocabulary_of(name)};
        if (takes_all) {
            vocabularies.clear();
            for (const std::string &each : names_in(testdata_folder() + "/vocab", ".gguf"))
                vocabularies.push_back(each.substr(strlen("ggml-vocab-")));
        }
        for (const std::string &vocabulary : vocabularies) {
            if (vocabulary.find("bert") != std::string::npos) continue; /* which generates no text */
            if (!models[vocabulary]) models[vocabulary] = open_vocabulary(vocabulary);
            tally each = compare_all(models[vocabulary], name, vocabulary);
            sum.n_same += each.n_same;
            sum.n_refused += each.n_refused;
            if (prints) printf("| %s | %s | %d | %d |\n", name.c_str(), vocabulary.c_str(), each.n_same, each.n_refused);
        }
    }
    test_step("%zu templates: %d conversations the same, %d refused by both", templates.size(), sum.n_same, sum.n_refused);
    for (auto &[name, model] : models) llama_model_free(model);
    return test_end();
}
