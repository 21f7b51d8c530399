/* answers.cpp - answers of every family that has a template, with a thought, one call, two calls, a call with nested JSON: fed
 * in every split, and cut behind every character, they have the parts that llama-server's parser finds in the whole.
 *
 * What a model of a family would say is what its template writes for an earlier answer of the same content. Where the
 * library's parser does not find that content in it, the family is left out of that case.
 *
 *     answers         split behind each byte, of one template of each of twelve families; behind each 16th of the others
 *     answers all     behind each byte of all
 *     answers short   each fifth template, behind each 64th byte
 */
#include "chat_test.hpp"

#include "../../src/engine/llama/common/answer.h"
#include "../../src/engine/llama/common/chat.hpp"

#include <algorithm>
#include <set>

namespace {

struct parts {
    std::string text, thought;
    std::vector<common_chat_tool_call> calls;

    bool operator==(const parts &other) const {
        return text == other.text && thought == other.thought && calls == other.calls;
    }
};

std::string shown(const parts &parts) {
    std::string all = "text '" + parts.text + "', thought '" + parts.thought + "'";
    for (const common_chat_tool_call &call : parts.calls) all += ", call " + call.id + " " + call.name + " " + call.arguments;
    return all;
}

void feed(answer_reader *reader, const std::string &bytes, answer_state state, parts &all) {
    answer_output *output = answer_output_new();
    CHECK(answer_reader_take(reader, bytes.data(), bytes.size(), state, output));
    size_t n;
    const char *text = answer_output_text(output, &n);
    all.text.append(text, n);
    const engine_delta *deltas = answer_output_deltas(output, &n);
    for (size_t i = 0; i < n; i++) {
        const engine_delta &delta = deltas[i];
        std::string grown(delta.bytes, delta.n_bytes);
        if (delta.kind == ENGINE_PART_THOUGHT) {
            all.thought += grown;
            continue;
        }
        if (delta.begins) all.calls.push_back({delta.name, "", delta.id});
        CHECK(!all.calls.empty());
        all.calls.back().arguments += grown;
    }
    answer_output_free(output);
}

/* What the library finds; a call whose arguments have not begun is not known to have its whole name. */
bool peer_parse(const chat_prompt *prompt, const std::string &text, bool is_partial, parts &found) {
    common_chat_parser_params params(prompt->params);
    params.reasoning_format = prompt->reasoning_format;
    params.parse_tool_calls = prompt->parses_calls;
    if (!prompt->params.parser.empty()) params.parser.load(prompt->params.parser);
    try {
        common_chat_msg message = common_chat_parse(text, is_partial, params);
        found = {message.content, message.reasoning_content, message.tool_calls};
    } catch (const std::exception &) {
        return false;
    }
    /* What may become the beginning of a stop is held back; llama-server does that behind its parser. */
    for (const std::string &stop : prompt->params.additional_stops)
        for (size_t n = std::min(stop.size(), found.text.size() + 1) - 1; is_partial && n > 0; n--)
            if (found.text.compare(found.text.size() - n, n, stop, 0, n) == 0) {
                found.text.resize(found.text.size() - n);
                break;
            }
    if (is_partial && !found.calls.empty() && found.calls.back().arguments.size() <= 1) found.calls.pop_back();
    return true;
}

common_json document(const char *answer) {
    common_json all = common_json::parse(R"({"messages":[{"role":"user","content":"What time is it?"}],
        "tools":[{"type":"function","function":{"name":"current_time","description":"The time.","parameters":{"type":"object",
        "properties":{"zone":{"type":"string"}},"required":["zone"]}}},{"type":"function","function":{"name":"find",
        "description":"Finds.","parameters":{"type":"object","properties":{"query":{"type":"object","properties":{
        "words":{"type":"array","items":{"type":"string"}},"limit":{"type":"integer"}}}},"required":["query"]}}}],
        "parallel_tool_calls":true})");
    if (answer) all["messages"].push_back(common_json::parse(answer));
    return all;
}

