/* calculations.c - see calculations.h. */
#include "calculations.h"

#include "chat_format.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const double CHANCE_TWO_PARTS = 0.30;
static const double CHANCE_THREE_NUMBERS = 0.18;
static const double CHANCE_PARENTHESES = 0.40; /* of those */
static const double CHANCE_DECIMALS = 0.08;
static const double CHANCE_WORDS = 0.35; /* instead of signs */
static const double CHANCE_AROUND = 0.20; /* of those: words around the numbers */
static const double CHANCE_SPACES = 0.35;
static const double CHANCE_FRAME = 0.20;
static const double CHANCE_LOWER_CASE = 0.25;
static const double CHANCE_RIGHT_RESULT = 0.50;
static const double CHANCE_FAILURE = 0.05;
static const double CHANCE_QUOTED = 0.08;
static const double CHANCE_OBJECT = 0.08;

int calculations_load(struct calculations *calculations, const char *path, char *error, size_t error_size) {
    static const char *const names[CALCULATION_SECTIONS] = {
        "[operators]", "[around]", "[one]", "[one held out]", "[two]", "[two held out]", "[calculators]", "[others]", "[failures]"};
    *calculations = (struct calculations){0};
    for (int i = 0; i < CALCULATION_SECTIONS; ++i) calculations->sections[i].name = names[i];
    return corpus_sections_load(&calculations->lines, calculations->sections, CALCULATION_SECTIONS, path, error, error_size);
}

void calculations_free(struct calculations *calculations) {
    corpus_lines_free(&calculations->lines);
    *calculations = (struct calculations){0};
}

static const char *pick(const struct calculations *calculations, enum calculation_section section, struct random_source *random) {
    const struct corpus_section *from = &calculations->sections[section];
    return from->items[random_below(random, from->n_items)];
}

static void append_digits(struct random_source *random, char *text, size_t size_bytes, int n_digits) {
    for (int i = 0; i < n_digits; ++i) {
        int least = i == 0 && n_digits > 1 ? 1 : 0;
        chat_add(text, size_bytes, "%d", least + random_below(random, 10 - least));
    }
}

/* Mostly short ones. */
static void append_number(struct random_source *random, char *text) {
    static const int lengths[] = {1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5};
    append_digits(random, text, CALCULATION_SIZE_BYTES, lengths[random_below(random, sizeof lengths / sizeof *lengths)]);
    if (!random_chance(random, CHANCE_DECIMALS)) return;
    chat_add(text, CALCULATION_SIZE_BYTES, ".");
    append_digits(random, text, CALCULATION_SIZE_BYTES, 1 + random_below(random, 2));
}

static double apply(char sign, double a, double b) {
    return sign == '+' ? a + b : sign == '-' ? a - b : sign == '*' ? a * b : a / b;
}

static double value_of(const char *text) {
    double value = 0;
    sscanf(text, "%lf", &value);
    return value;
}

static void put_number(double value, char result[CALCULATION_SIZE_BYTES]) {
    snprintf(result, CALCULATION_SIZE_BYTES, "%.12g", value);
}

/* Two numbers, with a sign between them in the expression, and in the question a sign or words. Returns the value. */
static double make_two(const struct calculations *calculations, struct random_source *random, char *expression, char *spoken) {
    char a[CALCULATION_SIZE_BYTES] = "", b[CALCULATION_SIZE_BYTES] = "";
    append_number(random, a);
    append_number(random, b);
    const char *words = pick(calculations, CALCULATION_OPERATORS, random);
    char sign = words[0];
    int has_words = random_chance(random, CHANCE_WORDS);
    if (has_words && random_chance(random, CHANCE_AROUND)) {
        words = pick(calculations, CALCULATION_AROUND, random);
        sign = words[0];
        const char *first = strchr(words + 1, '*'), *second = strchr(first + 1, '*');
        snprintf(spoken, CALCULATION_SIZE_BYTES, "%.*s%s%.*s%s", (int)(first - words - 2), words + 2, a, (int)(second - first - 1),
                 first + 1, b);
    } else if (has_words) {
        snprintf(spoken, CALCULATION_SIZE_BYTES, "%s %s %s", a, words + 2, b);
    } else {
        const char *space = random_chance(random, CHANCE_SPACES) ? " " : "";
        snprintf(spoken, CALCULATION_SIZE_BYTES, "%s%s%c%s%s", a, space, sign, space, b);
    }
    snprintf(expression, CALCULATION_SIZE_BYTES, "%s%c%s", a, sign, b);
    return apply(sign, value_of(a), value_of(b));
}

/* Three numbers, in signs. The value is only about right, which does not matter: results are to be copied. */
static double make_three(struct random_source *random, char *expression, char *spoken) {
    static const char signs[] = "+-*/";
    char numbers[3][CALCULATION_SIZE_BYTES] = {"", "", ""};
    char first = signs[random_below(random, 4)], second = signs[random_below(random, 4)];
    const char *space = random_chance(random, CHANCE_SPACES) ? " " : "";
    int open = random_chance(random, CHANCE_PARENTHESES) ? 1 + random_below(random, 2) : 0; /* which two stand in them */
    for (int i = 0; i < 3; ++i) append_number(random, numbers[i]);
    const char *const marks[] = {open == 1 ? "(" : "", open == 2 ? "(" : "", open == 1 ? ")" : "", open == 2 ? ")" : ""};
    const char *const spaces[] = {"", space};
    char *const texts[] = {expression, spoken};
    for (int i = 0; i < 2; ++i) {
        snprintf(texts[i], CALCULATION_SIZE_BYTES, "%s%s%s%c%s%s%s%s%s%c%s%s%s", marks[0], numbers[0], spaces[i], first, spaces[i],
                 marks[1], numbers[1], marks[2], spaces[i], second, spaces[i], numbers[2], marks[3]);
    }
    double a = value_of(numbers[0]), b = value_of(numbers[1]), c = value_of(numbers[2]);
    return open == 2 ? apply(first, a, apply(second, b, c)) : apply(second, apply(first, a, b), c);
}

