/* requests.cpp - what a document may ask for beside a conversation: raw prompts of texts and tokens, the middle of a file, the rest
 * of an answer that was begun, thinking in all its ways; and what is refused, with the field's name. */
#include "chat_test.hpp"

#include "../../src/engine/llama/common/answer.h"
#include "../../src/engine/llama/common/chat.hpp"

#include <cstring>

namespace {

struct asked {
    chat_document *document = nullptr;
    chat_prompt *prompt = nullptr;
    char message[ENGINE_MESSAGE_SIZE] = "";

    asked(const chat *chat, const std::string &text) {
        engine_request request = {};
        request.document = text.c_str();
        engine_error error;
        document = chat_document_new(&request, message, sizeof message);
        if (document) prompt = chat_render(chat, document, 0, &error, message, sizeof message);
    }
    ~asked() {
        chat_prompt_free(prompt);
        chat_document_free(document);
    }
    asked(const asked &) = delete;
    asked &operator=(const asked &) = delete;
};

std::string conversation(const std::string &members) {
    return R"({"messages":[{"role":"user","content":"What time is it?"}])" + members + "}";
}

bool ends_with(const std::string &text, const std::string &end) {
    return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

void check_end(const chat *chat, const std::string &text, const std::string &end) {
    asked made(chat, text);
    CHECK_SAY(made.prompt != nullptr, "%s: %s", text.c_str(), made.message);
    CHECK_SAY(ends_with(made.prompt->text, end), "%s: the prompt is '%s'", text.c_str(), made.prompt->text.c_str());
}

void check_tokens(const chat *chat, const std::string &text, const std::vector<llama_token> &expected) {
    asked made(chat, text);
    CHECK_SAY(made.prompt != nullptr, "%s: %s", text.c_str(), made.message);
    CHECK_SAY(made.prompt->tokens == expected, "%s: the prompt is '%s'", text.c_str(), made.prompt->text.c_str());
}

/* What is shown of an answer: "[thought]text". */
std::string shown(const chat *chat, const std::string &text, const std::string &answer) {
    asked made(chat, text);
    CHECK_SAY(made.prompt != nullptr, "%s: %s", text.c_str(), made.message);
    answer_reader *reader = answer_reader_new(made.prompt, made.message, sizeof made.message);
    answer_output *output = answer_output_new();
    CHECK(reader && output);
    CHECK(answer_reader_take(reader, answer.data(), answer.size(), ANSWER_GOES_ON, output));
    CHECK(answer_reader_take(reader, "", 0, ANSWER_COMPLETE, output));
    std::string thought, all;
    size_t n;
    const engine_delta *deltas = answer_output_deltas(output, &n);
    for (size_t i = 0; i < n; i++) thought.append(deltas[i].bytes, deltas[i].n_bytes);
    all.assign(answer_output_text(output, &n));
    answer_output_free(output);
    answer_reader_free(reader);
    return thought.empty() ? all : "[" + thought + "]" + all;
}

void check_shown(const chat *chat, const std::string &text, const std::string &answer, const std::string &expected) {
    std::string seen = shown(chat, text, answer);
    CHECK_SAY(seen == expected, "%s: '%s' is shown as '%s'", text.c_str(), answer.c_str(), seen.c_str());
}

void check_raw(const chat *chat) {
    test_step("raw prompts and the middle of a file");
    auto ids = [&](const char *text) { return common_tokenize(chat->vocab, text, false, true); };
    auto id = [&](const char *mark) {
        std::vector<llama_token> one = ids(mark);
        CHECK_INT(one.size(), ==, 1);
        return one[0];
    };
    auto joined = [](std::vector<std::vector<llama_token>> lists) {
        std::vector<llama_token> all;
        for (const auto &list : lists) all.insert(all.end(), list.begin(), list.end());
        return all;
    };
    check_tokens(chat, R"({"prompt":"Once <fim_pad>upon"})", ids("Once <fim_pad>upon"));
    check_tokens(chat, R"({"prompt":[5,7,5]})", {5, 7, 5});
    check_tokens(chat, R"({"prompt":["a b",5,"c"]})", joined({ids("a b"), {5}, ids("c")}));
    check_tokens(chat, R"({"input_prefix":"int f(","input_suffix":"}"})",
                 joined({{id("<fim_prefix>")}, ids("int f("), {id("<fim_suffix>")}, ids("}"), {id("<fim_middle>")}}));
    asked marks(chat, R"({"input_prefix":"<fim_pad>","input_suffix":"<fim_middle>"})");
    CHECK(marks.prompt);
    int n_control = 0;
    for (llama_token token : marks.prompt->tokens) n_control += chat->marks.is_control(token);
    CHECK_INT(n_control, ==, 3); /* its own three */
    asked files(chat, R"({"input_prefix":"a","input_suffix":"b","input_extra":[{"filename":"x.c","text":"int x;"}]})");
    CHECK(files.prompt == nullptr && strstr(files.message, "input_extra")); /* this one knows no marks between files */
}

void check_thinking(const chat *thinker) {
    test_step("thinking");
    check_end(thinker, conversation(""), "<|im_start|>assistant\n");
    check_end(thinker, conversation(R"(,"enable_thinking":false)"), "<think>\n\n</think>\n\n");
    check_end(thinker, conversation(R"(,"chat_template_kwargs":{"enable_thinking":false})"), "<think>\n\n</think>\n\n");
    check_end(thinker, conversation(R"(,"reasoning_effort":"none")"), "<think>\n\n</think>\n\n");
    const char answer[] = "<think>\nIt is late.\n</think>\n\nNoon.";
    check_shown(thinker, conversation(""), answer, "[It is late.\n]Noon.");
    check_shown(thinker, conversation(R"(,"reasoning_format":"none")"), answer, answer);
    asked bounded(thinker, conversation(R"(,"thinking_budget_tokens":2)"));
    CHECK(bounded.prompt);
    answer_reader *reader = answer_reader_new(bounded.prompt, bounded.message, sizeof bounded.message);
    answer_output *output = answer_output_new();
    llama_token token;
    for (const char *piece : {"<think>", "\nIt", " is"}) {
        CHECK(!answer_reader_forces(reader, &token));
        CHECK(answer_reader_take(reader, piece, strlen(piece), ANSWER_GOES_ON, output));
    }
    CHECK(answer_reader_forces(reader, &token));
    std::string forced = common_token_to_piece(thinker->vocab, token, true);
    CHECK_SAY(std::string("</think>").compare(0, forced.size(), forced) == 0, "'%s' is forced", forced.c_str());
    answer_output_free(output);
    answer_reader_free(reader);
}

void check_continuation(const chat *thinker) {
    test_step("an answer that was begun");
    std::string begun = R"({"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"It is"}],"continue_final_message":)";
    check_end(thinker, begun + "true}", "It is");
    check_end(thinker, begun + "true,\"add_generation_prompt\":false}", "It is");
    check_shown(thinker, begun + "true}", " noon.", " noon.");
    check_end(thinker, R"({"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"","reasoning_content":"Let"}],)"
                       R"("continue_final_message":"reasoning_content"})", "Let");
}

