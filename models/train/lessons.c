/* lessons.c - makes the conversations that the model is trained on; see lessons.h. */
#include "lessons.h"

#include "chat_format.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What conversations look like. Only what the model says is learned, with the token that ends it. */
static const double CHANCE_SYSTEM_PROMPT = 0.60;
static const double CHANCE_MADE_UP_SYSTEM_PROMPT = 0.35; /* of those */
static const double CHANCE_FURTHER_TURN = 0.22;          /* after each turn */
static const double CHANCE_FURTHER_TURN_LONG = 0.93;     /* likewise in a long conversation */
static const double CHANCE_MADE_UP_QUESTION = 0.14;      /* instead of one of the corpus */
static const double CHANCE_FOREIGN_ANSWER = 0.10;        /* see learn_answer */
static const double CHANCE_TOOLS = 0.50;                 /* that there are any */
static const double CHANCE_CALCULATOR = 0.85;            /* of those: that one of them calculates */
static const double CHANCE_OTHER_TOOL = 0.30;            /* beside it, each time */
static const double CHANCE_CALCULATION = 0.65;           /* instead of another question, if a tool calculates */
static const double CHANCE_CALCULATION_ALONE = 0.04;     /* likewise if none does */
static const double CHANCE_REPETITION = 0.12;            /* instead of any question: it is how copying is learned */
static const double CHANCE_OTHER_THOUGHT = 0.25;         /* that after a call it is the other way round than before */
static const double CHANCE_NO_RESULT = 0.10;             /* that the conversation ends with the call */

/* How much a token counts: it is the first ones that decide which answer it will be, and what is copied has to be exact. */
static const float WEIGHT_FIRST = 3.0f, WEIGHT_COPIED = 3.0f, WEIGHT_LEARNED = 1.0f;
enum { N_FIRST_TOKENS = 6, CONVERSATION_TOKENS_MAX = LESSON_PACK_TOKENS_MAX, PASSAGE_SIZE_BYTES = 16384, SPANS_MAX = 64 };

/* A conversation under construction. */
struct conversation {
    int tokens[CONVERSATION_TOKENS_MAX];
    float loss_weights[CONVERSATION_TOKENS_MAX]; /* of predicting this token; 0 where it is not an answer's */
    int n_tokens;
    int overflow;
};

/* What is being added to it: a text, and which stretches of it are to be learned. */
struct span {
    int begin, end;
    float weight;
    int n_first; /* so many tokens count as WEIGHT_FIRST */
    int n_given; /* so many are not learned at all */
};

struct passage {
    char text[PASSAGE_SIZE_BYTES];
    struct span spans[SPANS_MAX];
    int n_spans;
};

struct lesson_item {
    const struct corpus_entry *entry;
    int phrasing;
};

int lesson_material_load(struct lesson_material *material, const char *folder, char *error, size_t error_size) {
    *material = (struct lesson_material){0};
    char path[1024];
    const struct {
        const char *name;
        struct corpus *corpus;
    } files[] = {{"questions.txt", &material->questions},
                 {"off_topic.txt", &material->off_topic},
                 {"held_out.txt", &material->held_out}};
    for (int i = 0; i < 3; ++i) {
        snprintf(path, sizeof path, "%s/%s", folder, files[i].name);
        if (corpus_load(files[i].corpus, path, error, error_size)) goto fail;
    }
    snprintf(path, sizeof path, "%s/system_prompts.txt", folder);
    if (corpus_lines_load(&material->system_prompts, path, error, error_size)) goto fail;
    snprintf(path, sizeof path, "%s/variations.txt", folder);
    if (variations_load(&material->variations, path, error, error_size)) goto fail;
    snprintf(path, sizeof path, "%s/calculations.txt", folder);
    if (calculations_load(&material->calculations, path, error, error_size)) goto fail;
    snprintf(path, sizeof path, "%s/chat_template.jinja", folder);
    if (corpus_text_load(&material->chat_template, path, error, error_size)) goto fail;
    return 0;
fail:
    lesson_material_free(material);
    return -1;
}

void lesson_material_free(struct lesson_material *material) {
    corpus_free(&material->questions);
    corpus_free(&material->off_topic);
    corpus_free(&material->held_out);
    corpus_lines_free(&material->system_prompts);
    variations_free(&material->variations);
    calculations_free(&material->calculations);
    free(material->chat_template);
    material->chat_template = NULL;
}

