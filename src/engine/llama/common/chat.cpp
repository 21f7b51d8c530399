/* chat.cpp - see chat.h. */
#include "chat.hpp"

#include <json-schema-to-grammar.h>
#include <log.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <new>
#include <stdexcept>

namespace {

void say(char *message, size_t message_size, const std::string &text) {
    /* The template engine's errors have lines, with the place underlined: one line is enough. */
    std::string line;
    for (char c : text)
        if (c != '\n' && c != '\r') line.push_back(c);
        else if (!line.empty() && line.back() != ' ') line.push_back(' ');
    snprintf(message, message_size, "%s", line.c_str());
}

/* ---- templates ---- */

bool is_builtin(const std::string &name) {
    std::vector<const char *> names(static_cast<size_t>(llama_chat_builtin_templates(nullptr, 0)));
    llama_chat_builtin_templates(names.data(), names.size());
    for (const char *each : names)
        if (name == each) return true;
    return false;
}

bool has_chatml_marks(const llama_vocab *vocab) {
    return common_tokenize(vocab, "<|im_start|>", false, true).size() == 1;
}

/* Where the model has no template of its own, or another is wanted. Fills in `name` and `is_jinja`; returns the text for the
 * library, "" for the model's own. */
std::string choose_template(chat &chat, const char *given) {
    chat.name = "the model's own";
    if (!given && llama_model_chat_template(chat.model, nullptr)) return "";
    std::string text = given ? given : has_chatml_marks(chat.vocab) ? "chatml" : "plain";
    bool is_named = text.find('{') == std::string::npos;
    chat.name = is_named ? text : "given";
    chat.is_jinja = !is_named || text == "chatml";
    if (is_named && text != "plain" && !is_builtin(text))
        throw std::invalid_argument("the chat template '" + text + "' is neither a name that is known (plain, chatml, "
                                    "llama3, mistral-v7, ...) nor a Jinja template");
    return text;
}

/* A model's file may say that it only thinks where it is asked to: llama.cpp knows no key for that, so this is ours. */
bool thinks_by_default(const llama_model *model) {
    char value[8] = "";
    return llama_model_meta_val_str(model, "lipc.enable_thinking", value, sizeof value) < 0 || strcmp(value, "false") != 0;
}

std::map<std::string, std::string> read_kwargs(const char *text) {
    std::map<std::string, std::string> kwargs;
    if (!text || text[0] == 0) return kwargs;
    common_json object = common_json::parse_no_throw(text);
    if (object.is_discarded() || !object.is_object())
        throw std::invalid_argument("the chat template's variables are no JSON object: " + std::string(text));
    for (const auto &[key, value] : object.items()) kwargs[key] = value.dump();
    return kwargs;
}

void configure(chat &chat, const chat_options &options) {
    if (options.reasoning_format) {
        std::string format = options.reasoning_format;
        if (format != "none" && format != "auto" && format != "deepseek")
            throw std::invalid_argument("the reasoning format is '" + format + "'; it must be none, auto or deepseek");
        chat.reasoning_format = common_reasoning_format_from_name(format);
    }
    chat.kwargs = {{"preserve_reasoning", "true"}}; /* llama-server's default */
    for (const auto &[key, value] : read_kwargs(options.template_kwargs)) chat.kwargs[key] = value;
    chat.thinking_budget = options.thinking_budget > 0 ? options.thinking_budget : -1;
    std::string text = choose_template(chat, options.template_text);
    if (chat.name == "plain") return;
    chat.templates = common_chat_templates_init(chat.model, text);
    bool is_own = text.empty();
    chat.thinks_if_asked = options.thinking == ENGINE_THINKING_AUTO && is_own && !thinks_by_default(chat.model);
    chat.enable_thinking = options.thinking != ENGINE_THINKING_OFF && !chat.thinks_if_asked;
    chat.enable_thinking &= chat.is_jinja && common_chat_templates_support_enable_thinking(chat.templates.get());
}

/* ---- rendering ---- */

const char plain_stop[] = "\nUser:";

/* The form for models without a template: documented in docs/templates.md. */
common_chat_params render_plain(const common_json &messages, bool continues) {
    common_chat_params params;
    std::string &text = params.prompt;
    for (const common_json &message : messages) {
        std::string role = message.at("role").get<std::string>();
        const char *title = role == "user" ? "User" : role == "assistant" ? "Assistant" : role == "tool" ? "Tool" : "System";
        text += std::string(title) + ": ";
        const common_json &content = message.at("content");
        if (content.is_string()) text += content.get<std::string>();
        else
            for (const common_json &part : content) text += part.at("text").get<std::string>();
        text += "\n\n";
    }
    if (continues && text.size() >= 2) text.resize(text.size() - 2);
    else text += "Assistant:";
    params.additional_stops = {plain_stop};
    return params;
}

/* What the library is asked: for the text of the prompt, in which what came from outside may have guards, or for what binds and
 * reads the answer. */
enum class purpose { TEXT, GUARDED_TEXT, ANSWER };

common_chat_templates_inputs make_inputs(const chat &chat, const chat_document &document, const common_json &messages,
                                         purpose purpose) {
    bool guarded = purpose == purpose::GUARDED_TEXT;
    common_chat_templates_inputs inputs;
    auto shield = [&](const common_json &value) { return guarded ? chat.marks.guarded(value) : value; };
    inputs.messages = common_chat_msgs_parse_oaicompat(shield(messages));
    inputs.tools = common_chat_tools_parse_oaicompat(purpose == purpose::ANSWER ? document.bound_tools : shield(document.tools));
    inputs.tool_choice = document.tool_choice;
    inputs.json_schema = document.schema.is_null() ? "" : document.schema.dump();
    inputs.use_jinja = chat.is_jinja;
    inputs.parallel_tool_calls = document.parallel_tool_calls.value_or(
        common_chat_templates_get_caps(chat.templates.get())["supports_parallel_tool_calls"]);
    inputs.continue_final_message = document.continuation;
    inputs.add_generation_prompt = document.continuation == COMMON_CHAT_CONTINUATION_NONE;
    inputs.reasoning_format = document.reasoning_format.value_or(chat.reasoning_format);
    inputs.enable_thinking = chat.enable_thinking || (chat.thinks_if_asked && !document.reasoning_effort.empty());
    inputs.chat_template_kwargs = chat.kwargs;
    common_json kwargs = shield(document.template_kwargs);
    for (const auto &[key, value] : kwargs.items()) inputs.chat_template_kwargs[key] = value.dump();
    auto thinking = inputs.chat_template_kwargs.find("enable_thinking");
    if (thinking != inputs.chat_template_kwargs.end()) inputs.enable_thinking = thinking->second == "true";
    if (document.enable_thinking) inputs.enable_thinking = *document.enable_thinking;
    if (!document.reasoning_effort.empty())
        inputs.chat_template_kwargs["reasoning_effort"] = common_json::make(document.reasoning_effort).dump();
    return inputs;
}

/* A call's arguments are JSON in a text: guards stand in its texts. */
common_json shield_arguments(const marks &marks, common_json messages) {
    for (common_json &message : messages) {
        if (!message.contains("tool_calls")) continue;
        for (common_json &call : message.at("tool_calls")) {
            common_json &arguments = call.at("function").at("arguments");
            if (!arguments.is_string()) continue;
            common_json read = common_json::parse_no_throw(arguments.get<std::string>());
            if (!read.is_discarded() && marks.needs_guard(read)) arguments = read;
        }
    }
    return messages;
}

common_json without_dropped(const chat_document &document, size_t n_dropped) {
    common_json messages = document.messages;
    size_t first = chat_document_begins_with_system(&document);
    for (size_t i = 0; i < n_dropped && messages.size() > first + 1; i++) messages.erase(first);
    return messages;
}

/* Renders, with guards where there must be some. Returns the text with its guards; fills in the rest of the prompt. */
std::string render(const chat &chat, const chat_document &document, const common_json &messages, chat_prompt &prompt) {
    common_json prepared = shield_arguments(chat.marks, messages);
    bool needs_guard = chat.marks.needs_guard(prepared) || chat.marks.needs_guard(document.tools) ||
                       chat.marks.needs_guard(document.template_kwargs);
    if (chat.name == "plain") {
        if (document.tools.is_array()) throw std::invalid_argument("this model has no chat template, and so no tools");
        bool continues = document.continuation != COMMON_CHAT_CONTINUATION_NONE;
        prompt.params = render_plain(needs_guard ? chat.marks.guarded(messages) : messages, continues);
        return prompt.params.prompt;
    }
    if (!chat.is_jinja && document.tools.is_array())
        throw std::invalid_argument("the chat template '" + chat.name + "' has no tools");
    auto apply = [&](const common_json &asked, purpose purpose) {
        return common_chat_templates_apply(chat.templates.get(), make_inputs(chat, document, asked, purpose));
    };
    try {
        prompt.params = apply(messages, purpose::ANSWER);
    } catch (const std::exception &) {
        /* Some templates refuse texts that contain their own marks: behind guards these are none. */
        if (!needs_guard) throw;
        prompt.params = apply(chat.marks.guarded(prepared), purpose::ANSWER);
    }
    if (needs_guard) return apply(prepared, purpose::GUARDED_TEXT).prompt;
    bool has_patterns = document.tools.is_array() && document.tools.dump_safe() != document.bound_tools.dump_safe();
    return has_patterns ? apply(messages, purpose::TEXT).prompt : prompt.params.prompt;
}

/* ---- what came from outside, for those who look at a prompt ---- */

void collect_texts(const common_json &value, std::vector<std::string> &texts) {
    if (value.is_string()) texts.push_back(value.get<std::string>());
    else if (value.is_array())
        for (const common_json &item : value) collect_texts(item, texts);
    else if (value.is_object())
        for (const auto &[key, item] : value.items())
            if (key != "role" && key != "type") collect_texts(item, texts);
}

/* Looks for the texts in their order, without the blanks around them, as most templates write them. */
void find_inputs(chat_prompt &prompt, const common_json &value, size_t from) {
    std::vector<std::string> texts;
    collect_texts(value, texts);
    for (const std::string &text : texts) {
        size_t begin = text.find_first_not_of(" \t\r\n"), end = text.find_last_not_of(" \t\r\n");
        if (begin == std::string::npos) continue;
        size_t at = prompt.text.find(text.substr(begin, end + 1 - begin), from);
        if (at == std::string::npos) continue;
        from = at + end + 1 - begin;
        prompt.inputs.emplace_back(at, from);
    }
    std::sort(prompt.inputs.begin(), prompt.inputs.end());
}

bool is_input(const chat_prompt &prompt, const marks::piece &piece) {
    for (const auto &[begin, end] : prompt.inputs)
        if (piece.begin < end && piece.end > begin) return true;
    return false;
}

/* ---- prompts without a template ---- */

void add_tokens(chat_prompt &prompt, const std::string &text, bool parses_marks) {
    for (llama_token token : common_tokenize(prompt.chat->vocab, text, false, parses_marks))
        prompt.pieces.push_back({token, prompt.text.size(), prompt.text.size() + text.size()});
    prompt.inputs.emplace_back(prompt.text.size(), prompt.text.size() + text.size());
    prompt.text += text;
}

void add_token(chat_prompt &prompt, llama_token token) {
    if (token < 0 || token >= llama_vocab_n_tokens(prompt.chat->vocab))
        throw std::invalid_argument("the prompt holds the token " + std::to_string(token) + ", which the vocabulary of " +
                                    std::to_string(llama_vocab_n_tokens(prompt.chat->vocab)) + " has not");
    std::string text = common_token_to_piece(prompt.chat->vocab, token, true);
    prompt.pieces.push_back({token, prompt.text.size(), prompt.text.size() + text.size()});
    prompt.text += text;
}

void add_bos(chat_prompt &prompt) {
    const llama_vocab *vocab = prompt.chat->vocab;
    if (llama_vocab_get_add_bos(vocab)) prompt.pieces.push_back({llama_vocab_bos(vocab), 0, 0});
}

/* As llama-server's /completion: a BOS stands before a text, never before tokens, which are taken as they are. */
void make_raw(chat_prompt &prompt, const chat_document &document) {
    if (document.prompt.is_string()) {
        add_bos(prompt);
        return add_tokens(prompt, document.prompt.get<std::string>(), true);
    }
    if (!document.prompt.empty() && document.prompt.front().is_string()) add_bos(prompt);
    for (const common_json &item : document.prompt) {
        if (item.is_string()) add_tokens(prompt, item.get<std::string>(), true);
        else add_token(prompt, static_cast<llama_token>(item.get<int64_t>()));
    }
}

void make_infill(chat_prompt &prompt, const chat_document &document) {
    const llama_vocab *vocab = prompt.chat->vocab;
    llama_token before = llama_vocab_fim_pre(vocab), behind = llama_vocab_fim_suf(vocab), here = llama_vocab_fim_mid(vocab);
    llama_token repository = llama_vocab_fim_rep(vocab), file = llama_vocab_fim_sep(vocab);
    if (before == LLAMA_TOKEN_NULL || behind == LLAMA_TOKEN_NULL || here == LLAMA_TOKEN_NULL)
        throw std::invalid_argument("this model cannot fill in the middle: its vocabulary has no marks for that");
    if (!document.extra.empty() && file == LLAMA_TOKEN_NULL)
        throw std::invalid_argument("the document's field 'input_extra' cannot be used: this model knows one file at a time");
    if (!document.extra.empty() && repository != LLAMA_TOKEN_NULL) {
        add_token(prompt, repository);
        add_tokens(prompt, "repository\n", false);
    }
    for (const common_json &each : document.extra) {
        add_token(prompt, file);
        add_tokens(prompt, each.at("filename").get<std::string>() + "\n" + each.at("text").get<std::string>(), false);
    }
    add_bos(prompt);
    add_token(prompt, before);
    add_tokens(prompt, document.prefix, false);
    add_token(prompt, behind);
    add_tokens(prompt, document.suffix, false);
    add_token(prompt, here);
}

/* ---- all together ---- */

/* Where the template knows no form for an answer that follows a schema, the whole answer does. */
void bind_schema(const chat_document &document, chat_prompt &prompt) {
    common_chat_params &params = prompt.params;
    prompt.has_schema = !document.schema.is_null();
    prompt.grammar_prefix = params.generation_prompt;
    if (!prompt.has_schema || !params.grammar.empty()) return;
    bool begins_thought = !params.thinking_start_tag.empty() &&
                          params.generation_prompt.find(params.thinking_start_tag) != std::string::npos;
    if (begins_thought)
        throw std::invalid_argument("this model's chat template begins with a thought and has no form for an answer that "
                                    "follows a schema; ask with \"enable_thinking\": false");
    params.grammar = json_schema_to_grammar(document.schema);
    prompt.grammar_prefix.clear();
}

void make_conversation(const chat &chat, const chat_document &document, size_t n_dropped, chat_prompt &prompt) {
    common_json messages = without_dropped(document, n_dropped);
    marks::rendered rendered = marks::without_guards(render(chat, document, messages, prompt));
    prompt.text = rendered.text;
    prompt.pieces = chat.marks.tokens(rendered);
    prompt.params.prompt = rendered.text;
    prompt.reasoning_format = document.reasoning_format.value_or(chat.reasoning_format);
    prompt.parses_calls = document.tools.is_array() && document.tool_choice != COMMON_CHAT_TOOL_CHOICE_NONE;
    prompt.is_continuation = document.continuation != COMMON_CHAT_CONTINUATION_NONE;
    prompt.thinking_budget = document.thinking_budget >= 0 ? document.thinking_budget : chat.thinking_budget;
    find_inputs(prompt, document.tools, 0);
    find_inputs(prompt, messages, 0);
}

chat_prompt *make_prompt(const chat &chat, const chat_document &document, size_t n_dropped) {
    auto prompt = std::make_unique<chat_prompt>();
    prompt->chat = &chat;
    if (document.kind == chat_document::CONVERSATION) {
        make_conversation(chat, document, n_dropped, *prompt);
    } else {
        document.kind == chat_document::PROMPT ? make_raw(*prompt, document) : make_infill(*prompt, document);
    }
    bind_schema(document, *prompt);
    for (const marks::piece &piece : prompt->pieces) prompt->tokens.push_back(piece.token);
    if (prompt->tokens.empty()) throw std::runtime_error("the prompt is empty");
    return prompt.release();
}

} // namespace

