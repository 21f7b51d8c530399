/* check.c - tutor_check: asks a GGUF file, through libllama, everything that the tutor model should know.
 *
 * Always takes the most likely token (temperature 0). Prints percentages and every miss. Exit code 0 if all bars are
 * passed, 1 if not, 2 for wrong usage or a file that cannot be loaded. */
#define _GNU_SOURCE /* dladdr */
#include "calculations.h"
#include "chat_format.h"
#include "corpus.h"
#include "lessons.h"
#include "random.h"
#include "tokenizer.h"
#include "variations.h"

#include <ggml-backend.h>
#include <llama.h>

#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONTEXT_TOKENS = 2048, PROMPT_SIZE_BYTES = 16384, ANSWER_SIZE_BYTES = 8192, ANSWER_TOKENS_MAX = 400 };
enum { N_ODD_PROMPTS = 200, N_ODD_TEXTS = 3000, N_CALCULATIONS = 400, EARLIER_TURNS_MAX = 9 };

/* What has to be reached, in percent. */
static const double BAR_TRAINED = 95, BAR_HELD_OUT = 50, BAR_ODD = 95, BAR_TOOLS = 90, BAR_TWO = 80, BAR_THINKING = 85;

struct options {
    const char *model;
    const char *corpus;
    const char *ask;
    const char *system;
    int n_threads;
    int each; /* only every so manieth question */
};

struct tutor {
    struct llama_model *model;
    struct llama_context *context;
    const struct llama_vocab *vocab;
    const char *template;
    struct corpus questions, off_topic, held_out;
    struct corpus_lines system_prompts;
    struct variations variations;
    struct calculations calculations;
    struct tokenizer tokenizer; /* the trainer's own, made of the pieces in the file */
    int each, n_seen;           /* only every so manieth question is asked */
    int n_generated;            /* tokens, and how long they took */
    int64_t generate_us;
};

/* How many of how many. */
struct score {
    int n_right;
    int n_all;
};

static double percent(struct score score) { return score.n_all ? 100.0 * score.n_right / score.n_all : 0; }

static void log_errors_only(enum ggml_log_level level, const char *text, void *unused) {
    (void)unused;
    if (level >= GGML_LOG_LEVEL_ERROR) fputs(text, stderr);
}

/* The most likely next token. */
static llama_token best_token(struct tutor *tutor) {
    const float *logits = llama_get_logits_ith(tutor->context, -1);
    llama_token best = 0;
    for (llama_token i = 1; i < llama_vocab_n_tokens(tutor->vocab); ++i) {
        if (logits[i] > logits[best]) best = i;
    }
    return best;
}

/* Asks and writes the answer, with its marks. Returns 0 if it ended with its end-of-turn token, -1 if it did not. */
static int ask_prompt(struct tutor *tutor, const char *prompt, int size_bytes, char answer[ANSWER_SIZE_BYTES]) {
    static llama_token tokens[CONTEXT_TOKENS];
    int n_prompt = llama_tokenize(tutor->vocab, prompt, size_bytes, tokens, CONTEXT_TOKENS - ANSWER_TOKENS_MAX, true, true);
    int size = 0;
    answer[0] = '\0';
    llama_memory_clear(llama_get_memory(tutor->context), true);
    if (n_prompt < 1 || llama_decode(tutor->context, llama_batch_get_one(tokens, n_prompt)) != 0) return -1;
    int64_t begin_us = llama_time_us();
    llama_token token = best_token(tutor);
    int n = 0;
    for (; n < ANSWER_TOKENS_MAX && !llama_vocab_is_eog(tutor->vocab, token); ++n) {
        int room = ANSWER_SIZE_BYTES - 1 - size;
        int piece = llama_token_to_piece(tutor->vocab, token, answer + size, room, 0, true);
        if (piece < 0) return -1;
        size += piece;
        answer[size] = '\0';
        if (llama_decode(tutor->context, llama_batch_get_one(&token, 1)) != 0) return -1;
        token = best_token(tutor);
    }
    tutor->generate_us += llama_time_us() - begin_us;
    tutor->n_generated += n;
    return n < ANSWER_TOKENS_MAX ? 0 : -1;
}