/* Samples for the tokenizer. Answers count more, because every piece of them saves a step of generation. */
enum { WEIGHT_ANSWER = 3, WEIGHT_PHRASING = 1, WEIGHT_OTHER = 1, WEIGHT_FORM = 30 };

static int add_corpus_samples(struct tokenizer_sample *samples, int n, const struct corpus *corpus) {
    for (int i = 0; i < corpus->n_entries; ++i) {
        const struct corpus_entry *entry = &corpus->entries[i];
        if (entry->answer) samples[n++] = (struct tokenizer_sample){entry->answer, WEIGHT_ANSWER};
        for (int j = 0; j < entry->n_phrasings; ++j) {
            samples[n++] = (struct tokenizer_sample){entry->phrasings[j], WEIGHT_PHRASING};
        }
    }
    return n;
}

static size_t count_samples(const struct corpus *corpus) {
    size_t n = (size_t)corpus->n_entries;
    for (int i = 0; i < corpus->n_entries; ++i) n += (size_t)corpus->entries[i].n_phrasings;
    return n;
}

int lesson_material_train_tokenizer(const struct lesson_material *material, struct tokenizer *tokenizer, int n_tokens) {
    static const char *const forms[] = {"system", "user", "assistant", CHAT_CALL, CHAT_CALL_END, "Tools:", THOUGHT_KNOWN, THOUGHT_UNKNOWN,
                                        THOUGHT_ONE_CALL, THOUGHT_TWO_CALLS, THOUGHT_NO_TOOL, THOUGHT_ANSWERED, THOUGHT_REPETITION, REPETITION};
    enum { N_FORMS = sizeof forms / sizeof *forms };
    const struct corpus_lines *lists[] = {&material->system_prompts, &material->variations.lines, &material->calculations.lines};
    size_t n_max = count_samples(&material->questions) + count_samples(&material->off_topic) + N_FORMS;
    for (int l = 0; l < 3; ++l) n_max += (size_t)lists[l]->n_lines;
    struct tokenizer_sample *samples = malloc(n_max * sizeof *samples);
    if (!samples) return -1;
    int n = add_corpus_samples(samples, 0, &material->questions);
    n = add_corpus_samples(samples, n, &material->off_topic);
    for (int l = 0; l < 3; ++l) {
        for (int i = 0; i < lists[l]->n_lines; ++i) samples[n++] = (struct tokenizer_sample){lists[l]->lines[i], WEIGHT_OTHER};
    }
    for (int i = 0; i < N_FORMS; ++i) samples[n++] = (struct tokenizer_sample){forms[i], WEIGHT_FORM};
    int result = tokenizer_train(tokenizer, samples, n, n_tokens);
    free(samples);
    return result;
}

