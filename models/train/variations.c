/* variations.c - varies the questions of the corpus; see variations.h. */
#include "variations.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* How often each kind of variation is applied. */
static const double CHANCE_UNCHANGED = 0.25;
static const double CHANCE_OPENING = 0.35;
static const double CHANCE_DROP_SMALL_WORD = 0.06; /* for each such word */
static const double CHANCE_DROP_WORD = 0.08;
static const double CHANCE_SWAP_WORDS = 0.06;
static const double CHANCE_FILLER = 0.12;
static const double CHANCE_FRAME = 0.30;
static const double CHANCE_SECOND_FRAME = 0.12;
static const double CHANCE_LOWER_CASE = 0.30;
static const double CHANCE_UPPER_CASE = 0.03;
static const double CHANCE_NO_END_MARK = 0.30;
static const double CHANCE_OTHER_END_MARK = 0.10;
static const double CHANCE_TYPO = 0.15;
static const double CHANCE_INVENTED_WORD = 0.25; /* instead of an everyday word */

static void unescape_ends(char *text) {
    size_t size = strlen(text);
    if (size > 1 && text[size - 1] == '_') text[size - 1] = ' ';
    if (size > 1 && text[0] == '_') text[0] = ' ';
}

int variations_load(struct variations *variations, const char *path, char *error, size_t error_size) {
    *variations = (struct variations){0};
    struct corpus_section sections[] = {
        {.name = "[frames]"}, {.name = "[openings]"}, {.name = "[fillers]"}, {.name = "[patterns]"}, {.name = "[everyday]"}};
    const struct {
        char ***items;
        int *n_items;
    } places[] = {{&variations->frames, &variations->n_frames},
                  {&variations->openings, &variations->n_openings},
                  {&variations->fillers, &variations->n_fillers},
                  {&variations->patterns, &variations->n_patterns},
                  {&variations->everyday, &variations->n_everyday}};
    const int n_sections = sizeof sections / sizeof *sections;
    if (corpus_sections_load(&variations->lines, sections, n_sections, path, error, error_size)) return -1;
    for (int s = 0; s < n_sections; ++s) {
        *places[s].items = sections[s].items;
        *places[s].n_items = sections[s].n_items;
        for (int i = 0; i < sections[s].n_items; ++i) unescape_ends(sections[s].items[i]);
    }
    return 0;
}

void variations_free(struct variations *variations) {
    corpus_lines_free(&variations->lines);
    *variations = (struct variations){0};
}

static const char *pick(struct random_source *random, char **items, int n_items) {
    return items[random_below(random, n_items)];
}

static int is_separator(const char *opening) { return strcmp(opening, "-") == 0; }

/* Exchanges the beginning of the question for another one of the same meaning, if its beginning is known. */
static void swap_opening(const struct variations *variations, struct random_source *random, char *question) {
    int found = -1;
    size_t found_size = 0;
    int n_ties = 0;
    for (int i = 0; i < variations->n_openings;
         ++i) { /* the longest one; among equals in several groups a random one */
        const char *opening = variations->openings[i];
        size_t size = strlen(opening);
        if (is_separator(opening) || size < found_size || strncasecmp(question, opening, size) != 0) continue;
        n_ties = size == found_size ? n_ties + 1 : 1;
        if (random_below(random, n_ties) == 0) found = i;
        found_size = size;
    }
    if (found < 0) return;
    int begin = found, end = found;
    while (begin > 0 && !is_separator(variations->openings[begin - 1])) --begin;
    while (end < variations->n_openings && !is_separator(variations->openings[end])) ++end;
    const char *other = pick(random, variations->openings + begin, end - begin);
    char changed[QUESTION_SIZE_BYTES];
    snprintf(changed, sizeof changed, "%s%s", other, question + found_size);
    strcpy(question, changed);
}

static int is_small_word(const char *word, size_t size) {
    static const char *const small[] = {"the", "a",   "an", "is", "are", "do", "does",
                                        "i",   "you", "my", "in", "of",  "me", "it"};
    for (size_t i = 0; i < sizeof small / sizeof *small; ++i) {
        if (strlen(small[i]) == size && strncasecmp(word, small[i], size) == 0) return 1;
    }
    return 0;
}

static void drop_small_words(struct random_source *random, char *question) {
    char kept[QUESTION_SIZE_BYTES];
    size_t n = 0;
    for (const char *word = question; *word;) {
        size_t size = strcspn(word, " ");
        size_t with_space = size + strspn(word + size, " ");
        if (!is_small_word(word, size) || !random_chance(random, CHANCE_DROP_SMALL_WORD)) {
            memcpy(kept + n, word, with_space);
            n += with_space;
        }
        word += with_space;
    }
    kept[n] = '\0';
    if (n > 0) strcpy(question, kept);
}

enum { WORDS_MAX = 64 };