/* The same of messages, which the chat template writes down. */
static int ask(struct tutor *tutor, const struct llama_chat_message *messages, size_t n_messages,
               char answer[ANSWER_SIZE_BYTES]) {
    static char prompt[PROMPT_SIZE_BYTES];
    int size = llama_chat_apply_template(tutor->template, messages, n_messages, true, prompt, sizeof prompt);
    answer[0] = '\0';
    return size < 0 || size > (int)sizeof prompt ? -1 : ask_prompt(tutor, prompt, size, answer);
}

static int ask_one(struct tutor *tutor, const char *system, const char *question, char answer[ANSWER_SIZE_BYTES]) {
    struct llama_chat_message messages[] = {{"system", system ? system : ""}, {"user", question}};
    return system ? ask(tutor, messages, 2, answer) : ask(tutor, messages + 1, 1, answer);
}

static void count(struct score *score, int ended, const char *answer, const char *expected, const char *system,
                  const char *question) {
    int right = ended == 0 && strcmp(answer, expected) == 0;
    score->n_right += right;
    ++score->n_all;
    if (right) return;
    printf("  missed: %s%s%s%s\n     got: %.90s%s\n", system ? "[" : "", system ? system : "", system ? "] " : "",
           question, answer, ended == 0 ? "" : " ... (no end)");
}

static int is_left_out(struct tutor *tutor) { return tutor->n_seen++ % tutor->each != 0; }

/* All phrasings of the trained entries: without a system prompt, with the first one, and with one of all of them in
 * turn. */
static void check_trained(struct tutor *tutor, const struct corpus *corpus, struct score *without, struct score *with) {
    static char answer[ANSWER_SIZE_BYTES];
    int turn = 0;
    for (int i = 0; i < corpus->n_entries; ++i) {
        const struct corpus_entry *entry = &corpus->entries[i];
        for (int j = 0; j < entry->n_phrasings; ++j) {
            if (is_left_out(tutor)) continue;
            const char *question = entry->phrasings[j];
            int ended = ask_one(tutor, NULL, question, answer);
            count(without, ended, answer, entry->answer, NULL, question);
            const char *systems[] = {tutor->system_prompts.lines[0], tutor->system_prompts.lines[turn]};
            turn = (turn + 1) % tutor->system_prompts.n_lines;
            for (int s = 0; s < 2; ++s) {
                ended = ask_one(tutor, systems[s], question, answer);
                count(with, ended, answer, entry->answer, systems[s], question);
            }
        }
    }
}

static const struct corpus_entry *entry_of(const struct tutor *tutor, const char *id) {
    const struct corpus_entry *entry = corpus_find(&tutor->questions, id);
    return entry ? entry : corpus_find(&tutor->off_topic, id);
}

static int check_held_out(struct tutor *tutor, struct score *without, struct score *with) {
    static char answer[ANSWER_SIZE_BYTES];
    const char *system = tutor->system_prompts.lines[1 % tutor->system_prompts.n_lines];
    for (int i = 0; i < tutor->held_out.n_entries; ++i) {
        const struct corpus_entry *held_out = &tutor->held_out.entries[i];
        const struct corpus_entry *entry = entry_of(tutor, held_out->id);
        if (!entry) {
            fprintf(stderr, "tutor_check: held_out.txt: there is no question with the id '%s'\n", held_out->id);
            return -1;
        }
        for (int j = 0; j < held_out->n_phrasings; ++j) {
            if (is_left_out(tutor)) continue;
            const char *question = held_out->phrasings[j];
            int ended = ask_one(tutor, NULL, question, answer);
            count(without, ended, answer, entry->answer, NULL, question);
            ended = ask_one(tutor, system, question, answer);
            with->n_right += ended == 0 && strcmp(answer, entry->answer) == 0;
            ++with->n_all;
        }
    }
    return 0;
}