const char *const answers[] = {
    R"({"role":"assistant","content":"It is noon, or so.\n\nAnd 3 < 4 [as you know]."})",
    R"({"role":"assistant","reasoning_content":"The clock says twelve.\nSo it is noon.","content":"It is noon."})",
    R"({"role":"assistant","content":"","tool_calls":[{"type":"function","id":"abcdefghi","function":{"name":"current_time",
        "arguments":"{\"zone\": \"Europe/Berlin\"}"}}]})",
    R"({"role":"assistant","content":"","tool_calls":[{"type":"function","id":"abcdefghi","function":{"name":"current_time",
        "arguments":"{\"zone\": \"Europe/Berlin\"}"}},{"type":"function","id":"jklmnopqr","function":{"name":"current_time",
        "arguments":"{\"zone\": \"Asia/Tokyo\"}"}}]})",
    R"({"role":"assistant","content":"","tool_calls":[{"type":"function","id":"abcdefghi","function":{"name":"find",
        "arguments":"{\"query\": {\"words\": [\"a\", \"b }\"], \"limit\": 3}}"}}]})"};
constexpr size_t n_answers = sizeof answers / sizeof answers[0];

/* What stands behind the question when the answer is told as an earlier one; "" if the template does not go on so. */
std::string recorded(const llama_model *model, const std::string &source, const chat_prompt *prompt, const char *answer) {
    common_json asked = document(answer);
    asked["messages"].push_back(common_json::parse(R"({"role":"user","content":"@@@"})"));
    peer_prompt whole = peer_render(model, source, asked);
    if (whole.is_refused) return "";
    size_t n_common = prompt->text.size();
    if (whole.text.compare(0, n_common, prompt->text) != 0)
        return ""; /* the prompt begins a thought, and thoughts of earlier turns are left out */
    std::string rest = whole.text.substr(n_common);
    size_t end = rest.rfind("@@@");
    return end == std::string::npos ? "" : rest.substr(0, end);
}

/* Where the answer ends: at the first mark that ends a turn, which is no text of it. */
std::string until_end(const std::string &text) {
    size_t end = std::string::npos;
    static const char *const ends[] = {"<|im_end|>", "<|eot_id|>", "<|eom_id|>", "</s>", "<|endoftext|>", "<end_of_turn>",
        "<|end_of_text|>", "<|END_OF_TURN_TOKEN|>", "<\xef\xbd\x9c" "end\xe2\x96\x81of\xe2\x96\x81sentence\xef\xbd\x9c>", "<|return|>",
        "<|call|>", "<|user|>", "<seed:eos>", "[e~[", "<|end_of_msg|>", "<turn|>", "<|message_sep|>", "<|observation|>", "<|end|>"};
    for (const char *mark : ends) end = std::min(end, text.find(mark));
    return text.substr(0, end);
}

bool has_content(const parts &found, const char *answer) {
    common_json message = common_json::parse(answer);
    size_t n_calls = message.contains("tool_calls") ? message.at("tool_calls").size() : 0;
    if (found.calls.size() != n_calls) return false;
    for (size_t i = 0; i < n_calls; i++)
        if (found.calls[i].name != message.at("tool_calls").at(i).at("function").at("name").get<std::string>()) return false;
    return n_calls > 0 || found.text.find("noon") != std::string::npos;
}

/* One template of each way to write thoughts and calls. */
const char *const families[] = {
    "CohereForAI-c4ai-command-r7b-12-2024-tool_use", "GLM-4.6", "Kimi-K2-Instruct", "LFM2.5-8B-A1B", "MiniMax-M3",
    "NousResearch-Hermes-3-Llama-3.1-8B-tool_use", "Qwen-Qwen3-0.6B", "Qwen3-Coder", "deepseek-ai-DeepSeek-V3.1",
    "google-gemma-4-31B-it", "ibm-granite-granite-4.0", "meetkai-functionary-medium-v3.1", "meta-llama-Llama-3.1-8B-Instruct",
    "openai-gpt-oss-120b", "unsloth-mistral-Devstral-Small-2507"};

enum class length { USUAL, ALL, SHORT };

size_t bytes_between_splits(const std::string &name, length length) {
    if (length == length::SHORT) return 64;
    bool is_listed = std::find(std::begin(families), std::end(families), name) != std::end(families);
    return length == length::ALL || is_listed ? 1 : 16;
}

struct tally {
    size_t each = 16; /* split behind so many bytes */
    std::set<std::string> split_everywhere;
    int n_cases = 0, n_splits = 0, n_cuts = 0;
    std::set<std::string> families;
};

answer_reader *new_reader(const chat_prompt *prompt) {
    char message[ENGINE_MESSAGE_SIZE] = "";
    answer_reader *reader = answer_reader_new(prompt, message, sizeof message);
    CHECK_SAY(reader != nullptr, "%s", message);
    return reader;
}

bool is_inside(const std::string &text, size_t at) {
    return at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80;
}