/* ---- the plain C of it ---- */

chat *chat_open(const llama_model *model, const chat_options *options, char *message, size_t message_size) {
    common_log_set_verbosity_thold(-1); /* a library is silent: it would write to standard error, from a thread of its own */
    try {
        auto made = std::make_unique<chat>(model);
        configure(*made, *options);
        chat_document probe;
        common_json user = common_json::object();
        user["role"] = "user";
        user["content"] = "x";
        probe.messages.push_back(user);
        chat_prompt prompt;
        render(*made, probe, probe.messages, prompt);
        return made.release();
    } catch (const std::exception &error) {
        say(message, message_size, std::string("the chat template cannot be used; name another with --chat-template: ") +
                                       error.what());
        return nullptr;
    }
}

const char *chat_template_name(const chat *chat) {
    return chat->name.c_str();
}

void chat_close(chat *chat) {
    delete chat;
}

chat_document *chat_document_new(const engine_request *request, char *message, size_t message_size) {
    try {
        if (request->document) return new chat_document(read_document(request->document));
        auto document = std::make_unique<chat_document>();
        for (size_t i = 0; i < request->n_messages; i++) {
            common_json each = common_json::object();
            each["role"] = request->messages[i].role;
            each["content"] = request->messages[i].text;
            document->messages.push_back(each);
        }
        return document.release();
    } catch (const std::exception &error) {
        say(message, message_size, error.what());
        return nullptr;
    }
}