/* Every question once more, behind n_before (at most EARLIER_TURNS_MAX) questions and answers of other entries. */
static void check_later_turn(struct tutor *tutor, int n_before, const char *label, struct score *score) {
    static char answer[ANSWER_SIZE_BYTES];
    struct llama_chat_message messages[2 * EARLIER_TURNS_MAX + 1];
    int n = tutor->questions.n_entries;
    for (int i = 0; i < n; ++i) {
        if (is_left_out(tutor)) continue;
        size_t n_messages = 0;
        for (int t = 1; t <= n_before; ++t) {
            const struct corpus_entry *before = &tutor->questions.entries[(i * 7 + t * 31) % n];
            messages[n_messages++] = (struct llama_chat_message){"user", before->phrasings[0]};
            messages[n_messages++] = (struct llama_chat_message){"assistant", before->answer};
        }
        const struct corpus_entry *entry = &tutor->questions.entries[i];
        messages[n_messages++] = (struct llama_chat_message){"user", entry->phrasings[0]};
        int ended = ask(tutor, messages, n_messages, answer);
        count(score, ended, answer, entry->answer, label, entry->phrasings[0]);
    }
}

static int is_some_answer(const struct tutor *tutor, const char *answer) {
    const struct corpus *corpora[] = {&tutor->questions, &tutor->off_topic};
    for (int c = 0; c < 2; ++c) {
        for (int i = 0; i < corpora[c]->n_entries; ++i) {
            if (strcmp(corpora[c]->entries[i].answer, answer) == 0) return 1;
        }
    }
    return 0;
}

/* Made-up prompts that are none of the corpus's must still get some answer of it, and not an endless one. */
static void check_odd_prompts(struct tutor *tutor, struct score *score) {
    static char answer[ANSWER_SIZE_BYTES];
    struct random_source random = {20240229};
    char question[QUESTION_SIZE_BYTES];
    for (int i = 0; i < N_ODD_PROMPTS; ++i) {
        variations_make_up(&tutor->variations, &random, question);
        if (is_left_out(tutor)) continue;
        int ended = ask_one(tutor, i % 2 ? tutor->system_prompts.lines[i % tutor->system_prompts.n_lines] : NULL,
                            question, answer);
        int right = ended == 0 && is_some_answer(tutor, answer);
        if (!right) printf("  odd prompt: %.100s\n         got: %.90s\n", question, answer);
        score->n_right += right;
        ++score->n_all;
    }
}

/* ---- thoughts and calls: through the text of the prompt, for the library's own function knows templates without them ---- */

/* What the model is offered, and what it is asked in one of these checks. */
struct scene {
    char prompt[PROMPT_SIZE_BYTES];
    char expected[ANSWER_SIZE_BYTES];
    struct calculation_tool tools[3];
    struct calculation_tool *calculator; /* one of the tools, or NULL */
};

/* Up to three tools, with one that calculates among them or without, and with each second one a system prompt. */
static void begin_scene(const struct tutor *tutor, struct random_source *random, int has_calculator, struct scene *scene) {
    const char *lines[3];
    int n = random_below(random, 3) + has_calculator, at = n > 0 ? random_below(random, n) : 0;
    scene->prompt[0] = scene->expected[0] = '\0';
    scene->calculator = has_calculator ? &scene->tools[at] : NULL;
    for (int i = 0; i < n; ++i) {
        int calculates = has_calculator && i == at;
        calculations_tool(&tutor->calculations, calculates ? CALCULATION_CALCULATORS : CALCULATION_OTHERS, random, &scene->tools[i]);
        lines[i] = scene->tools[i].line;
    }
    const char *system = tutor->system_prompts.lines[random_below(random, tutor->system_prompts.n_lines)];
    chat_add_system(scene->prompt, sizeof scene->prompt, random_chance(random, 0.5) ? system : NULL, lines, n);
}

static void begin_answer(struct scene *scene, int thinks, const char *thought, const char *more) {
    chat_add(scene->prompt, sizeof scene->prompt, CHAT_ANSWER "%s", thinks ? CHAT_THINK : "");
    if (thinks) chat_add(scene->expected, sizeof scene->expected, "%s%s" CHAT_THOUGHT_END, thought, more);
}

static void add_calls(const struct scene *scene, const struct calculation_task *task, char *text, size_t size_bytes) {
    for (int i = 0; i < task->n_parts; ++i) {
        chat_add(text, size_bytes, i > 0 ? "\n" CHAT_CALL : CHAT_CALL, scene->calculator->name, scene->calculator->parameter);
        chat_add(text, size_bytes, "%s" CHAT_CALL_END, task->expressions[i]);
    }
}

