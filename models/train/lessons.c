/* lessons.c - makes the conversations that the model is trained on; see lessons.h. */
#include "lessons.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What conversations look like. Only the answers are learned, each of them with the token that ends it. */
static const double CHANCE_SYSTEM_PROMPT = 0.60;
static const double CHANCE_MADE_UP_SYSTEM_PROMPT = 0.35; /* of those */
static const double CHANCE_FURTHER_TURN = 0.22;          /* after each turn */
static const double CHANCE_LONG = 0.05;                  /* that the conversation is one of those that go on and on, */
static const double CHANCE_FURTHER_TURN_LONG = 0.93;     /* with this chance of a further turn */
static const double CHANCE_MADE_UP_QUESTION = 0.14;      /* instead of one of the corpus */
static const double CHANCE_FOREIGN_ANSWER = 0.10;        /* see choose_answer */
static const float FIRST_TOKENS_WEIGHT = 3.0f; /* it is the first tokens that decide which answer it will be */
enum { N_FIRST_TOKENS = 6, CONVERSATION_TOKENS_MAX = LESSON_PACK_TOKENS_MIN, MESSAGE_SIZE_BYTES = 4096 };

/* A conversation under construction. */
struct conversation {
    int tokens[CONVERSATION_TOKENS_MAX];
    float loss_weights[CONVERSATION_TOKENS_MAX]; /* of predicting this token; 0 where it is not an answer's */
    int n_tokens;
    int overflow;
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
}

/* Samples for the tokenizer. Answers count more, because every piece of them saves a step of generation. */
enum { WEIGHT_ANSWER = 3, WEIGHT_PHRASING = 1, WEIGHT_OTHER = 1, WEIGHT_ROLE = 100 };

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
    static const char *const roles[] = {"system", "user", "assistant"};
    const struct corpus_lines *prompts = &material->system_prompts, *words = &material->variations.lines;
    size_t n_max = count_samples(&material->questions) + count_samples(&material->off_topic) +
                   (size_t)prompts->n_lines + (size_t)words->n_lines + 3;
    struct tokenizer_sample *samples = malloc(n_max * sizeof *samples);
    if (!samples) return -1;
    int n = add_corpus_samples(samples, 0, &material->questions);
    n = add_corpus_samples(samples, n, &material->off_topic);
    for (int i = 0; i < prompts->n_lines; ++i)
        samples[n++] = (struct tokenizer_sample){prompts->lines[i], WEIGHT_OTHER};
    for (int i = 0; i < words->n_lines; ++i) samples[n++] = (struct tokenizer_sample){words->lines[i], WEIGHT_OTHER};
    for (int i = 0; i < 3; ++i) samples[n++] = (struct tokenizer_sample){roles[i], WEIGHT_ROLE};
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
                struct random_source random) {
    *lessons = (struct lessons){.material = material, .tokenizer = tokenizer, .random = random};
    size_t n_max = count_samples(&material->questions) + count_samples(&material->off_topic);
    lessons->items = malloc(n_max * sizeof *lessons->items);
    lessons->conversation = calloc(1, sizeof *lessons->conversation);
    if (!lessons->items || !lessons->conversation || list_forbidden(lessons, &material->held_out)) {
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
    free(lessons->conversation);
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

/* Appends a text. If it is an answer, its tokens are to be learned from index n_given on. */
static void add_text(struct conversation *conversation, const struct tokenizer *tokenizer, const char *text,
                     int is_answer, int n_given) {
    int room = CONVERSATION_TOKENS_MAX - conversation->n_tokens;
    int n = tokenizer_encode(tokenizer, text, strlen(text), conversation->tokens + conversation->n_tokens, room);
    if (n > room) {
        conversation->overflow = 1;
        return;
    }
    for (int i = 0; i < n; ++i) {
        int is_learned = is_answer && i >= n_given;
        float weight = !is_learned ? 0.0f : n_given == 0 && i < N_FIRST_TOKENS ? FIRST_TOKENS_WEIGHT : 1.0f;
        conversation->loss_weights[conversation->n_tokens + i] = weight;
    }
    conversation->n_tokens += n;
}

/* Usually the answer of the entry. Sometimes that of another one, of which the beginning is taken as given and only the
 * rest is learned: so the model learns to finish what it has begun, and does not mix two answers when it is in doubt.
 */
static const char *choose_answer(struct lessons *lessons, const struct corpus_entry *entry, int *n_given) {
    const struct corpus *questions = &lessons->material->questions;
    *n_given = 0;
    if (!random_chance(&lessons->random, CHANCE_FOREIGN_ANSWER)) return entry->answer;
    *n_given = 2 + random_below(&lessons->random, N_FIRST_TOKENS);
    return questions->entries[random_below(&lessons->random, questions->n_entries)].answer;
}

static void add_turn(struct lessons *lessons, struct conversation *conversation) {
    char text[MESSAGE_SIZE_BYTES], question[QUESTION_SIZE_BYTES];
    int n_given;
    const struct corpus_entry *entry = choose_question(lessons, question);
    snprintf(text, sizeof text, "<|im_start|>user\n%s<|im_end|>\n<|im_start|>assistant\n", question);
    add_text(conversation, lessons->tokenizer, text, 0, 0);
    snprintf(text, sizeof text, "%s<|im_end|>", choose_answer(lessons, entry, &n_given));
    add_text(conversation, lessons->tokenizer, text, 1, n_given);
    add_text(conversation, lessons->tokenizer, "\n", 0, 0);
}

/* Makes the next conversation; it may turn out empty. */
static void make_conversation(struct lessons *lessons) {
    struct conversation *conversation = lessons->conversation;
    struct random_source *random = &lessons->random;
    char text[MESSAGE_SIZE_BYTES], prompt[QUESTION_SIZE_BYTES];
    conversation->n_tokens = conversation->overflow = 0;
    if (random_chance(random, CHANCE_SYSTEM_PROMPT)) {
        choose_system_prompt(lessons, prompt);
        snprintf(text, sizeof text, "<|im_start|>system\n%s<|im_end|>\n", prompt);
        add_text(conversation, lessons->tokenizer, text, 0, 0);
    }
    double chance = random_chance(random, CHANCE_LONG) ? CHANCE_FURTHER_TURN_LONG : CHANCE_FURTHER_TURN;
    int n_complete = 0;
    do {
        add_turn(lessons, conversation);
        if (!conversation->overflow) n_complete = conversation->n_tokens;
    } while (!conversation->overflow && random_chance(random, chance));
    conversation->n_tokens = n_complete; /* without the turn that found no room */
}

int lesson_pack_new(struct lesson_pack *pack, int max_tokens) {
    size_t n = (size_t)max_tokens + 1;
    *pack = (struct lesson_pack){.max_tokens = max_tokens};
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

void lessons_fill(struct lessons *lessons, struct lesson_pack *pack) {
    struct conversation *conversation = lessons->conversation;
    int n_tokens = 0, n_sequences = 0;
    for (;;) {
        if (conversation->n_tokens == 0) make_conversation(lessons);
        if (conversation->n_tokens == 0) continue;
        if (n_tokens + conversation->n_tokens > pack->max_tokens) break; /* it will come first in the next pack */
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