size_t chat_document_n_messages(const chat_document *document) {
    return document->messages.size();
}

size_t chat_document_message_bytes(const chat_document *document, size_t index) {
    return document->messages.at(index).dump_safe().size();
}

bool chat_document_begins_with_system(const chat_document *document) {
    if (document->messages.empty()) return false;
    std::string role = document->messages.front().at("role").get<std::string>();
    return role == "system" || role == "developer";
}

void chat_document_free(chat_document *document) {
    delete document;
}

chat_prompt *chat_render(const chat *chat, const chat_document *document, size_t n_dropped, engine_error *error,
                         char *message, size_t message_size) {
    *error = ENGINE_OK;
    try {
        return make_prompt(*chat, *document, n_dropped);
    } catch (const std::bad_alloc &) {
        *error = ENGINE_E_NO_MEMORY;
        say(message, message_size, "not enough memory for a prompt");
    } catch (const std::exception &reason) {
        *error = ENGINE_E_DOCUMENT;
        say(message, message_size, std::string("the conversation cannot be rendered: ") + reason.what());
    }
    return nullptr;
}

const llama_token *chat_prompt_tokens(const chat_prompt *prompt, size_t *n_tokens) {
    *n_tokens = prompt->tokens.size();
    return prompt->tokens.data();
}