/* Finds where the words of the question begin; returns how many there are. Every word reaches to the next one's
 * beginning. */
static int find_words(const char *question, int begins[WORDS_MAX + 1]) {
    int n = 0, at = (int)strspn(question, " ");
    while (question[at] && n < WORDS_MAX) {
        begins[n++] = at;
        at += (int)strcspn(question + at, " ");
        at += (int)strspn(question + at, " ");
    }
    begins[n] = at;
    return n;
}

/* Leaves a word out, exchanges two neighbours, puts a filler in: the words that matter should be enough. */
static void shake_words(const struct variations *variations, struct random_source *random, char *question) {
    int begins[WORDS_MAX + 1];
    char changed[QUESTION_SIZE_BYTES];
    int n = find_words(question, begins);
    if (n > 3 && random_chance(random, CHANCE_DROP_WORD)) {
        int word = random_below(random, n - 1);
        memmove(question + begins[word], question + begins[word + 1], strlen(question + begins[word + 1]) + 1);
        n = find_words(question, begins);
    }
    if (n > 3 && random_chance(random, CHANCE_SWAP_WORDS)) {
        int word = random_below(random, n - 2); /* not the last one, which has no space behind it */
        int left = begins[word + 1] - begins[word], right = begins[word + 2] - begins[word + 1];
        memcpy(changed, question + begins[word], (size_t)left);
        memmove(question + begins[word], question + begins[word + 1], (size_t)right);
        memcpy(question + begins[word] + right, changed, (size_t)left);
        n = find_words(question, begins);
    }
    if (n > 1 && random_chance(random, CHANCE_FILLER)) {
        const char *filler = pick(random, variations->fillers, variations->n_fillers);
        int at = begins[random_below(random, n)];
        snprintf(changed, sizeof changed, "%.*s%s %.900s", at, question, filler, question + at);
        strcpy(question, changed);
    }
}

/* Puts the question where the '*' of the frame is. */
static void put_in_frame(const char *frame, char *question) {
    const char *star = strchr(frame, '*');
    size_t size = strlen(question);
    if (!star || strlen(frame) + size >= QUESTION_SIZE_BYTES) return;
    size_t before = (size_t)(star - frame);
    memmove(question + before, question, size);
    memcpy(question, frame, before);
    strcpy(question + before + size, star + 1);
}

static void change_end_mark(struct random_source *random, char *question) {
    static const char *const marks[] = {"??", "?", ".", "!", " ?", "...", "?!", "???"};
    size_t size = strlen(question);
    int has_mark = size > 1 && strchr("?.!", question[size - 1]) && question[size - 2] != question[size - 1];
    if (has_mark && random_chance(random, CHANCE_NO_END_MARK)) question[--size] = '\0';
    if (size + 4 < QUESTION_SIZE_BYTES && random_chance(random, CHANCE_OTHER_END_MARK)) {
        if (size > 1 && strchr("?.!", question[size - 1])) question[--size] = '\0';
        strcpy(question + size, marks[random_below(random, sizeof marks / sizeof *marks)]);
    }
}

/* One slip of the finger, within a word of at least four letters. */
static void make_typo(struct random_source *random, char *question) {
    size_t size = strlen(question);
    if (size < 5 || size + 2 > QUESTION_SIZE_BYTES) return;
    for (int attempt = 0; attempt < 8; ++attempt) {
        int at = 1 + random_below(random, (int)size - 3);
        char *c = question + at;
        if (!isalpha((unsigned char)c[-1]) || !isalpha((unsigned char)c[0]) || !isalpha((unsigned char)c[1]) ||
            !isalpha((unsigned char)c[2])) {
            continue;
        }
        switch (random_below(random, 4)) {
        case 0: { /* exchange two letters */
            char kept = c[0];
            c[0] = c[1];
            c[1] = kept;
            break;
        }
        case 1: memmove(c, c + 1, size - (size_t)at); break;     /* leave one out */
        case 2: memmove(c + 1, c, size - (size_t)at + 1); break; /* write one twice */
        default: c[0] = (char)('a' + random_below(random, 26));  /* hit a wrong key */
        }
        return;
    }
}

static void lower_case(char *text) {
    for (; *text; ++text) *text = (char)tolower((unsigned char)*text);
}

static void upper_case(char *text) {
    for (; *text; ++text) *text = (char)toupper((unsigned char)*text);
}

void variations_frame(const struct variations *variations, struct random_source *random, char question[QUESTION_SIZE_BYTES]) {
    if (random_chance(random, 0.5)) question[0] = (char)tolower((unsigned char)question[0]);
    put_in_frame(pick(random, variations->frames, variations->n_frames), question);
}