void check_answer(const chat_prompt *prompt, const std::string &name, const std::string &text, const parts &whole, tally &tally) {
    answer_reader *reader = new_reader(prompt);
    parts all;
    for (size_t at = 0; at < text.size();) {
        size_t next = at + 1;
        while (is_inside(text, next)) next++;
        feed(reader, text.substr(at, next - at), ANSWER_GOES_ON, all);
        at = next;
        parts cut;
        if (!peer_parse(prompt, text.substr(0, at), true, cut)) continue;
        tally.n_cuts++;
        CHECK_SAY(all == cut, "%s, cut behind '%s':\nours %s\npeer %s", name.c_str(), text.substr(0, at).c_str(),
                  shown(all).c_str(), shown(cut).c_str());
    }
    feed(reader, "", ANSWER_COMPLETE, all);
    CHECK_SAY(all == whole, "%s, one by one '%s':\nours %s\npeer %s", name.c_str(), text.c_str(), shown(all).c_str(), shown(whole).c_str());
    answer_reader_free(reader);
    for (size_t at = 0; at < text.size(); at += tally.each) {
        if (is_inside(text, at)) continue;
        reader = new_reader(prompt);
        parts split;
        feed(reader, text.substr(0, at), ANSWER_GOES_ON, split);
        feed(reader, text.substr(at), ANSWER_GOES_ON, split);
        feed(reader, "", ANSWER_COMPLETE, split);
        tally.n_splits++;
        CHECK_SAY(split == whole, "%s, split at %zu of '%s':\nours %s\npeer %s", name.c_str(), at, text.c_str(), shown(split).c_str(),
                  shown(whole).c_str());
        answer_reader_free(reader);
    }
    tally.n_cases++;
}

void check_family(const llama_model *model, const std::string &name, tally &tally) {
    std::string source = file_text(testdata_folder() + "/templates/" + name + ".jinja");
    char message[ENGINE_MESSAGE_SIZE] = "";
    chat_options options = {};
    options.template_text = source.c_str();
    chat *opened = chat_open(model, &options, message, sizeof message);
    CHECK_SAY(opened != nullptr, "%s: %s", name.c_str(), message);
    std::string asked = document(nullptr).dump();
    engine_request request = {};
    request.document = asked.c_str();
    engine_error error;
    chat_document *read = chat_document_new(&request, message, sizeof message);
    chat_prompt *prompt = read ? chat_render(opened, read, 0, &error, message, sizeof message) : nullptr;
    CHECK_SAY(prompt != nullptr, "%s: %s", name.c_str(), message);
    std::string cases;
    for (size_t i = 0; i < n_answers; i++) {
        std::string text = until_end(recorded(model, source, prompt, answers[i]));
        for (const std::string &stop : prompt->params.additional_stops) text = text.substr(0, text.find(stop));
        parts whole;
        if (text.empty() || !peer_parse(prompt, text, false, whole) || !has_content(whole, answers[i])) continue;
        check_answer(prompt, name, text, whole, tally);
        tally.families.insert(name);
        if (tally.each == 1) tally.split_everywhere.insert(name);
        cases += " " + std::to_string(i);
    }
    printf("%s:%s\n", name.c_str(), cases.c_str());
    chat_prompt_free(prompt);
    chat_document_free(read);
    chat_close(opened);
}

} // namespace

int main(int argc, char **argv) {
    std::string word = argc > 1 ? argv[1] : "";
    length length = word == "all" ? length::ALL : word == "short" ? length::SHORT : length::USUAL;
    test_begin("chat/answers", length == length::ALL ? 36000 : 600);
    std::string vocabulary;
    llama_model *model = nullptr;
    tally tally;
    std::vector<std::string> names = names_in(testdata_folder() + "/templates", ".jinja");
    for (size_t i = 0; i < names.size(); i += length == length::SHORT ? 5 : 1) {
        if (vocabulary_of(names[i]) != vocabulary) {
            if (model) llama_model_free(model);
            model = open_vocabulary(vocabulary = vocabulary_of(names[i]));
        }
        tally.each = bytes_between_splits(names[i], length);
        check_family(model, names[i], tally);
    }
    llama_model_free(model);
    CHECK_INT(tally.families.size(), >=, length == length::SHORT ? 8 : 12);
    if (length != length::SHORT) CHECK_INT(tally.split_everywhere.size(), >=, 12);
    test_step("%zu templates, %d answers, %d splits (of %zu templates behind each byte), %d cuts: the same parts as the whole",
              tally.families.size(), tally.n_cases, tally.n_splits, tally.split_everywhere.size(), tally.n_cuts);
    return test_end();
}
