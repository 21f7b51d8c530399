/* chat_test.cpp - see chat_test.hpp. */
#include "chat_test.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dirent.h>
#include <fstream>
#include <sstream>

std::string testdata_folder() {
    static std::string folder;
    if (!folder.empty()) return folder;
    FILE *script = popen(TESTDATA_SCRIPT, "r");
    char line[4096] = "";
    if (script && fgets(line, sizeof line, script)) folder.assign(line, strcspn(line, "\n"));
    if (!script || pclose(script) != 0 || folder.empty()) test_skip("the vocabularies of the source cannot be fetched");
    return folder;
}

std::vector<std::string> names_in(const std::string &folder, const std::string &end) {
    std::vector<std::string> names;
    DIR *directory = opendir(folder.c_str());
    CHECK_SAY(directory != nullptr, "cannot read %s", folder.c_str());
    while (const dirent *entry = readdir(directory)) {
        std::string name = entry->d_name;
        if (name.size() > end.size() && name.compare(name.size() - end.size(), end.size(), end) == 0)
            names.push_back(name.substr(0, name.size() - end.size()));
    }
    closedir(directory);
    std::sort(names.begin(), names.end());
    return names;
}

std::string file_text(const std::string &path) {
    std::ifstream file(path, std::ios::binary);
    CHECK_SAY(file.good(), "cannot read %s", path.c_str());
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

llama_model *open_vocabulary(const std::string &name) {
    llama_model_params params = llama_model_default_params();
    params.vocab_only = true;
    llama_log_set([](ggml_log_level, const char *, void *) {}, nullptr);
    std::string path = testdata_folder() + "/vocab/ggml-vocab-" + name + ".gguf";
    llama_model *model = llama_model_load_from_file(path.c_str(), params);
    CHECK_SAY(model != nullptr, "cannot load %s", path.c_str());
    return model;
}

std::string vocabulary_of(const std::string &template_name) {
    static const struct { const char *part, *vocabulary; } families[] = {
        {"Qwen3.5", "qwen35"}, {"Distill-Llama", "llama-bpe"}, {"Distill-Qwen", "qwen2"}, {"Llama-3", "llama-bpe"},
        {"llama-3", "llama-bpe"}, {"functionary", "llama-bpe"}, {"deepseek", "deepseek-llm"}, {"gemma-4", "gemma-4"},
        {"gemma-2", "llama-spm"}, {"Phi-3", "phi-3"}, {"command-r", "command-r"}, {"Cohere2", "command-r"},
        {"granite", "starcoder"}, {"istral", "llama-spm"}, {"llama-cpp-rwkv", "gpt-neox"}, {"LFM2", "llama-bpe"}};
    for (const auto &family : families)
        if (template_name.find(family.part) != std::string::npos) return family.vocabulary;
    return "qwen2";
}

/* tools/server/server-common.cpp, for the fields that the tests use. */
static common_chat_templates_inputs server_inputs(const common_chat_templates *templates, const common_json &document) {
    common_chat_templates_inputs inputs;
    auto caps = common_chat_templates_get_caps(templates);
    inputs.messages = common_chat_msgs_parse_oaicompat(document.at("messages"));
    inputs.tools = common_chat_tools_parse_oaicompat(document.contains("tools") ? document.at("tools") : common_json());
    inputs.tool_choice = common_chat_tool_choice_parse_oaicompat(document.value("tool_choice", "auto"));
    inputs.json_schema = document.contains("json_schema") ? document.at("json_schema").dump() : "";
    inputs.parallel_tool_calls = document.value("parallel_tool_calls", caps["supports_parallel_tool_calls"]);
    if (document.contains("continue_final_message"))
        inputs.continue_final_message = common_chat_continuation_parse(document.at("continue_final_message"));
    inputs.add_generation_prompt = inputs.continue_final_message == COMMON_CHAT_CONTINUATION_NONE;
    inputs.reasoning_format = COMMON_REASONING_FORMAT_AUTO;
    inputs.enable_thinking = common_chat_templates_support_enable_thinking(templates);
    inputs.chat_template_kwargs["preserve_reasoning"] = "true";
    common_json kwargs = document.value("chat_template_kwargs", common_json::object());
    for (const auto &[key, value] : kwargs.items()) inputs.chat_template_kwargs[key] = value.dump();
    if (kwargs.contains("enable_thinking")) inputs.enable_thinking = kwargs.at("enable_thinking").get<bool>();
    return inputs;
}

peer_prompt peer_render(const llama_model *model, const std::string &chat_template, const common_json &document) {
    peer_prompt result;
    try {
        static const llama_model *model_before;
        static std::string template_before;
        static common_chat_templates_ptr templates; /* of those: making them takes longer than applying them */
        if (model != model_before || chat_template != template_before) templates = common_chat_templates_init(model, chat_template);
        model_before = model;
        template_before = chat_template;
        result.params = common_chat_templates_apply(templates.get(), server_inputs(templates.get(), document));
        result.text = result.params.prompt;
        result.tokens = common_tokenize(llama_model_get_vocab(model), result.text, true, true);
    } catch (const std::exception &error) {
        result.is_refused = true;
        result.reason = error.what();
    }
    return result;
}

peer_prompt our_render(const llama_model *model, const std::string &chat_template, const common_json &document) {
    peer_prompt result;
    char message[ENGINE_MESSAGE_SIZE] = "";
    chat_options options = {};
    options.template_text = chat_template.c_str();
    static const llama_model *model_before;
    static std::string template_before;
    static chat *opened; /* of those: opening takes longer than rendering */
    if (model != model_before || chat_template != template_before) {
        chat_close(opened);
        opened = chat_open(model, &options, message, sizeof message);
        model_before = opened ? model : nullptr;
        template_before = chat_template;
    }
    engine_request request = {};
    std::string text = document.dump();
    request.document = text.c_str();
    chat_document *read = opened ? chat_document_new(&request, message, sizeof message) : nullptr;
    engine_error error = ENGINE_OK;
    chat_prompt *prompt = read ? chat_render(opened, read, 0, &error, message, sizeof message) : nullptr;
    if (prompt) {
        size_t n_tokens;
        const llama_token *tokens = chat_prompt_tokens(prompt, &n_tokens);
        result.tokens.assign(tokens, tokens + n_tokens);
        char *json = chat_prompt_json(prompt);
        result.text = common_json::parse(json).at("text").get<std::string>();
        free(json);
    } else {
        result.is_refused = true;
        result.reason = message;
    }
    chat_prompt_free(prompt);
    chat_document_free(read);
    return result;
}

std::string shown_tokens(const llama_model *model, const std::vector<llama_token> &tokens) {
    std::string shown;
    for (llama_token token : tokens)
        shown += "[" + std::to_string(token) + " " + common_token_to_piece(llama_model_get_vocab(model), token, true) + "]";
    return shown;
}