static void count_scene(struct tutor *tutor, const struct scene *scene, const char *label, const char *question, struct score *score) {
    static char answer[ANSWER_SIZE_BYTES];
    int ended = ask_prompt(tutor, scene->prompt, (int)strlen(scene->prompt), answer);
    count(score, ended, answer, scene->expected, label, question);
}

/* Calculations that are not in the training: the calls, the answer when there are results, and what is said where no tool is
 * offered that calculates. */
static void check_calculations(struct tutor *tutor, int thinks, struct score calls[CALCULATIONS_MAX], struct score *results,
                               struct score *no_tool) {
    static struct scene scene;
    struct random_source random = {20260101};
    struct calculation_task task;
    for (int i = 0; i < N_CALCULATIONS; ++i) {
        calculations_make(&tutor->calculations, &tutor->variations, &random, 1, &task);
        if (is_left_out(tutor)) continue;
        begin_scene(tutor, &random, 1, &scene);
        chat_add_question(scene.prompt, sizeof scene.prompt, task.question);
        begin_answer(&scene, thinks, task.n_parts == 1 ? THOUGHT_ONE_CALL : THOUGHT_TWO_CALLS, "");
        add_calls(&scene, &task, scene.expected, sizeof scene.expected);
        count_scene(tutor, &scene, "call", task.question, &calls[task.n_parts - 1]);

        const char *said[] = {task.results[0], task.results[1]};
        chat_add(scene.prompt, sizeof scene.prompt, "%s" CHAT_END "\n", scene.expected);
        chat_add_results(scene.prompt, sizeof scene.prompt, said, task.n_parts);
        scene.expected[0] = '\0';
        begin_answer(&scene, thinks, THOUGHT_ANSWERED, "");
        chat_add(scene.expected, sizeof scene.expected, "%s", task.answer);
        count_scene(tutor, &scene, "result", task.question, results);

        begin_scene(tutor, &random, 0, &scene);
        chat_add_question(scene.prompt, sizeof scene.prompt, task.question);
        begin_answer(&scene, thinks, THOUGHT_NO_TOOL, "");
        chat_add(scene.expected, sizeof scene.expected, "%s", corpus_find(&tutor->questions, CALCULATION_ID)->answer);
        count_scene(tutor, &scene, "no tool", task.question, no_tool);
    }
}

/* Questions for which no call is needed, with tools at hand. */
static void check_tools_at_hand(struct tutor *tutor, struct score *score) {
    static struct scene scene;
    struct random_source random = {20260102};
    for (int i = 0; i < tutor->questions.n_entries; ++i) {
        const struct corpus_entry *entry = &tutor->questions.entries[i];
        if (strcmp(entry->id, CALCULATION_ID) == 0 || is_left_out(tutor)) continue;
        begin_scene(tutor, &random, 1, &scene);
        chat_add_question(scene.prompt, sizeof scene.prompt, entry->phrasings[0]);
        begin_answer(&scene, 0, "", "");
        chat_add(scene.expected, sizeof scene.expected, "%s", entry->answer);
        count_scene(tutor, &scene, "tools at hand", entry->phrasings[0], score);
    }
}

/* Thought and answer, without tools: of all trained phrasings, or of those that were held out. */
static void check_thoughts(struct tutor *tutor, const struct corpus *corpus, struct score *score) {
    static struct scene scene;
    for (int i = 0; i < corpus->n_entries; ++i) {
        const struct corpus_entry *entry = entry_of(tutor, corpus->entries[i].id);
        int is_known = corpus_find(&tutor->questions, entry->id) != NULL, is_calculation = strcmp(entry->id, CALCULATION_ID) == 0;
        for (int j = 0; j < corpus->entries[i].n_phrasings; ++j) {
            if (is_left_out(tutor)) continue;
            scene.prompt[0] = scene.expected[0] = '\0';
            chat_add_question(scene.prompt, sizeof scene.prompt, corpus->entries[i].phrasings[j]);
            begin_answer(&scene, 1, is_calculation ? THOUGHT_NO_TOOL : is_known ? THOUGHT_KNOWN : THOUGHT_UNKNOWN,
                         is_known && !is_calculation ? entry->phrasings[0] : "");
            chat_add(scene.expected, sizeof scene.expected, "%s", entry->answer);
            count_scene(tutor, &scene, "thinking", corpus->entries[i].phrasings[j], score);
        }
    }
}