static int is_held_out(const char *expression) {
    unsigned hash = 2166136261u; /* FNV-1a */
    for (; *expression; ++expression) hash = (hash ^ (unsigned char)*expression) * 16777619u;
    return (hash >> 16) % 8 == 0;
}

/* Puts texts where the stars are. */
static void fill(const char *sentence, char spoken[][CALCULATION_SIZE_BYTES], char *question) {
    question[0] = '\0';
    for (int i = 0; *sentence; ++sentence) {
        if (*sentence == '*')
            chat_add(question, QUESTION_SIZE_BYTES, "%s", spoken[i++]);
        else
            chat_add(question, QUESTION_SIZE_BYTES, "%c", *sentence);
    }
}

static void choose_result(struct random_source *random, double value, char result[CALCULATION_SIZE_BYTES]) {
    result[0] = '\0';
    if (isfinite(value) && random_chance(random, CHANCE_RIGHT_RESULT)) {
        put_number(value, result);
        return;
    }
    if (random_chance(random, 0.2)) chat_add(result, CALCULATION_SIZE_BYTES, "-");
    append_digits(random, result, CALCULATION_SIZE_BYTES, 1 + random_below(random, 7));
    if (!random_chance(random, 0.25)) return;
    chat_add(result, CALCULATION_SIZE_BYTES, ".");
    append_digits(random, result, CALCULATION_SIZE_BYTES, 1 + random_below(random, 6));
}

/* The results as tools write them, and what the model is to say of them. */
static void conclude(const struct calculations *calculations, struct random_source *random, struct calculation_task *task) {
    char plain[CALCULATION_SIZE_BYTES];
    int has_failed = 0;
    task->answer[0] = '\0';
    for (int i = 0; i < task->n_parts; ++i) {
        memcpy(plain, task->results[i], sizeof plain);
        chat_add(task->answer, sizeof task->answer, "%s%s is %s", i == 0 ? "" : ", and ", task->expressions[i], plain);
        if (random_chance(random, CHANCE_FAILURE)) {
            snprintf(task->results[i], CALCULATION_SIZE_BYTES, "%s", pick(calculations, CALCULATION_FAILURES, random));
            has_failed = 1;
        } else if (random_chance(random, CHANCE_QUOTED)) {
            snprintf(task->results[i], CALCULATION_SIZE_BYTES, "\"%.40s\"", plain);
        } else if (random_chance(random, CHANCE_OBJECT)) {
            snprintf(task->results[i], CALCULATION_SIZE_BYTES, "{\"result\": %.40s}", plain);
        }
    }
    chat_add(task->answer, sizeof task->answer, ".");
    if (has_failed) snprintf(task->answer, sizeof task->answer, "The tool could not work that out.");
}

void calculations_make(const struct calculations *calculations, const struct variations *variations,
                       struct random_source *random, int held_out, struct calculation_task *task) {
    char spoken[CALCULATIONS_MAX][CALCULATION_SIZE_BYTES];
    task->n_parts = random_chance(random, CHANCE_TWO_PARTS) ? 2 : 1;
    for (int i = 0; i < task->n_parts; ++i) {
        double value;
        do {
            value = random_chance(random, CHANCE_THREE_NUMBERS) ? make_three(random, task->expressions[i], spoken[i])
                                                                : make_two(calculations, random, task->expressions[i], spoken[i]);
        } while (is_held_out(task->expressions[i]) != held_out);
        choose_result(random, value, task->results[i]);
    }
    enum calculation_section section = task->n_parts == 2 ? CALCULATION_TWO : CALCULATION_ONE;
    if (held_out && random_chance(random, 0.5)) section = task->n_parts == 2 ? CALCULATION_TWO_HELD_OUT : CALCULATION_ONE_HELD_OUT;
    fill(pick(calculations, section, random), spoken, task->question);
    if (random_chance(random, CHANCE_FRAME)) variations_frame(variations, random, task->question);
    if (random_chance(random, CHANCE_LOWER_CASE))
        for (char *c = task->question; *c; ++c) *c = (char)tolower((unsigned char)*c);
    conclude(calculations, random, task);
}

void calculations_tool(const struct calculations *calculations, enum calculation_section section, struct random_source *random,
                       struct calculation_tool *tool) {
    snprintf(tool->line, sizeof tool->line, "%s", pick(calculations, section, random));
    size_t n = strcspn(tool->line, "(");
    snprintf(tool->name, sizeof tool->name, "%.*s", (int)n, tool->line);
    const char *parameter = tool->line + n + 1;
    snprintf(tool->parameter, sizeof tool->parameter, "%.*s", (int)strcspn(parameter, ",)"), parameter);
}
