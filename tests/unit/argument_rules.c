/* argument_rules.c - src/engine/llama/common/arguments.h: llama.cpp's own options reach libllama's parameters, from the command
 * line and from the environment; what is left out changes nothing; and every refusal is a sentence that names the option. */
#include "../support/harness.h"

#include "engine/llama/common/drafter.h"

#include <stdlib.h>
#include <string.h>

static arguments *given;
static char message[256];

static int take(const char *first, const char *second, const char *third) {
    char *words[] = {(char *)(uintptr_t)first, (char *)(uintptr_t)second, (char *)(uintptr_t)third};
    memset(message, 0, sizeof message);
    return arguments_take(given, second ? third ? 3 : 2 : 1, words, message, sizeof message);
}

static void refuse(const char *first, const char *second, const char *words) {
    CHECK_INT(take(first, second, NULL), ==, -1);
    CHECK_SAY(strstr(message, words) && strstr(message, first) && !strchr(message, '\n'), "'%s' does not say '%s'", message, words);
}

static void defaults(void) {
    test_step("what nobody says is the library's default");
    struct llama_model_params model = arguments_model(given), plain_model = llama_model_default_params();
    struct llama_context_params context = arguments_context(given), plain = llama_context_default_params();
    CHECK(model.n_gpu_layers == plain_model.n_gpu_layers && model.split_mode == plain_model.split_mode &&
          model.load_mode == plain_model.load_mode && model.use_extra_bufts == plain_model.use_extra_bufts &&
          model.check_tensors == plain_model.check_tensors && !model.kv_overrides && !model.devices);
    CHECK(context.type_k == plain.type_k && context.type_v == plain.type_v && context.swa_full == plain.swa_full &&
          context.flash_attn_type == plain.flash_attn_type && context.offload_kqv == plain.offload_kqv &&
          context.op_offload == plain.op_offload && context.rope_scaling_type == plain.rope_scaling_type);
    model = arguments_model(NULL);
    CHECK_INT(model.n_gpu_layers, ==, plain_model.n_gpu_layers);
}

static void spellings(void) {
    struct ggml_threadpool_params threads;
    float scale;
    test_step("options with no, one and two words, short and long");
    CHECK(!arguments_threads(given, 3, true, &threads));
    CHECK_INT(threads.n_threads, ==, 3);
    CHECK_INT(take("-ctk", "q8_0", "more"), ==, 2);
    CHECK_INT(take("--cache_type_v=q4_0", "more", NULL), ==, 1);
    CHECK_INT(take("--no-kv-offload", "more", NULL), ==, 1);
    CHECK_INT(take("--flash-attn", "on", NULL), ==, 2);
    CHECK_INT(take("--rope-freq-base", "5e5", NULL), ==, 2);
    CHECK_INT(take("-tb", "2", NULL), ==, 2);
    CHECK_INT(take("--poll", "7", NULL), ==, 2);
    CHECK_INT(take("-ngl", "all", NULL), ==, 2);
    CHECK_INT(take("-sm", "row", NULL), ==, 2);
    CHECK_INT(take("-ts", "3,1", NULL), ==, 2);
    CHECK_INT(take("--override-kv", "general.name=str:x", NULL), ==, 2);
    CHECK_INT(take("--lora-scaled", "a.gguf:0.5", NULL), ==, 2);
    CHECK_INT(take("--numa", "distribute", NULL), ==, 2);
    struct llama_context_params context = arguments_context(given);
    CHECK(context.type_k == GGML_TYPE_Q8_0 && context.type_v == GGML_TYPE_Q4_0 && !context.offload_kqv);
    CHECK(context.flash_attn_type == LLAMA_FLASH_ATTN_TYPE_ENABLED && context.rope_freq_base == 5e5f);
    struct llama_model_params model = arguments_model(given);
    CHECK(arguments_want_devices(given) && model.split_mode != LLAMA_SPLIT_MODE_ROW); /* devices are not known yet */
    CHECK(arguments_know_devices(given, message, sizeof message));
    model = arguments_model(given);
    CHECK(model.n_gpu_layers < -1 && model.split_mode == LLAMA_SPLIT_MODE_ROW && model.tensor_split[0] == 3);
    CHECK_TEXT(model.kv_overrides[0].key, "general.name");
    CHECK(model.kv_overrides[1].key[0] == 0);
    CHECK(arguments_threads(given, 3, true, &threads) && threads.n_threads == 2);
    CHECK(arguments_threads(given, 3, false, &threads) && threads.n_threads == 3 && threads.poll == 7);
    CHECK_TEXT(arguments_adapter(given, 0, &scale), "a.gguf");
    CHECK(scale == 0.5f && !arguments_adapter(given, 1, &scale));
    CHECK_INT(drafter_most(given), ==, 0);
    CHECK_INT(take("--spec-type", "ngram-simple", NULL), ==, 2);
    CHECK_INT(take("--spec-ngram-simple-size-m", "9", NULL), ==, 2);
    CHECK_INT(drafter_most(given), ==, 9);
    CHECK(!drafter_model(given));
    CHECK_INT(take("--spec-type", "draft-simple", NULL), ==, 2);
    CHECK_INT(take("-md", "small.gguf", NULL), ==, 2);
    CHECK_INT(take("--spec-draft-n-max", "12", NULL), ==, 2);
    CHECK_INT(drafter_most(given), ==, 12);
    CHECK_TEXT(drafter_model(given), "small.gguf");
    CHECK_INT(arguments_numa(given), ==, GGML_NUMA_STRATEGY_DISTRIBUTE);
}