/* Whether libllama and the trainer cut this text into the same tokens. */
static int tokens_agree(const struct tutor *tutor, const char *text, size_t size) {
    static llama_token theirs[PROMPT_SIZE_BYTES];
    static int ours[PROMPT_SIZE_BYTES];
    int n_theirs = llama_tokenize(tutor->vocab, text, (int32_t)size, theirs, PROMPT_SIZE_BYTES, true, true);
    int n_ours = tokenizer_encode(&tutor->tokenizer, text, size, ours, PROMPT_SIZE_BYTES);
    if (n_theirs != n_ours) return 0;
    for (int i = 0; i < n_ours; ++i) {
        if (theirs[i] != ours[i]) return 0;
    }
    return 1;
}

static void count_tokens_agree(const struct tutor *tutor, const char *text, size_t size, struct score *score) {
    int right = tokens_agree(tutor, text, size);
    if (!right) printf("  cut differently: %.*s\n", (int)size, text);
    score->n_right += right;
    ++score->n_all;
}

static void check_tokenizer(const struct tutor *tutor, struct score *score) {
    const struct corpus *corpora[] = {&tutor->questions, &tutor->off_topic, &tutor->held_out};
    char text[QUESTION_SIZE_BYTES + 64];
    for (int c = 0; c < 3; ++c) {
        for (int i = 0; i < corpora[c]->n_entries; ++i) {
            const struct corpus_entry *entry = &corpora[c]->entries[i];
            if (entry->answer) count_tokens_agree(tutor, entry->answer, strlen(entry->answer), score);
            for (int j = 0; j < entry->n_phrasings; ++j) {
                int size = snprintf(text, sizeof text, "<|im_start|>user\n%s<|im_end|>\n<|im_start|>assistant\n",
                                    entry->phrasings[j]);
                count_tokens_agree(tutor, text, (size_t)size, score);
            }
        }
    }
    struct random_source random = {7};
    char question[QUESTION_SIZE_BYTES];
    for (int i = 0; i < N_ODD_TEXTS; ++i) {
        variations_make_up(&tutor->variations, &random, question);
        size_t size = strlen(question);
        if (i % 3 == 0 && size > 2)
            question[random_below(&random, (int)size)] = (char)random_below(&random, 256); /* not UTF-8 */
        count_tokens_agree(tutor, question, size, score);
    }
}

static int restore_tokenizer(struct tutor *tutor) {
    int n = llama_vocab_n_tokens(tutor->vocab);
    const char **texts = malloc((size_t)n * sizeof *texts);
    if (!texts) return -1;
    for (int i = 0; i < n; ++i) texts[i] = llama_vocab_get_text(tutor->vocab, i);
    int result = tokenizer_restore(&tutor->tokenizer, texts, n);
    free(texts);
    return result;
}

/* Prebuilt libraries load their CPU backend at run time, but look for it beside the program. It lies beside them. */
static void load_backends(void) {
    Dl_info info;
    char folder[4096];
    if (dladdr((const void *)(uintptr_t)ggml_backend_load_all_from_path, &info) && info.dli_fname) {
        const char *slash = strrchr(info.dli_fname, '/');
        snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - info.dli_fname) : 1,
                 slash ? info.dli_fname : ".");
        ggml_backend_load_all_from_path(folder);
    }
    if (!ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU)) ggml_backend_load_all();
}

static bool no_progress(float done, void *unused) {
    (void)done;
    (void)unused;
    return true; /* go on */
}

static int load_model(struct tutor *tutor, const struct options *options) {
    llama_log_set(log_errors_only, NULL);
    load_backends();
    struct llama_model_params model_params = llama_model_default_params();
    model_params.progress_callback = no_progress; /* without one it prints dots */
    tutor->model = llama_model_load_from_file(options->model, model_params);
    if (!tutor->model) {
        fprintf(stderr, "tutor_check: %s cannot be loaded as a model\n", options->model);
        return -1;
    }
    struct llama_context_params params = llama_context_default_params();
    params.n_ctx = params.n_batch = params.n_ubatch = CONTEXT_TOKENS;
    params.n_threads = params.n_threads_batch = options->n_threads;
    tutor->context = llama_init_from_model(tutor->model, params);
    tutor->vocab = llama_model_get_vocab(tutor->model);
    tutor->template = llama_model_chat_template(tutor->model, NULL);
    if (tutor->context && tutor->template && restore_tokenizer(tutor) == 0) return 0;
    fprintf(stderr, "tutor_check: %s has no chat template, or there is not enough memory\n", options->model);
    return -1;
}