static int compare_texts(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static int list_forbidden(struct lessons *lessons, const struct corpus *held_out) {
    lessons->forbidden = calloc(count_samples(held_out), sizeof *lessons->forbidden);
    if (!lessons->forbidden) return -1;
    char essence[QUESTION_SIZE_BYTES];
    for (int i = 0; i < held_out->n_entries; ++i) {
        for (int j = 0; j < held_out->entries[i].n_phrasings; ++j) {
            variations_essence(held_out->entries[i].phrasings[j], essence);
            char *copy = malloc(strlen(essence) + 1);
            if (!copy) return -1;
            lessons->forbidden[lessons->n_forbidden++] = strcpy(copy, essence);
        }
    }
    qsort(lessons->forbidden, (size_t)lessons->n_forbidden, sizeof *lessons->forbidden, compare_texts);
    return 0;
}

static int is_forbidden(const struct lessons *lessons, const char *question) {
    char essence[QUESTION_SIZE_BYTES];
    const char *key = essence;
    variations_essence(question, essence);
    return bsearch(&key, lessons->forbidden, (size_t)lessons->n_forbidden, sizeof *lessons->forbidden, compare_texts) !=
           NULL;
}

static void add_items(struct lessons *lessons, const struct corpus *corpus) {
    for (int i = 0; i < corpus->n_entries; ++i) {
        for (int j = 0; j < corpus->entries[i].n_phrasings; ++j) {
            lessons->items[lessons->n_items++] = (struct lesson_item){&corpus->entries[i], j};
        }
    }
}

int lessons_new(struct lessons *lessons, const struct lesson_material *material, const struct tokenizer *tokenizer,
                double thoughts, struct random_source random) {
    *lessons = (struct lessons){.material = material, .tokenizer = tokenizer, .thoughts = thoughts, .random = random};
    size_t n_max = count_samples(&material->questions) + count_samples(&material->off_topic);
    lessons->items = malloc(n_max * sizeof *lessons->items);
    lessons->conversations = calloc(2, sizeof *lessons->conversations);
    lessons->passage = calloc(1, sizeof *lessons->passage);
    if (!lessons->items || !lessons->conversations || !lessons->passage || list_forbidden(lessons, &material->held_out)) {
        lessons_free(lessons);
        return -1;
    }
    add_items(lessons, &material->questions);
    add_items(lessons, &material->off_topic);
    lessons->next = lessons->n_items;
    return 0;
}

void lessons_free(struct lessons *lessons) {
    for (int i = 0; i < lessons->n_forbidden; ++i) free(lessons->forbidden[i]);
    free(lessons->forbidden);
    free(lessons->items);
    free(lessons->conversations);
    free(lessons->passage);
    *lessons = (struct lessons){0};
}

static struct lesson_item next_item(struct lessons *lessons) {
    if (lessons->next == lessons->n_items) { /* shuffle (Fisher and Yates) */
        for (int i = lessons->n_items - 1; i > 0; --i) {
            int j = random_below(&lessons->random, i + 1);
            struct lesson_item kept = lessons->items[i];
            lessons->items[i] = lessons->items[j];
            lessons->items[j] = kept;
        }
        lessons->next = 0;
    }
    return lessons->items[lessons->next++];
}

/* Chooses a question, never a held-out one, and returns the entry with its answer. */
static const struct corpus_entry *choose_question(struct lessons *lessons, char question[QUESTION_SIZE_BYTES]) {
    const struct variations *variations = &lessons->material->variations;
    const struct corpus_entry *entry;
    int made_up = random_chance(&lessons->random, CHANCE_MADE_UP_QUESTION);
    struct lesson_item item = {0};
    if (made_up)
        entry = &lessons->material->off_topic.entries[0];
    else
        entry = (item = next_item(lessons)).entry;
    do {
        if (made_up)
            variations_make_up(variations, &lessons->random, question);
        else
            variations_of_question(variations, &lessons->random, entry->phrasings[item.phrasing], question);
    } while (is_forbidden(lessons, question));
    return entry;
}

/* A system prompt of the list, or something that might stand there: the model has to answer regardless. */
static void choose_system_prompt(struct lessons *lessons, char prompt[QUESTION_SIZE_BYTES]) {
    const struct lesson_material *material = lessons->material;
    struct random_source *random = &lessons->random;
    if (!random_chance(random, CHANCE_MADE_UP_SYSTEM_PROMPT)) {
        const struct corpus_lines *prompts = &material->system_prompts;
        snprintf(prompt, QUESTION_SIZE_BYTES, "%s", prompts->lines[random_below(random, prompts->n_lines)]);
        return;
    }
    const struct corpus_entry *entry =
        &material->questions.entries[random_below(random, material->questions.n_entries)];
    char about[QUESTION_SIZE_BYTES];
    variations_make_up(&material->variations, random, about);
    switch (random_below(random, 4)) {
    case 0: snprintf(prompt, QUESTION_SIZE_BYTES, "%s", entry->answer); break;
    case 1: snprintf(prompt, QUESTION_SIZE_BYTES, "You are an expert on %.500s.", about); break;
    case 2: snprintf(prompt, QUESTION_SIZE_BYTES, "You are a helpful assistant. %.500s", about); break;
    default: snprintf(prompt, QUESTION_SIZE_BYTES, "%s", about);
    }
}

/* ---- passages ---- */

static void begin_passage(struct passage *passage) {
    passage->text[0] = '\0';
    passage->n_spans = 0;
}

/* Appends something that is to be learned. */
static void learn(struct passage *passage, const char *text, float weight, int n_first, int n_given) {
    int begin = (int)strlen(passage->text);
    chat_add(passage->text, sizeof passage->text, "%s", text);
    passage->spans[passage->n_spans++] =
        (struct span){.begin = begin, .end = (int)strlen(passage->text), .weight = weight, .n_first = n_first, .n_given = n_given};
}

/* Puts the passage at the end of the conversation, if there is room. */
static void add_passage(struct conversation *conversation, const struct tokenizer *tokenizer, struct passage *passage,
                        int max_tokens) {
    int *tokens = conversation->tokens + conversation->n_tokens;
    float *weights = conversation->loss_weights + conversation->n_tokens;
    int room = max_tokens - conversation->n_tokens, at = 0, s = 0;
    int n = tokenizer_encode(tokenizer, passage->text, strlen(passage->text), tokens, room);
    if (n > room) {
        conversation->overflow = 1;
        return;
    }
    for (int i = 0; i < n; ++i) {
        while (s < passage->n_spans && at >= passage->spans[s].end) ++s;
        struct span *span = s < passage->n_spans && at >= passage->spans[s].begin ? &passage->spans[s] : NULL;
        weights[i] = !span || span->n_given-- > 0 ? 0 : span->n_first-- > 0 ? WEIGHT_FIRST : span->weight;
        at += tokenizer_bytes(tokenizer, tokens[i]);
    }
    conversation->n_tokens += n;
}

/* ---- turns ---- */

/* What the turns of a conversation have in common. */
struct scene {
    struct calculation_tool calculator;
    int has_calculator;
    int thinks; /* in the turn at hand */
};

static void begin_answer(struct passage *passage, const struct scene *scene, const char *thought, const char *more) {
    chat_add(passage->text, sizeof passage->text, CHAT_ANSWER);
    if (!scene->thinks) return;
    chat_add(passage->text, sizeof passage->text, CHAT_THINK);
    learn(passage, thought, WEIGHT_LEARNED, N_FIRST_TOKENS, 0);
    learn(passage, more, WEIGHT_LEARNED, 0, 0);
    learn(passage, CHAT_THOUGHT_END, WEIGHT_LEARNED, 0, 0);
}

/* Usually the answer of the entry. Sometimes that of another one, of which the beginning is taken as given and only the
 * rest is learned: so the model learns to finish what it has begun, and does not mix two answers when it is in doubt.
 */
static void learn_answer(struct lessons *lessons, const struct scene *scene, const struct corpus_entry *entry) {
    const struct corpus *questions = &lessons->material->questions;
    struct passage *passage = lessons->passage;
    int is_known = entry != &lessons->material->off_topic.entries[0], n_given = 0;
    const char *answer = entry->answer;
    if (!scene->thinks && random_chance(&lessons->random, CHANCE_FOREIGN_ANSWER)) {
        n_given = 2 + random_below(&lessons->random, N_FIRST_TOKENS);
        answer = questions->entries[random_below(&lessons->random, questions->n_entries)].answer;
    }
    int is_calculation = strcmp(entry->id, CALCULATION_ID) == 0;
    begin_answer(passage, scene, is_calculation ? THOUGHT_NO_TOOL : is_known ? THOUGHT_KNOWN : THOUGHT_UNKNOWN,
                 is_known && !is_calculation ? entry->phrasings[0] : "");
    learn(passage, answer, WEIGHT_LEARNED, n_given == 0 ? N_FIRST_TOKENS : 0, n_given);
    learn(passage, CHAT_END, WEIGHT_LEARNED, 0, 0);
    chat_add(passage->text, sizeof passage->text, "\n");
}

/* The calls of a task, what comes back, and the answer. */
static void learn_calls(struct lessons *lessons, struct scene *scene, const struct calculation_task *task, int has_result) {
    struct passage *passage = lessons->passage;
    const char *results[CALCULATIONS_MAX];
    char call[2 * TOOL_SIZE_BYTES + sizeof CHAT_CALL];
    begin_answer(passage, scene, task->n_parts == 1 ? THOUGHT_ONE_CALL : THOUGHT_TWO_CALLS, "");
    snprintf(call, sizeof call, CHAT_CALL, scene->calculator.name, scene->calculator.parameter);
    for (int i = 0; i < task->n_parts; ++i) {
        if (i > 0) learn(passage, "\n", WEIGHT_FIRST, 0, 0);
        learn(passage, call, WEIGHT_LEARNED, i == 0 ? 1 : 0, 0);
        learn(passage, task->expressions[i], WEIGHT_COPIED, 0, 0);
        learn(passage, CHAT_CALL_END, WEIGHT_LEARNED, 1, 0);
        results[i] = task->results[i];
    }
    learn(passage, CHAT_END, WEIGHT_FIRST, 0, 0);
    chat_add(passage->text, sizeof passage->text, "\n");
    if (!has_result) return;
    chat_add_results(passage->text, sizeof passage->text, results, task->n_parts);
    if (random_chance(&lessons->random, CHANCE_OTHER_THOUGHT)) scene->thinks = !scene->thinks; /* thoughts were not sent back */
    begin_answer(passage, scene, THOUGHT_ANSWERED, "");
    learn(passage, task->answer, WEIGHT_COPIED, N_FIRST_TOKENS, 0);
    learn(passage, CHAT_END, WEIGHT_FIRST, 0, 0);
    chat_add(passage->text, sizeof passage->text, "\n");
}

/* Something to repeat: a question of the corpus, some words, or calculations. */
static void choose_repetition(struct lessons *lessons, char text[QUESTION_SIZE_BYTES]) {
    const struct lesson_material *material = lessons->material;
    struct random_source *random = &lessons->random;
    struct calculation_task task;
    int kind = random_below(random, 3);
    text[0] = '\0';
    for (int n = 1 + random_below(random, 12); kind == 0 && n > 0; --n) {
        chat_add(text, QUESTION_SIZE_BYTES, "%s%s",
                 material->variations.everyday[random_below(random, material->variations.n_everyday)], n > 1 ? " " : "");
    }
    for (int n = 1 + random_below(random, 3); kind == 1 && n > 0; --n) {
        calculations_make(&material->calculations, &material->variations, random, 0, &task);
        chat_add(text, QUESTION_SIZE_BYTES, "%s %s%s", task.expressions[0], task.results[0], n > 1 ? ", " : "");
    }
    if (kind == 2) choose_question(lessons, text);
}

static void learn_repetition(struct lessons *lessons, const struct scene *scene, const char *text) {
    begin_answer(lessons->passage, scene, THOUGHT_REPETITION, "");
    learn(lessons->passage, text, WEIGHT_COPIED, 0, 0);
    learn(lessons->passage, CHAT_END, WEIGHT_COPIED, 0, 0);
    chat_add(lessons->passage->text, sizeof lessons->passage->text, "\n");
}

static void add_turn(struct lessons *lessons, struct conversation *conversation, struct scene *scene, int is_last, int max_tokens) {
    const struct lesson_material *material = lessons->material;
    struct passage *passage = lessons->passage;
    struct calculation_task task;
    char question[QUESTION_SIZE_BYTES];
    const struct corpus_entry *entry = NULL;
    begin_passage(passage);
    if (random_chance(&lessons->random, CHANCE_REPETITION)) {
        choose_repetition(lessons, question);
        chat_add(passage->text, sizeof passage->text, "<|im_start|>user\n" REPETITION "%s" CHAT_END "\n", question);
        learn_repetition(lessons, scene, question);
        add_passage(conversation, lessons->tokenizer, passage, max_tokens);
        return;
    }
    if (random_chance(&lessons->random, scene->has_calculator ? CHANCE_CALCULATION : CHANCE_CALCULATION_ALONE)) {
        calculations_make(&material->calculations, &material->variations, &lessons->random, 0, &task);
        snprintf(question, sizeof question, "%s", task.question);
        if (!scene->has_calculator) entry = corpus_find(&material->questions, CALCULATION_ID);
    } else {
        do entry = choose_question(lessons, question);
        while (scene->has_calculator && strcmp(entry->id, CALCULATION_ID) == 0);
    }
    chat_add_question(passage->text, sizeof passage->text, question);
    if (entry)
        learn_answer(lessons, scene, entry);
    else
        learn_calls(lessons, scene, &task, !is_last || !random_chance(&lessons->random, CHANCE_NO_RESULT));
    add_passage(conversation, lessons->tokenizer, passage, max_tokens);
}

/* The system's message: a prompt, tools, both or neither. */
static void add_system(struct lessons *lessons, struct conversation *conversation, struct scene *scene, int max_tokens) {
    const struct calculations *calculations = &lessons->material->calculations;
    struct random_source *random = &lessons->random;
    struct calculation_tool others[4];
    const char *tools[5];
    char prompt[QUESTION_SIZE_BYTES];
    int n_tools = 0, has_prompt = random_chance(random, CHANCE_SYSTEM_PROMPT), has_tools = random_chance(random, CHANCE_TOOLS);
    if (has_prompt) choose_system_prompt(lessons, prompt);
    scene->has_calculator = has_tools && random_chance(random, CHANCE_CALCULATOR);
    while (has_tools && n_tools < 4 && (random_chance(random, CHANCE_OTHER_TOOL) || (n_tools == 0 && !scene->has_calculator))) {
        calculations_tool(calculations, CALCULATION_OTHERS, random, &others[n_tools]);
        tools[n_tools] = others[n_tools].line;
        ++n_tools;
    }
    if (scene->has_calculator) {
        calculations_tool(calculations, CALCULATION_CALCULATORS, random, &scene->calculator);
        int at = random_below(random, n_tools + 1);
        memmove(tools + at + 1, tools + at, (size_t)(n_tools++ - at) * sizeof *tools);
        tools[at] = scene->calculator.line;
    }
    begin_passage(lessons->passage);
    chat_add_system(lessons->passage->text, sizeof lessons->passage->text, has_prompt ? prompt : NULL, tools, n_tools);
    add_passage(conversation, lessons->tokenizer, lessons->passage, max_tokens);
}

/* Makes the next conversation; it may turn out empty. */
static void make_conversation(struct lessons *lessons, struct conversation *conversation, int is_long, int max_tokens) {
    struct random_source *random = &lessons->random;
    struct scene scene = {0};
    conversation->n_tokens = conversation->overflow = 0;
    add_system(lessons, conversation, &scene, max_tokens);
    int thinks = random_chance(random, lessons->thoughts), n_complete = 0, is_last;
    do {
        is_last = !random_chance(random, is_long ? CHANCE_FURTHER_TURN_LONG : CHANCE_FURTHER_TURN);
        scene.thinks = thinks && is_last; /* the template leaves out the thoughts of earlier turns */
        add_turn(lessons, conversation, &scene, is_last, max_tokens);
        if (!conversation->overflow) n_complete = conversation->n_tokens;
    } while (!conversation->overflow && !is_last);
    conversation->n_tokens = n_complete; /* without the turn that found no room */
}

int lesson_pack_new(struct lesson_pack *pack) {
    size_t n = LESSON_PACK_TOKENS_MAX + 1;
    *pack = (struct lesson_pack){0};
    pack->tokens = malloc(n * sizeof *pack->tokens);
    pack->targets = malloc(n * sizeof *pack->targets);
    pack->begins = malloc(n * sizeof *pack->begins);
    pack->loss_weights = malloc(n * sizeof *pack->loss_weights);
    if (pack->tokens && pack->targets && pack->begins && pack->loss_weights) return 0;
    lesson_pack_free(pack);
    return -1;
}

void lesson_pack_free(struct lesson_pack *pack) {
    free(pack->tokens);
    free(pack->targets);
    free(pack->begins);
    free(pack->loss_weights);
    *pack = (struct lesson_pack){0};
}

/* Puts the conversation at the end of the pack; what is to be predicted at a token is the one behind it. */
static void append_conversation(struct lesson_pack *pack, int *n_sequences, int at,
                                const struct conversation *conversation) {
    int n = conversation->n_tokens;
    for (int i = 0; i < n; ++i) {
        float weight = i + 1 < n ? conversation->loss_weights[i + 1] : 0;
        pack->tokens[at + i] = conversation->tokens[i];
        pack->targets[at + i] = weight > 0 ? conversation->tokens[i + 1] : -1;
        pack->loss_weights[at + i] = weight;
    }
    pack->begins[(*n_sequences)++] = at;
    pack->begins[*n_sequences] = at + n;
}

void lessons_fill(struct lessons *lessons, struct lesson_pack *pack, int is_long, int max_tokens) {
    struct conversation *conversation = &lessons->conversations[is_long != 0]; /* what did not fit into the pack before */
    int n_tokens = 0, n_sequences = 0;
    for (;;) {
        while (conversation->n_tokens == 0) make_conversation(lessons, conversation, is_long, max_tokens);
        if (n_tokens + conversation->n_tokens > max_tokens) break;
        append_conversation(pack, &n_sequences, n_tokens, conversation);
        n_tokens += conversation->n_tokens;
        conversation->n_tokens = 0;
    }
    pack->batch = (struct network_batch){.n_tokens = n_tokens,
                                         .tokens = pack->tokens,
                                         .targets = pack->targets,
                                         .loss_weights = pack->loss_weights,
                                         .n_sequences = n_sequences,
                                         .begins = pack->begins};
}