void variations_of_question(const struct variations *variations, struct random_source *random, const char *question,
                            char varied[QUESTION_SIZE_BYTES]) {
    snprintf(varied, QUESTION_SIZE_BYTES, "%s", question);
    if (random_chance(random, CHANCE_UNCHANGED)) return;
    if (random_chance(random, CHANCE_OPENING)) swap_opening(variations, random, varied);
    drop_small_words(random, varied);
    shake_words(variations, random, varied);
    change_end_mark(random, varied);
    double chance = CHANCE_FRAME;
    while (random_chance(random, chance)) {
        variations_frame(variations, random, varied);
        chance = CHANCE_SECOND_FRAME;
    }
    if (random_chance(random, CHANCE_LOWER_CASE)) lower_case(varied);
    if (random_chance(random, CHANCE_UPPER_CASE)) upper_case(varied);
    while (random_chance(random, CHANCE_TYPO)) make_typo(random, varied);
}

/* Appends to a text of at most QUESTION_SIZE_BYTES, cutting what does not fit. */
static void append(char *text, const char *more) {
    size_t size = strlen(text);
    snprintf(text + size, QUESTION_SIZE_BYTES - size, "%s", more);
}

/* A word that sounds like one but means nothing, of two to four syllables. */
static void append_invented(struct random_source *random, char *text) {
    static const char *const begins[] = {"b", "br", "c",  "ch", "d", "f", "fl", "g",  "gr", "h",  "j", "k", "l", "m",
                                         "n", "p",  "pl", "qu", "r", "s", "sh", "st", "t",  "tr", "v", "w", "z", ""};
    static const char *const ends[] = {"a",  "e",  "i",  "o",  "u",  "ea", "oo",  "an",
                                       "er", "in", "on", "us", "al", "et", "ist", "ing"};
    for (int n = 2 + random_below(random, 3); n > 0; --n) {
        append(text, begins[random_below(random, sizeof begins / sizeof *begins)]);
        append(text, ends[random_below(random, sizeof ends / sizeof *ends)]);
    }
}

static void append_everyday(const struct variations *variations, struct random_source *random, char *text) {
    if (random_chance(random, CHANCE_INVENTED_WORD)) {
        append_invented(random, text);
        return;
    }
    append(text, pick(random, variations->everyday, variations->n_everyday));
}

static void fill_pattern(const struct variations *variations, struct random_source *random, char *text) {
    for (const char *c = pick(random, variations->patterns, variations->n_patterns); *c; ++c) {
        if (*c == '*')
            append_everyday(variations, random, text);
        else
            append(text, (const char[]){*c, '\0'});
    }
}

static void append_gibberish(struct random_source *random, char *text) {
    for (int n_words = 1 + random_below(random, 5); n_words > 0; --n_words) {
        for (int n = 1 + random_below(random, 10); n > 0; --n) {
            append(text, (const char[]){(char)('a' + random_below(random, 26)), '\0'});
        }
        if (n_words > 1) append(text, " ");
    }
}

/* Any printable characters, and characters beyond ASCII as UTF-8. */
static void append_noise(struct random_source *random, char *text) {
    for (int n = 1 + random_below(random, 30); n > 0; --n) {
        int code = random_chance(random, 0.6) ? ' ' + random_below(random, 95) : 0x80 + random_below(random, 0x3000);
        if (code < 0x80)
            append(text, (const char[]){(char)code, '\0'});
        else if (code < 0x800)
            append(text, (const char[]){(char)(0xc0 | code >> 6), (char)(0x80 | (code & 63)), '\0'});
        else
            append(text, (const char[]){(char)(0xe0 | code >> 12), (char)(0x80 | (code >> 6 & 63)),
                                        (char)(0x80 | (code & 63)), '\0'});
    }
}

void variations_make_up(const struct variations *variations, struct random_source *random,
                        char made_up[QUESTION_SIZE_BYTES]) {
    made_up[0] = '\0';
    int kind = random_below(random, 20);
    if (kind < 13) {
        fill_pattern(variations, random, made_up);
        for (int more = random_chance(random, 0.1) ? random_below(random, 8) : 0; more > 0; --more) {
            append(made_up, " ");
            fill_pattern(variations, random, made_up);
        }
    } else if (kind < 15) {
        for (int n = 1 + random_below(random, 20); n > 0; --n) {
            append_everyday(variations, random, made_up);
            if (n > 1) append(made_up, " ");
        }
    } else if (kind < 18) {
        append_gibberish(random, made_up);
    } else {
        append_noise(random, made_up);
    }
    char question[QUESTION_SIZE_BYTES];
    strcpy(question, made_up);
    variations_of_question(variations, random, question, made_up);
}

void variations_essence(const char *question, char essence[QUESTION_SIZE_BYTES]) {
    size_t n = 0;
    for (; *question && n + 1 < QUESTION_SIZE_BYTES; ++question) {
        unsigned char c = (unsigned char)*question;
        if (isalnum(c) || strchr("+#-_./&", c)) essence[n++] = (char)tolower(c);
    }
    while (n > 0 && essence[n - 1] == '.') --n;
    essence[n] = '\0';
}