static int load_corpus(struct tutor *tutor, const char *folder) {
    char path[1024], error[1200];
    const struct {
        const char *name;
        struct corpus *corpus;
    } files[] = {
        {"questions.txt", &tutor->questions}, {"off_topic.txt", &tutor->off_topic}, {"held_out.txt", &tutor->held_out}};
    for (int i = 0; i < 3; ++i) {
        snprintf(path, sizeof path, "%s/%s", folder, files[i].name);
        if (corpus_load(files[i].corpus, path, error, sizeof error)) goto fail;
    }
    snprintf(path, sizeof path, "%s/system_prompts.txt", folder);
    if (corpus_lines_load(&tutor->system_prompts, path, error, sizeof error)) goto fail;
    snprintf(path, sizeof path, "%s/variations.txt", folder);
    if (variations_load(&tutor->variations, path, error, sizeof error)) goto fail;
    snprintf(path, sizeof path, "%s/calculations.txt", folder);
    if (calculations_load(&tutor->calculations, path, error, sizeof error)) goto fail;
    return 0;
fail:
    fprintf(stderr, "tutor_check: %s\n", error);
    return -1;
}

static void tutor_free(struct tutor *tutor) {
    if (tutor->context) llama_free(tutor->context);
    if (tutor->model) llama_model_free(tutor->model);
    corpus_free(&tutor->questions);
    corpus_free(&tutor->off_topic);
    corpus_free(&tutor->held_out);
    corpus_lines_free(&tutor->system_prompts);
    variations_free(&tutor->variations);
    calculations_free(&tutor->calculations);
    tokenizer_free(&tutor->tokenizer);
}

static void print_score(const char *what, struct score score) {
    printf("%-44s %5d of %5d  %6.2f %%\n", what, score.n_right, score.n_all, percent(score));
}

/* What is checked, in the order in which it is printed. */
enum check {
    CHECK_TOKENS, CHECK_TRAINED, CHECK_TRAINED_SYSTEM, CHECK_HELD_OUT, CHECK_HELD_OUT_SYSTEM, CHECK_SECOND, CHECK_TENTH, CHECK_ODD,
    CHECK_CALL, CHECK_CALLS, CHECK_RESULT, CHECK_NO_TOOL, CHECK_THINKING_CALL, CHECK_THINKING_CALLS, CHECK_THINKING_RESULT,
    CHECK_THINKING_NO_TOOL, CHECK_TOOLS_AT_HAND, CHECK_THINKING, CHECK_THINKING_HELD_OUT, CHECKS
};