size_t chat_prompt_n_keep(const chat_prompt *prompt, const chat_document *document) {
    const chat &chat = *prompt->chat;
    size_t n_bos = !prompt->tokens.empty() && prompt->tokens[0] == llama_vocab_bos(chat.vocab), n = 0;
    if (!chat_document_begins_with_system(document)) return n_bos;
    try {
        chat_document system = *document;
        system.messages = common_json::array();
        system.messages.push_back(document->messages.front());
        system.continuation = COMMON_CHAT_CONTINUATION_NONE;
        chat_prompt alone;
        auto pieces = chat.marks.tokens(marks::without_guards(render(chat, system, system.messages, alone)));
        while (n < pieces.size() && n < prompt->tokens.size() && pieces[n].token == prompt->tokens[n]) n++;
        return std::max(n, n_bos);
    } catch (const std::exception &) {
        return n_bos; /* many templates want a user's message */
    }
}

char *chat_prompt_json(const chat_prompt *prompt) {
    try {
        common_json all = common_json::object();
        all["text"] = prompt->text;
        all["tokens"] = common_json::array();
        for (const marks::piece &piece : prompt->pieces) {
            common_json token = common_json::object();
            token["id"] = piece.token;
            token["text"] = common_token_to_piece(prompt->chat->vocab, piece.token, true);
            token["is_control"] = prompt->chat->marks.is_control(piece.token);
            token["is_input"] = is_input(*prompt, piece);
            all["tokens"].push_back(token);
        }
        return strdup(all.dump_safe().c_str());
    } catch (const std::exception &) {
        return nullptr;
    }
}

void chat_prompt_free(chat_prompt *prompt) {
    delete prompt;
}
