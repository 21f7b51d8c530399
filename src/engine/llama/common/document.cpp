/* document.cpp - see document.hpp. */
#include "document.hpp"
#include "pattern.hpp"

#include <stdexcept>

namespace {

/* Deeper nesting would be followed by recursion, here and in the library. */
constexpr int depth_max = 256;
constexpr size_t shown_max = 60;

[[noreturn]] void refuse(const std::string &field, const std::string &what) {
    throw std::invalid_argument("the document's field '" + field + "' " + what);
}

std::string shown(const common_json &value) {
    std::string text = value.dump_safe();
    if (text.size() <= shown_max) return text;
    size_t n = shown_max;
    while (n > 0 && (static_cast<unsigned char>(text[n]) & 0xC0) == 0x80) n--;
    return text.substr(0, n) + "...";
}

void check_depth(const std::string &text) {
    int depth = 0;
    bool in_text = false;
    for (size_t i = 0; i < text.size(); i++) {
        char c = text[i];
        if (in_text && c == '\\') i++;
        else if (c == '"') in_text = !in_text;
        else if (!in_text && (c == '{' || c == '[') && ++depth > depth_max)
            throw std::invalid_argument("the document is nested more than " + std::to_string(depth_max) + " deep");
        else if (!in_text && (c == '}' || c == ']')) depth--;
    }
}

std::string text_of(const common_json &value, const std::string &field) {
    if (!value.is_string()) refuse(field, "is " + shown(value) + "; it must be a text");
    return value.get<std::string>();
}

bool flag_of(const common_json &value, const std::string &field) {
    if (!value.is_boolean()) refuse(field, "is " + shown(value) + "; it must be true or false");
    return value.get<bool>();
}

void want_object(const common_json &value, const std::string &field) {
    if (!value.is_object()) refuse(field, "is " + shown(value) + "; it must be an object");
}

void want_array(const common_json &value, const std::string &field) {
    if (!value.is_array()) refuse(field, "is " + shown(value) + "; it must be a list");
}

bool is_one_of(const std::string &text, std::initializer_list<const char *> known) {
    for (const char *each : known)
        if (text == each) return true;
    return false;
}

void know_keys(const common_json &object, const std::string &field, std::initializer_list<const char *> known) {
    for (const auto &[key, value] : object.items())
        if (!is_one_of(key, known)) refuse(field.empty() ? key : field + "." + key, "is not known");
}

/* ---- messages ---- */

void check_content(const common_json &content, const std::string &field) {
    if (content.is_string() || content.is_null()) return;
    if (!content.is_array()) refuse(field, "is " + shown(content) + "; it must be a text, a list of parts, or null");
    for (size_t i = 0; i < content.size(); i++) {
        std::string part = field + "[" + std::to_string(i) + "]";
        const common_json &value = content.at(i);
        want_object(value, part);
        std::string type = value.contains("type") ? text_of(value.at("type"), part + ".type") : "";
        if (type != "text") refuse(part + ".type", "is '" + type + "'; only 'text' is understood");
        if (!value.contains("text")) refuse(part, "has no 'text'");
        text_of(value.at("text"), part + ".text");
    }
}

void check_name(const common_json &value, const std::string &field) {
    std::string name = text_of(value, field);
    bool is_good = !name.empty() && name.size() <= 255;
    for (char c : name) is_good = is_good && (isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-' || c == '.' || c == ':');
    if (!is_good) refuse(field, "is " + shown(value) + "; a name has 1 to 255 letters, digits, and _ - . :");
}

void check_calls(const common_json &calls, const std::string &field) {
    want_array(calls, field);
    for (size_t i = 0; i < calls.size(); i++) {
        std::string name = field + "[" + std::to_string(i) + "]";
        const common_json &call = calls.at(i);
        want_object(call, name);
        know_keys(call, name, {"id", "type", "function", "index"});
        if (call.contains("id")) text_of(call.at("id"), name + ".id");
        if (!call.contains("type") || !call.at("type").is_string() || call.at("type").get<std::string>() != "function")
            refuse(name + ".type", "must be 'function'");
        if (!call.contains("function")) refuse(name, "has no 'function'");
        const common_json &function = call.at("function");
        want_object(function, name + ".function");
        know_keys(function, name + ".function", {"name", "arguments"});
        if (!function.contains("name")) refuse(name + ".function", "has no 'name'");
        check_name(function.at("name"), name + ".function.name");
        if (!function.contains("arguments")) refuse(name + ".function", "has no 'arguments'");
        const common_json &arguments = function.at("arguments");
        if (!arguments.is_object()) text_of(arguments, name + ".function.arguments");
        else continue;
        check_depth(arguments.get<std::string>());
    }
}

void check_message(const common_json &message, const std::string &field) {
    want_object(message, field);
    know_keys(message, field, {"role", "content", "name", "tool_calls", "tool_call_id", "reasoning_content", "refusal"});
    if (!message.contains("role")) refuse(field, "has no 'role'");
    std::string role = text_of(message.at("role"), field + ".role");
    if (!is_one_of(role, {"system", "developer", "user", "assistant", "tool"}))
        refuse(field + ".role", "is '" + role + "'; known are system, developer, user, assistant and tool");
    bool has_calls = message.contains("tool_calls") && !message.at("tool_calls").is_null();
    if (role != "assistant" && has_calls) refuse(field + ".tool_calls", "stands in a message of the " + role);
    bool has_content = message.contains("content") && (role == "assistant" || !message.at("content").is_null());
    bool has_thought = role == "assistant" && message.contains("reasoning_content");
    if (!has_content && !has_calls && !has_thought) refuse(field, "has no 'content'");
    if (message.contains("content")) check_content(message.at("content"), field + ".content");
    if (has_calls) check_calls(message.at("tool_calls"), field + ".tool_calls");
    for (const char *key : {"name", "tool_call_id", "reasoning_content"})
        if (message.contains(key) && !message.at(key).is_null()) text_of(message.at(key), field + "." + key);
}

/* What the library reads: without what is null, and each with a content. */
common_json plain_message(const common_json &message) {
    common_json result = common_json::object();
    for (const auto &[key, value] : message.items()) {
        if (value.is_null() || key == "refusal") continue;
        result[key] = value;
    }
    if (!result.contains("content") && !result.contains("tool_calls")) result["content"] = "";
    return result;
}

void read_messages(const common_json &value, chat_document &document) {
    want_array(value, "messages");
    if (value.empty()) refuse("messages", "is empty");
    for (size_t i = 0; i < value.size(); i++) {
        check_message(value.at(i), "messages[" + std::to_string(i) + "]");
        document.messages.push_back(plain_message(value.at(i)));
    }
}

/* ---- tools and schemas ---- */

/* A schema whose patterns can be bound. */
common_json bindable(const common_json &value, const std::string &field) {
    if (value.is_array()) {
        common_json result = common_json::array();
        for (const common_json &item : value) result.push_back(bindable(item, field));
        return result;
    }
    if (!value.is_object()) return value;
    common_json result = common_json::object();
    for (const auto &[key, item] : value.items()) {
        if (key != "pattern" || !item.is_string()) {
            result[key] = bindable(item, field + "." + key);
            continue;
        }
        try {
            result[key] = bindable_pattern(item.get<std::string>());
        } catch (const std::invalid_argument &error) {
            refuse(field + ".pattern", error.what());
        }
    }
    return result;
}

void read_tools(const common_json &value, chat_document &document) {
    if (value.is_null()) return;
    want_array(value, "tools");
    common_json bound = value;
    for (size_t i = 0; i < value.size(); i++) {
        std::string field = "tools[" + std::to_string(i) + "]";
        const common_json &tool = value.at(i);
        want_object(tool, field);
        know_keys(tool, field, {"type", "function"});
        if (!tool.contains("type") || !tool.at("type").is_string() || tool.at("type").get<std::string>() != "function")
            refuse(field + ".type", "must be 'function'");
        if (!tool.contains("function")) refuse(field, "has no 'function'");
        const common_json &function = tool.at("function");
        want_object(function, field + ".function");
        know_keys(function, field + ".function", {"name", "description", "parameters", "strict"});
        if (!function.contains("name")) refuse(field + ".function", "has no 'name'");
        check_name(function.at("name"), field + ".function.name");
        if (function.contains("description")) text_of(function.at("description"), field + ".function.description");
        if (!function.contains("parameters")) continue;
        want_object(function.at("parameters"), field + ".function.parameters");
        bound.at(i).at("function")["parameters"] = bindable(function.at("parameters"), field + ".function.parameters");
    }
    if (value.empty()) return;
    document.tools = value;
    document.bound_tools = bound;
}

/* {"type": "function", "function": {"name": ...}}: that tool alone, and it must be called. */
void choose_tool(const common_json &value, chat_document &document) {
    want_object(value, "tool_choice");
    if (!value.contains("function") || !value.at("function").is_object() || !value.at("function").contains("name"))
        refuse("tool_choice", "is " + shown(value) + "; it must be auto, none, required, or name a function");
    std::string name = text_of(value.at("function").at("name"), "tool_choice.function.name");
    common_json chosen = common_json::array(), bound = common_json::array();
    for (size_t i = 0; document.tools.is_array() && i < document.tools.size(); i++) {
        if (document.tools.at(i).at("function").at("name").get<std::string>() != name) continue;
        chosen.push_back(document.tools.at(i));
        bound.push_back(document.bound_tools.at(i));
    }
    if (chosen.empty()) refuse("tool_choice", "names '" + name + "', which is none of the tools");
    document.tools = chosen;
    document.bound_tools = bound;
    document.tool_choice = COMMON_CHAT_TOOL_CHOICE_REQUIRED;
}

void read_tool_choice(const common_json &value, chat_document &document) {
    if (!value.is_string()) return choose_tool(value, document);
    std::string choice = value.get<std::string>();
    if (!is_one_of(choice, {"auto", "none", "required"}))
        refuse("tool_choice", "is '" + choice + "'; it must be auto, none, required, or name a function");
    document.tool_choice = common_chat_tool_choice_parse_oaicompat(choice);
    if (choice == "required" && !document.tools.is_array()) refuse("tool_choice", "is 'required', but there are no tools");
}

void take_schema(const common_json &schema, const std::string &field, chat_document &document) {
    want_object(schema, field);
    document.schema = bindable(schema, field);
    if (schema.empty()) document.schema["type"] = "object";
}

void read_response_format(const common_json &value, chat_document &document) {
    want_object(value, "response_format");
    std::string type = value.contains("type") ? text_of(value.at("type"), "response_format.type") : "";
    if (type == "text") return know_keys(value, "response_format", {"type"});
    if (type == "json_object") {
        know_keys(value, "response_format", {"type", "schema"});
        take_schema(value.contains("schema") ? value.at("schema") : common_json::object(), "response_format.schema", document);
        return;
    }
    if (type != "json_schema")
        refuse("response_format.type", "is '" + type + "'; it must be text, json_object or json_schema");
    know_keys(value, "response_format", {"type", "json_schema"});
    if (!value.contains("json_schema")) refuse("response_format", "has no 'json_schema'");
    const common_json &wrapper = value.at("json_schema");
    want_object(wrapper, "response_format.json_schema");
    know_keys(wrapper, "response_format.json_schema", {"name", "description", "schema", "strict"});
    if (!wrapper.contains("schema")) refuse("response_format.json_schema", "has no 'schema'");
    take_schema(wrapper.at("schema"), "response_format.json_schema.schema", document);
}

/* ---- the rest ---- */

void read_thinking(const common_json &all, chat_document &document) {
    if (all.contains("enable_thinking")) document.enable_thinking = flag_of(all.at("enable_thinking"), "enable_thinking");
    if (all.contains("reasoning_effort") && !all.at("reasoning_effort").is_null()) {
        std::string effort = text_of(all.at("reasoning_effort"), "reasoning_effort");
        if (effort == "none") document.enable_thinking = false;
        else document.reasoning_effort = effort;
    }
    for (const char *key : {"thinking_budget_tokens", "reasoning_budget_tokens"}) { /* llama-server knows both */
        if (!all.contains(key)) continue;
        const common_json &budget = all.at(key);
        if (!budget.is_number_integer() || budget.get<int64_t>() < -1 || budget.get<int64_t>() > INT32_MAX)
            refuse(key, "is " + shown(budget) + "; it must be a number of tokens, or -1");
        document.thinking_budget = static_cast<int>(budget.get<int64_t>());
    }
    if (!all.contains("reasoning_format")) return;
    std::string format = text_of(all.at("reasoning_format"), "reasoning_format");
    if (!is_one_of(format, {"none", "auto", "deepseek"}))
        refuse("reasoning_format", "is '" + format + "'; it must be none, auto or deepseek");
    document.reasoning_format = common_reasoning_format_from_name(format);
}

void read_kwargs(const common_json &value, chat_document &document) {
    want_object(value, "chat_template_kwargs");
    document.template_kwargs = value;
    if (!value.contains("enable_thinking")) return;
    document.enable_thinking = flag_of(value.at("enable_thinking"), "chat_template_kwargs.enable_thinking");
}

void read_continuation(const common_json &value, chat_document &document) {
    bool is_text = value.is_string() && is_one_of(value.get<std::string>(), {"content", "reasoning_content"});
    if (!is_text && !value.is_boolean())
        refuse("continue_final_message", "is " + shown(value) + "; it must be true, false, content or reasoning_content");
    document.continuation = common_chat_continuation_parse(value);
    if (document.continuation == COMMON_CHAT_CONTINUATION_NONE) return;
    const common_json &last = document.messages.back();
    if (last.at("role").get<std::string>() != "assistant") refuse("continue_final_message", "needs a last message of the assistant");
    if (last.contains("tool_calls")) refuse("continue_final_message", "cannot continue a message that calls tools");
}

void read_conversation(const common_json &all, chat_document &document) {
    know_keys(all, "", {"messages", "tools", "tool_choice", "parallel_tool_calls", "response_format", "json_schema",
                        "chat_template_kwargs", "reasoning_effort", "enable_thinking", "thinking_budget_tokens",
                        "reasoning_budget_tokens", "reasoning_format", "continue_final_message", "add_generation_prompt"});
    read_messages(all.at("messages"), document);
    if (all.contains("tools")) read_tools(all.at("tools"), document);
    if (all.contains("tool_choice")) read_tool_choice(all.at("tool_choice"), document);
    if (all.contains("parallel_tool_calls"))
        document.parallel_tool_calls = flag_of(all.at("parallel_tool_calls"), "parallel_tool_calls");
    if (all.contains("chat_template_kwargs")) read_kwargs(all.at("chat_template_kwargs"), document);
    read_thinking(all, document);
    if (all.contains("continue_final_message")) read_continuation(all.at("continue_final_message"), document);
    bool continues = document.continuation != COMMON_CHAT_CONTINUATION_NONE;
    if (all.contains("add_generation_prompt") && flag_of(all.at("add_generation_prompt"), "add_generation_prompt") == continues)
        refuse("add_generation_prompt", continues ? "is true, but the last message is to be continued"
                                                  : "is false, but no message is to be continued");
}

void read_prompt(const common_json &all, chat_document &document) {
    know_keys(all, "", {"prompt", "response_format", "json_schema"});
    document.kind = chat_document::PROMPT;
    document.prompt = all.at("prompt");
    if (document.prompt.is_string()) return;
    want_array(document.prompt, "prompt");
    for (const common_json &item : document.prompt)
        if (!item.is_string() && !item.is_number_integer())
            refuse("prompt", "holds " + shown(item) + "; it must hold texts and tokens alone");
}

void read_infill(const common_json &all, chat_document &document) {
    know_keys(all, "", {"input_prefix", "input_suffix", "input_extra", "response_format", "json_schema"});
    document.kind = chat_document::INFILL;
    if (all.contains("input_prefix")) document.prefix = text_of(all.at("input_prefix"), "input_prefix");
    if (all.contains("input_suffix")) document.suffix = text_of(all.at("input_suffix"), "input_suffix");
    if (!all.contains("input_extra")) return;
    want_array(all.at("input_extra"), "input_extra");
    for (size_t i = 0; i < all.at("input_extra").size(); i++) {
        const common_json &file = all.at("input_extra").at(i);
        std::string field = "input_extra[" + std::to_string(i) + "]";
        want_object(file, field);
        know_keys(file, field, {"filename", "text"});
        for (const char *key : {"filename", "text"}) {
            if (!file.contains(key)) refuse(field, std::string("has no '") + key + "'");
            text_of(file.at(key), field + "." + key);
        }
        document.extra.push_back(file);
    }
}

} // namespace

chat_document read_document(const std::string &text) {
    chat_document document;
    check_depth(text);
    common_json all = common_json::parse_no_throw(text);
    if (all.is_discarded()) {
        try {
            common_json::parse(text);
        } catch (const std::exception &error) {
            throw std::invalid_argument(std::string("the document is not valid JSON: ") + error.what());
        }
    }
    if (!all.is_object()) throw std::invalid_argument("the document is " + shown(all) + "; it must be an object");
    bool is_infill = all.contains("input_prefix") || all.contains("input_suffix");
    int n_kinds = all.contains("messages") + all.contains("prompt") + is_infill;
    if (n_kinds != 1)
        throw std::invalid_argument("the document must hold one of 'messages', 'prompt', and 'input_prefix' with "
                                    "'input_suffix'");
    if (all.contains("messages")) read_conversation(all, document);
    else if (is_infill) read_infill(all, document);
    else read_prompt(all, document);
    if (all.contains("response_format")) read_response_format(all.at("response_format"), document);
    if (all.contains("json_schema") && !all.at("json_schema").is_null())
        take_schema(all.at("json_schema"), "json_schema", document);
    return document;
}