static void refusals(void) {
    test_step("what is refused");
    CHECK_INT(take("--no-such-option", "1", NULL), ==, 0);
    CHECK_INT(take("model.gguf", NULL, NULL), ==, 0);
    refuse("--port", "8080", "no meaning here");
    refuse("-hf", "a/b", "no meaning here");
    refuse("--mmproj", "x", "no meaning here");
    refuse("-ctk", "q9", "is 'q9'");
    refuse("--threads-batch", "many", "expected a number");
    refuse("--flash-attn", "perhaps", "is 'perhaps'");
    refuse("--numa", "x", "is 'x'");
    refuse("-ngl", "some", "expected a number");
    refuse("-tb", NULL, "needs a value");
    refuse("--spec-type", "draft-eagle3", "not supported here");
    refuse("--spec-type", "guesses", "unknown speculative type");
    refuse("--draft-max", "3", "no meaning here");
}

static void environment(void) {
    test_step("the environment");
    CHECK_INT(setenv("LLAMA_ARG_CACHE_TYPE_K", "q5_1", 1), ==, 0);
    CHECK_INT(setenv("LLAMA_ARG_NO_KV_OFFLOAD", "1", 1), ==, 0);
    CHECK_INT(setenv("LLAMA_ARG_PORT", "nonsense", 1), ==, 0);
    arguments_free(given);
    given = arguments_new();
    CHECK(given && arguments_environment(given, message, sizeof message));
    struct llama_context_params context = arguments_context(given);
    CHECK(context.type_k == GGML_TYPE_Q5_1 && !context.offload_kqv);
    CHECK_INT(setenv("LLAMA_ARG_CACHE_TYPE_K", "q9", 1), ==, 0);
    CHECK(!arguments_environment(given, message, sizeof message));
    CHECK_SAY(strstr(message, "LLAMA_ARG_CACHE_TYPE_K is 'q9'"), "%s", message);
    CHECK_INT(setenv("LLAMA_ARG_CACHE_TYPE_K", "f16", 1), ==, 0);
    CHECK_INT(setenv("LLAMA_ARG_KV_OFFLOAD", "maybe", 1), ==, 0);
    CHECK_INT(unsetenv("LLAMA_ARG_NO_KV_OFFLOAD"), ==, 0);
    CHECK(!arguments_environment(given, message, sizeof message));
    CHECK_SAY(strstr(message, "expected on or off"), "%s", message);
}

int main(void) {
    test_begin("argument_rules", 20);
    given = arguments_new();
    CHECK(given != NULL);
    defaults();
    spellings();
    refusals();
    environment();
    arguments_free(given);
    return test_end();
}