void check_refusals(const chat *chat) {
    static const struct { const char *text, *part; } cases[] = {
        {R"({"messages":[]})", "'messages'"}, {R"({"messages":[{"role":"root","content":"x"}]})", "messages[0].role"},
        {R"({"messages":[{"role":"user"}]})", "messages[0]"}, {R"({"wishes":1,"messages":[{"role":"user","content":"x"}]})", "'wishes'"},
        {R"({"prompt":"x","messages":[{"role":"user","content":"x"}]})", "one of"}, {R"({"prompt":[999999999]})", "999999999"},
        {R"({"prompt":[1.5]})", "'prompt'"}, {R"({"prompt":""})", "empty"}, {R"([1])", "object"}, {R"({"a")", "JSON"},
        {R"({"messages":[{"role":"user","content":"x"}],"tool_choice":"required"})", "tool_choice"},
        {R"({"messages":[{"role":"user","content":"x"}],"continue_final_message":true})", "continue_final_message"},
        {R"({"messages":[{"role":"user","content":"x"}],"json_schema":{"type":"string","pattern":"^(?=a)$"}})", "pattern"},
        {R"({"messages":[{"role":"user","content":"x"}],"json_schema":{"type":"string","pattern":"\\bx"}})", "\\b"},
        {R"({"messages":[{"role":"user","content":"x"}],"thinking_budget_tokens":"few"})", "thinking_budget_tokens"}};
    test_step("refusals");
    for (const auto &each : cases) {
        asked made(chat, each.text);
        CHECK_SAY(made.prompt == nullptr, "%s is not refused", each.text);
        CHECK_SAY(strstr(made.message, each.part), "%s: '%s' does not say '%s'", each.text, made.message, each.part);
    }
}

chat *opened(const llama_model *model, const char *name) {
    std::string source = file_text(testdata_folder() + "/templates/" + name + ".jinja");
    char message[ENGINE_MESSAGE_SIZE] = "";
    chat_options options = {};
    options.template_text = source.c_str();
    chat *made = chat_open(model, &options, message, sizeof message);
    CHECK_SAY(made != nullptr, "%s: %s", name, message);
    return made;
}

} // namespace

int main(void) {
    test_begin("chat/requests", 60);
    llama_model *code = open_vocabulary("starcoder"), *general = open_vocabulary("qwen2");
    chat *writer = opened(code, "ibm-granite-granite-4.0"), *thinker = opened(general, "Qwen-Qwen3-0.6B");
    check_raw(writer);
    check_thinking(thinker);
    check_continuation(thinker);
    check_refusals(thinker);
    asked none(thinker, R"({"input_prefix":"a","input_suffix":"b"})");
    CHECK(none.prompt == nullptr && strstr(none.message, "fill in the middle"));
    chat_close(writer);
    chat_close(thinker);
    llama_model_free(code);
    llama_model_free(general);
    return test_end();
}
