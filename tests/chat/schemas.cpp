/* schemas.cpp - an answer that follows a JSON schema parses, and is valid, always: random schemas on a model that says every
 * token with the same probability, at temperature 1. What says so is a validator that has nothing to do with us (Python's
 * jsonschema). An answer that is cut says that it is cut.
 *
 *     schemas [N [MODEL [TEMPERATURE]]]     so many schemas; 60. Of a model: at temperature 50 that of random_model says
 *                                           every token with nearly the same probability. What a token took is printed.
 */
#include "chat_test.hpp"

extern "C" {
#include "../../src/engine/sampling.h"
#include "../support/test_model.h"
}

#include <algorithm>
#include <cstring>
#include <ctime>
#include <unistd.h>

namespace {

uint64_t state = 20;

uint32_t pick(uint32_t below) {
    return test_random(&state, below);
}

common_json typed(const char *type) {
    common_json schema = common_json::object();
    schema["type"] = type;
    return schema;
}

common_json make_schema(int depth);

common_json make_object(int depth) {
    common_json schema = typed("object"), properties = common_json::object(), required = common_json::array();
    for (uint32_t i = 0, n = 1 + pick(3); i < n; i++) {
        std::string name = "p" + std::to_string(i);
        properties[name] = make_schema(depth - 1);
        if (pick(2)) required.push_back(name);
    }
    schema["properties"] = properties;
    if (!required.empty()) schema["required"] = required;
    schema["additionalProperties"] = false;
    return schema;
}

common_json make_array(int depth) {
    common_json schema = typed("array");
    schema["items"] = make_schema(depth - 1);
    schema["minItems"] = static_cast<int>(pick(2));
    schema["maxItems"] = static_cast<int>(1 + pick(3));
    return schema;
}

common_json make_text() {
    common_json schema = typed("string");
    static const char *const patterns[] = {
        "^[a-z]{2,5}$", "^(red|green)-[0-9]+$", "^\\d{4}-\\d{2}$", "^.{1,4}$", "^[^a]{2}$", "^\\S[ -~]{3}\\D$", "^\"\\\\\n?\\.$",
        "^(?:ü|→+)[!-,]?\\/\\u00e9$", "^a$|^[\"\\\\]{2}$|^b{2,3}?c$", "^()$", "^[\\t\"]{3}$", "^(a|)[^\\W\\d](b|c)*?$"};
    switch (pick(4)) {
    case 0: schema["pattern"] = patterns[pick(sizeof patterns / sizeof patterns[0])]; break;
    case 1: schema["format"] = "date"; break;
    default: schema["maxLength"] = static_cast<int>(1 + pick(12)); schema["minLength"] = static_cast<int>(pick(2));
    }
    return schema;
}

common_json make_union(int depth) {
    common_json schema = common_json::object(), choices = common_json::array();
    for (uint32_t i = 0, n = 2 + pick(2); i < n; i++) choices.push_back(make_schema(depth - 1));
    schema["anyOf"] = choices;
    return schema;
}

common_json make_enum() {
    common_json schema = common_json::object(), values = common_json::array();
    values.push_back("one");
    values.push_back(2);
    values.push_back("th\"ree");
    values.push_back(nullptr);
    schema["enum"] = values;
    return schema;
}

common_json make_integer() {
    common_json schema = typed("integer");
    if (pick(2)) {
        schema["minimum"] = -static_cast<int>(pick(50));
        schema["maximum"] = static_cast<int>(pick(1000));
    }
    return schema;
}

common_json make_schema(int depth) {
    uint32_t kind = pick(depth > 0 ? 9 : 6);
    switch (kind) {
    case 0: return make_integer();
    case 1: return typed("boolean");
    case 2: return make_enum();
    case 3: return typed("number");
    case 4: case 5: return make_text();
    case 6: return make_array(depth);
    case 7: return make_union(depth);
    default: return make_object(depth);
    }
}

/* Microseconds that each step took in which a token came; in the first of an answer the prompt is read. */
struct times {
    std::vector<double> us;

