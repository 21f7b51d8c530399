/* schemas.cpp - an answer that follows a JSON schema parses, and is valid, always: random schemas on a model that says every
 * token with the same probability, at temperature 1. What says so is a validator that has nothing to do with us (Python's
 * jsonschema). An answer that is cut says that it is cut.
 *
 *     schemas [N]     so many schemas; 60
 */
#include "chat_test.hpp"

extern "C" {
#include "../support/test_model.h"
}

#include <cstring>
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
    static const char *const patterns[] = {"^[a-z]{2,5}$", "^(red|green)-[0-9]+$", "^\\d{4}-\\d{2}$"};
    switch (pick(4)) {
    case 0: schema["pattern"] = patterns[pick(3)]; break;
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

/* Makes one answer. Returns how it ends. */
engine_end answer(engine *model, const common_json &schema, uint32_t seed, std::string &text) {
    common_json document = common_json::object();
    document["prompt"] = "x";
    document["json_schema"] = schema;
    std::string asked = document.dump();
    engine_request request = {};
    request.document = asked.c_str();
    request.n_predict = 1500;
    request.sampling.temperature = 1;
    request.sampling.top_p = 1;
    request.sampling.repeat_penalty = 1;
    request.sampling.seed = seed;
    int sequence, error = engine_admit(model, &request, &sequence);
    CHECK_SAY(error == ENGINE_OK, "%s: %s", asked.c_str(), model->message);
    std::vector<engine_progress> progress(static_cast<size_t>(model->facts.n_progress));
    for (;;) {
        size_t n = engine_step(model, progress.data());
        for (size_t i = 0; i < n; i++) {
            text.append(progress[i].text, progress[i].n_bytes);
            CHECK_SAY(progress[i].end != ENGINE_END_FAILED, "%s: %s", asked.c_str(), model->message);
            if (progress[i].end != ENGINE_END_NONE) return progress[i].end;
        }
    }
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
    test_begin("chat/schemas", n_schemas > 500 ? 3600 : 240);
    std::string path = "/tmp/lipctest_schemas_" + std::to_string(getpid());
    test_model_write((path + ".gguf").c_str(), 500);
    char message[ENGINE_MESSAGE_SIZE] = "";
    std::string model_path = path + ".gguf";
    llama_engine_options options = {};
    options.model_path = model_path.c_str();
    options.n_ctx = 2048;
    options.n_sequences = 1;
    options.n_threads = 1;
    engine *model;
    CHECK_SAY(llama_engine_open(&options, &model, message, sizeof message) == ENGINE_OK, "%s", message);
    FILE *script = fopen((path + ".py").c_str(), "w");
    CHECK(script && fputs(validator, script) >= 0 && fclose(script) == 0);
    FILE *judge = popen(("python3 " + path + ".py").c_str(), "w");
    CHECK(judge != nullptr);
    for (int i = 0; i < n_schemas; i++) {
        common_json schema = make_object(3), pair = common_json::array();
        std::string text;
        engine_end end = answer(model, schema, static_cast<uint32_t>(i), text);
        (end == ENGINE_END_TURN ? n_complete : n_cut)++;
        if (end != ENGINE_END_TURN) continue;
        pair.push_back(schema);
        pair.push_back(text);
        fprintf(judge, "%s\n", pair.dump().c_str());
    }
    int judged = pclose(judge);
    engine_close(model);
    unlink(model_path.c_str());
    unlink((path + ".py").c_str());
    if (WIFEXITED(judged) && WEXITSTATUS(judged) == 77) test_skip("python3 has no jsonschema");
    CHECK_INT(judged, ==, 0);
    CHECK_INT(n_complete, >=, n_schemas / 2);
    test_step("%d schemas: %d complete answers, all valid; %d cut, and said so", n_schemas, n_complete, n_cut);
    return test_end();
}
