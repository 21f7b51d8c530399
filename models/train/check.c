/* check.c - tutor_check: asks a GGUF file, through libllama, everything that the tutor model should know.
 *
 * Always takes the most likely token (temperature 0). Prints percentages and every miss. Exit code 0 if all bars are
 * passed, 1 if not, 2 for wrong usage or a file that cannot be loaded. */
#define _GNU_SOURCE /* dladdr */
#include "corpus.h"
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
enum { N_ODD_PROMPTS = 200, N_ODD_TEXTS = 3000, EARLIER_TURNS_MAX = 9 };

/* What has to be reached, in percent. */
static const double BAR_TRAINED = 95, BAR_HELD_OUT = 50, BAR_ODD = 95;

struct options {
    const char *model;
    const char *corpus;
    const char *ask;
    const char *system;
    int n_threads;
};

struct tutor {
    struct llama_model *model;
    struct llama_context *context;
    const struct llama_vocab *vocab;
    const char *template;
    struct corpus questions, off_topic, held_out;
    struct corpus_lines system_prompts;
    struct variations variations;
    struct tokenizer tokenizer; /* the trainer's own, made of the pieces in the file */
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

/* Applies the chat template and cuts the result into tokens. Returns their number, or -1 if they do not fit. */
static int make_prompt(const struct tutor *tutor, const struct llama_chat_message *messages, size_t n_messages,
                       llama_token *tokens, int max_tokens) {
    static char prompt[PROMPT_SIZE_BYTES];
    int size = llama_chat_apply_template(tutor->template, messages, n_messages, true, prompt, sizeof prompt);
    if (size < 0 || size > (int)sizeof prompt) return -1;
    int n = llama_tokenize(tutor->vocab, prompt, size, tokens, max_tokens, true, true);
    return n < 0 ? -1 : n;
}

/* Asks and writes the answer. Returns 0 if it ended with its end-of-turn token, -1 if it did not. */
static int ask(struct tutor *tutor, const struct llama_chat_message *messages, size_t n_messages,
               char answer[ANSWER_SIZE_BYTES]) {
    static llama_token prompt[CONTEXT_TOKENS];
    int n_prompt = make_prompt(tutor, messages, n_messages, prompt, CONTEXT_TOKENS - ANSWER_TOKENS_MAX);
    int size = 0;
    answer[0] = '\0';
    llama_memory_clear(llama_get_memory(tutor->context), true);
    if (n_prompt < 1 || llama_decode(tutor->context, llama_batch_get_one(prompt, n_prompt)) != 0) return -1;
    int64_t begin_us = llama_time_us();
    llama_token token = best_token(tutor);
    int n = 0;
    for (; n < ANSWER_TOKENS_MAX && !llama_vocab_is_eog(tutor->vocab, token); ++n) {
        int room = ANSWER_SIZE_BYTES - 1 - size;
        int piece = llama_token_to_piece(tutor->vocab, token, answer + size, room, 0, false);
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

/* All phrasings of the trained entries: without a system prompt, with the first one, and with one of all of them in
 * turn. */
static void check_trained(struct tutor *tutor, const struct corpus *corpus, struct score *without, struct score *with) {
    static char answer[ANSWER_SIZE_BYTES];
    int turn = 0;
    for (int i = 0; i < corpus->n_entries; ++i) {
        const struct corpus_entry *entry = &corpus->entries[i];
        for (int j = 0; j < entry->n_phrasings; ++j) {
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
        int ended = ask_one(tutor, i % 2 ? tutor->system_prompts.lines[i % tutor->system_prompts.n_lines] : NULL,
                            question, answer);
        int right = ended == 0 && is_some_answer(tutor, answer);
        if (!right) printf("  odd prompt: %.100s\n         got: %.90s\n", question, answer);
        score->n_right += right;
        ++score->n_all;
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
    tokenizer_free(&tutor->tokenizer);
}

static void print_score(const char *what, struct score score) {
    printf("%-44s %5d of %5d  %6.2f %%\n", what, score.n_right, score.n_all, percent(score));
}

/* Returns 0 if all bars are passed, 1 if not, 2 if the corpus is not consistent. */
static int check_all(struct tutor *tutor) {
    struct score tokens = {0}, trained = {0}, trained_system = {0}, held_out = {0}, held_out_system = {0}, second = {0},
                 tenth = {0}, odd = {0};
    int eos_ends = llama_vocab_is_eog(tutor->vocab, TOKEN_IM_END);
    check_tokenizer(tutor, &tokens);
    check_trained(tutor, &tutor->questions, &trained, &trained_system);
    check_trained(tutor, &tutor->off_topic, &trained, &trained_system);
    puts("  -- held-out phrasings:");
    if (check_held_out(tutor, &held_out, &held_out_system)) return 2;
    check_later_turn(tutor, 1, "second turn", &second);
    check_later_turn(tutor, EARLIER_TURNS_MAX, "tenth turn", &tenth);
    check_odd_prompts(tutor, &odd);
    putchar('\n');
    print_score("texts cut into the same tokens as in training", tokens);
    print_score("trained phrasings", trained);
    print_score("trained phrasings with a system prompt", trained_system);
    print_score("held-out phrasings", held_out);
    print_score("held-out phrasings with a system prompt", held_out_system);
    print_score("second question of a conversation", second);
    print_score("tenth question of a conversation", tenth);
    print_score("made-up prompts that get a readable answer", odd);
    printf("%d tokens generated, %.3f ms each\n", tutor->n_generated,
           1e-3 * (double)tutor->generate_us / tutor->n_generated);
    int passed = eos_ends && tokens.n_right == tokens.n_all && percent(trained) >= BAR_TRAINED &&
                 percent(trained_system) >= BAR_TRAINED && percent(held_out) >= BAR_HELD_OUT &&
                 percent(held_out_system) >= BAR_HELD_OUT && percent(odd) >= BAR_ODD;
    puts(passed ? "passed" : "FAILED");
    return passed ? 0 : 1;
}

static int parse_options(struct options *options, int argc, char **argv) {
    *options = (struct options){.model = "models/tutor.gguf", .corpus = "models/corpus", .n_threads = 1};
    const char *threads = "1";
    const struct {
        const char *name;
        const char **value;
    } table[] = {{"--model", &options->model},
                 {"--corpus", &options->corpus},
                 {"--threads", &threads},
                 {"--ask", &options->ask},
                 {"--system", &options->system}};
    for (int i = 1; i < argc; i += 2) {
        size_t o = 0;
        while (o < sizeof table / sizeof *table && strcmp(argv[i], table[o].name) != 0) ++o;
        if (o == sizeof table / sizeof *table || i + 1 == argc) {
            fprintf(stderr,
                    "usage: tutor_check [--model FILE] [--corpus DIR] [--threads N] [--ask TEXT [--system TEXT]]\n"
                    "Checks what a tutor model knows, or asks it one question.\n");
            return -1;
        }
        *table[o].value = argv[i + 1];
    }
    options->n_threads = atoi(threads);
    return options->n_threads > 0 ? 0 : -1;
}

int main(int argc, char **argv) {
    static char answer[ANSWER_SIZE_BYTES];
    struct options options;
    struct tutor tutor = {0};
    if (parse_options(&options, argc, argv)) return 2;
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