/* Returns 0 if all bars are passed, 1 if not, 2 if the corpus is not consistent. */
static int check_all(struct tutor *tutor) {
    const struct {
        const char *what;
        double bar;
    } names[CHECKS] = {{"texts cut into the same tokens as in training", 100},
                       {"trained phrasings", BAR_TRAINED},
                       {"trained phrasings with a system prompt", BAR_TRAINED},
                       {"held-out phrasings", BAR_HELD_OUT},
                       {"held-out phrasings with a system prompt", BAR_HELD_OUT},
                       {"second question of a conversation", BAR_TRAINED},
                       {"tenth question of a conversation", BAR_TRAINED},
                       {"made-up prompts that get a readable answer", BAR_ODD},
                       {"calls for one new calculation", BAR_TOOLS},
                       {"calls for two new calculations", BAR_TWO},
                       {"answers that use the tool's results", BAR_TOOLS},
                       {"no call where no tool calculates", BAR_TOOLS},
                       {"the same, thinking: one", BAR_TOOLS},
                       {"the same, thinking: two", BAR_TWO},
                       {"the same, thinking: results", BAR_TOOLS},
                       {"the same, thinking: no tool", BAR_TOOLS},
                       {"no call where none is needed", BAR_TOOLS},
                       {"trained phrasings, thinking", BAR_THINKING},
                       {"held-out phrasings, thinking", BAR_HELD_OUT}};
    struct score scores[CHECKS] = {{0}};
    int passed = llama_vocab_is_eog(tutor->vocab, TOKEN_IM_END);
    check_tokenizer(tutor, &scores[CHECK_TOKENS]);
    check_trained(tutor, &tutor->questions, &scores[CHECK_TRAINED], &scores[CHECK_TRAINED_SYSTEM]);
    check_trained(tutor, &tutor->off_topic, &scores[CHECK_TRAINED], &scores[CHECK_TRAINED_SYSTEM]);
    puts("  -- held-out phrasings:");
    if (check_held_out(tutor, &scores[CHECK_HELD_OUT], &scores[CHECK_HELD_OUT_SYSTEM])) return 2;
    check_later_turn(tutor, 1, "second turn", &scores[CHECK_SECOND]);
    check_later_turn(tutor, EARLIER_TURNS_MAX, "tenth turn", &scores[CHECK_TENTH]);
    check_odd_prompts(tutor, &scores[CHECK_ODD]);
    puts("  -- calls:");
    check_calculations(tutor, 0, &scores[CHECK_CALL], &scores[CHECK_RESULT], &scores[CHECK_NO_TOOL]);
    check_calculations(tutor, 1, &scores[CHECK_THINKING_CALL], &scores[CHECK_THINKING_RESULT], &scores[CHECK_THINKING_NO_TOOL]);
    check_tools_at_hand(tutor, &scores[CHECK_TOOLS_AT_HAND]);
    puts("  -- thoughts:");
    check_thoughts(tutor, &tutor->questions, &scores[CHECK_THINKING]);
    check_thoughts(tutor, &tutor->off_topic, &scores[CHECK_THINKING]);
    check_thoughts(tutor, &tutor->held_out, &scores[CHECK_THINKING_HELD_OUT]);
    putchar('\n');
    for (int i = 0; i < CHECKS; ++i) {
        print_score(names[i].what, scores[i]);
        passed &= percent(scores[i]) >= names[i].bar;
    }
    printf("%d tokens generated, %.3f ms each\n", tutor->n_generated,
           1e-3 * (double)tutor->generate_us / tutor->n_generated);
    puts(passed ? "passed" : "FAILED");
    return passed ? 0 : 1;
}

static int parse_options(struct options *options, int argc, char **argv) {
    *options = (struct options){.model = "models/tutor.gguf", .corpus = "models/corpus", .n_threads = 1};
    const char *threads = "1", *each = "1";
    const struct {
        const char *name;
        const char **value;
    } table[] = {{"--model", &options->model},
                 {"--corpus", &options->corpus},
                 {"--threads", &threads},
                 {"--each", &each},
                 {"--ask", &options->ask},
                 {"--system", &options->system}};
    for (int i = 1; i < argc; i += 2) {
        size_t o = 0;
        while (o < sizeof table / sizeof *table && strcmp(argv[i], table[o].name) != 0) ++o;
        if (o == sizeof table / sizeof *table || i + 1 == argc) {
            fprintf(stderr,
                    "usage: tutor_check [--model FILE] [--corpus DIR] [--threads N] [--each N] [--ask TEXT [--system TEXT]]\n"
                    "Checks what a tutor model knows, with each question or only every N-th, or asks it one.\n");
            return -1;
        }
        *table[o].value = argv[i + 1];
    }
    options->n_threads = atoi(threads);
    options->each = atoi(each);
    return options->n_threads > 0 && options->each > 0 ? 0 : -1;
}

int main(int argc, char **argv) {
    static char answer[ANSWER_SIZE_BYTES];
    struct options options;
    struct tutor tutor = {0};
    if (parse_options(&options, argc, argv)) return 2;
    tutor.each = options.each;
    int result = 2;
    if (load_corpus(&tutor, options.corpus) || load_model(&tutor, &options)) goto done;
    if (options.ask) {
        result = ask_one(&tutor, options.system, options.ask, answer) ? 1 : 0;
        puts(answer);
    } else {
        result = check_all(&tutor);
    }
done:
    tutor_free(&tutor);
    return result;
}