    void print(const char *what) {
        if (us.empty()) return;
        std::sort(us.begin(), us.end());
        auto at = [&](double part) { return us[static_cast<size_t>(part * static_cast<double>(us.size() - 1))]; };
        double sum = 0;
        for (double each : us) sum += each;
        test_step("%s: %zu tokens, each %.0f us in the middle, %.0f on average, %.0f for 99 of 100, %.0f at most", what, us.size(),
                  at(0.5), sum / static_cast<double>(us.size()), at(0.99), us.back());
    }
};

/* Of this process' own time: the machine may be busy. */
double now_us() {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

/* Makes one answer. Returns how it ends. */
engine_end answer(engine *model, const engine_request &request, std::string &text, times &times) {
    int sequence, error = engine_admit(model, &request, &sequence);
    CHECK_SAY(error == ENGINE_OK, "%s: %s", request.document, model->message);
    std::vector<engine_progress> progress(static_cast<size_t>(model->facts.n_progress));
    for (;;) {
        double began_us = now_us();
        size_t n = engine_step(model, progress.data());
        for (size_t i = 0; i < n; i++) {
            text.append(progress[i].text, progress[i].n_bytes);
            if (progress[i].n_tokens > 1) times.us.push_back(now_us() - began_us);
            CHECK_SAY(progress[i].end != ENGINE_END_FAILED, "%s: %s", request.document, model->message);
            if (progress[i].end != ENGINE_END_NONE) return progress[i].end;
        }
    }
}

/* What is asked; every other time in a conversation, if the model has a template. */
std::string document_of(const common_json &schema, int number, bool has_template) {
    common_json document = common_json::object();
    if (has_template && number % 2) document["messages"] = common_json::parse("[{\"role\": \"user\", \"content\": \"x\"}]");
    else document["prompt"] = "x";
    if (schema.is_object()) document["json_schema"] = schema;
    return document.dump();
}

engine_request request_of(const std::string &document, int number, float temperature) {
    engine_request request = {};
    request.document = document.c_str();
    request.n_predict = 1500;
    sampling_init(&request.sampling);
    sampling_complete(&request.sampling);
    request.sampling.temperature = temperature;
    request.sampling.min_p = 0; /* every token may come */
    request.sampling.seed = static_cast<uint32_t>(number);
    return request;
}

const char validator[] = "import sys, json\n"
                         "try:\n    import jsonschema\nexcept ImportError:\n    sys.exit(77)\n"
                         "for line in sys.stdin:\n"
                         "    schema, answer = json.loads(line)\n"
                         "    try:\n        jsonschema.validate(json.loads(answer), schema)\n"
                         "    except Exception as error:\n"
                         "        print('schema', json.dumps(schema), 'answer', answer, error, file=sys.stderr)\n        sys.exit(1)\n";

} // namespace

int main(int argc, char **argv) {
    int n_schemas = argc > 1 ? atoi(argv[1]) : 60, n_complete = 0, n_cut = 0;
    float temperature = argc > 3 ? strtof(argv[3], nullptr) : 1;
    test_begin("chat/schemas", n_schemas > 500 ? 3600 : 240);
    std::string path = "/tmp/lipctest_schemas_" + std::to_string(getpid()), model_path = argc > 2 ? argv[2] : path + ".gguf";
    if (argc <= 2) test_model_write(model_path.c_str(), 500);
    char message[ENGINE_MESSAGE_SIZE] = "";
    llama_engine_options options = {};
    options.model_path = model_path.c_str();
    options.n_ctx = 2048;
    options.n_sequences = 1;
    options.n_threads = 1;
    engine *model;
    CHECK_SAY(llama_engine_open(&options, &model, message, sizeof message) == ENGINE_OK, "%s", message);
    bool has_template = strcmp(model->facts.template_name, "plain") != 0;
    FILE *script = fopen((path + ".py").c_str(), "w");
    CHECK(script && fputs(validator, script) >= 0 && fclose(script) == 0);
    FILE *judge = popen(("python3 " + path + ".py").c_str(), "w");
    CHECK(judge != nullptr);
    times free_times, times;
    for (int i = 0; i < n_schemas; i++) {
        common_json schema = make_object(3), pair = common_json::array();
        std::string text, document = document_of(schema, i, has_template), free_document = document_of(nullptr, i, has_template);
        size_t n_before = times.us.size();
        engine_end end = answer(model, request_of(document, i, temperature), text, times);
        (end == ENGINE_END_TURN ? n_complete : n_cut)++;
        if (argc > 2) { /* as many tokens without a schema */
            std::string free_text;
            engine_request request = request_of(free_document, i, temperature);
            request.n_predict = static_cast<int32_t>(times.us.size() - n_before) + 1;
            request.sampling.ignore_eos = true;
            answer(model, request, free_text, free_times);
        }
        if (end != ENGINE_END_TURN) continue;
        pair.push_back(schema);
        pair.push_back(text);
        fprintf(judge, "%s\n", pair.dump().c_str());
    }
    int judged = pclose(judge);
    engine_close(model);
    if (argc <= 2) unlink(model_path.c_str());
    unlink((path + ".py").c_str());
    if (WIFEXITED(judged) && WEXITSTATUS(judged) == 77) test_skip("python3 has no jsonschema");
    CHECK_INT(judged, ==, 0);
    CHECK_INT(n_complete, >=, n_schemas / 2);
    free_times.print("without a schema");
    times.print("with a schema");
    test_step("%d schemas: %d complete answers, all valid; %d cut, and said so", n_schemas, n_complete, n_cut);
    return test_end();
}
