/* options.c - see options.h. */
#include "options.h"

#include "../channel/names.h"
#include "../platform/platform.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ENVIRONMENT_NAME_SIZE 64
#define COLUMNS 79
#define LEFT_COLUMN 21
#define LEFT_SIZE 64
/* A word of more letters is not compared with those that are known. */
#define SIMILAR_MAX 32

/* ---- values -------------------------------------------------------------------------------------------------------- */

static const char *store_number(const option_spec *spec, const char *value, char *field, char *allowed, size_t size) {
    char *end;
    errno = 0;
    long long number = strtoll(value, &end, 10);
    snprintf(allowed, size, "a whole number from %.0f to %.0f", spec->low, spec->high);
    if (end == value || *end || errno || (double)number < spec->low || (double)number > spec->high) return allowed;
    if (spec->kind == OPTION_WIDE)
        memcpy(field, &(int64_t){number}, sizeof(int64_t));
    else
        memcpy(field, &(int32_t){(int32_t)number}, sizeof(int32_t));
    return NULL;
}

static const char *store_size(const option_spec *spec, const char *value, char *field, char *allowed, size_t size) {
    char *end;
    errno = 0;
    long long number = strtoll(value, &end, 10);
    bool is_number = end != value && !errno;
    double unit = *end == 'K' || *end == 'k' ? 1024 : *end == 'M' || *end == 'm' ? 1024 * 1024 : 1;
    if (unit > 1) end++;
    double n_bytes = (double)number * unit;
    snprintf(allowed, size, "a number of bytes from %.0fK to %.0fM, such as 512K", spec->low / 1024,
             spec->high / (1024 * 1024));
    if (!is_number || *end || n_bytes < spec->low || n_bytes > spec->high) return allowed;
    memcpy(field, &(uint32_t){(uint32_t)n_bytes}, sizeof(uint32_t));
    return NULL;
}

static const char *store_real(const option_spec *spec, const char *value, char *field, char *allowed, size_t size) {
    char *end;
    double number = strtod(value, &end);
    snprintf(allowed, size, "a number from %g to %g", spec->low, spec->high);
    if (end == value || *end || !isfinite(number) || number < spec->low || number > spec->high) return allowed;
    memcpy(field, &(float){(float)number}, sizeof(float));
    return NULL;
}

/* "error|warn|info" as a person would say it: "error, warn or info". */
static void list_choices(const char *choices, char *text, size_t size) {
    size_t n = 0;
    for (; *choices && n + 5 < size; choices++) {
        bool is_last = *choices == '|' && !strchr(choices + 1, '|');
        if (*choices != '|')
            text[n++] = *choices;
        else
            n += (size_t)snprintf(text + n, size - n, "%s", is_last ? " or " : ", ");
    }
    text[n] = 0;
}

static const char *store_choice(const option_spec *spec, const char *value, char *field, char *allowed, size_t size) {
    int place = 0;
    for (const char *choice = spec->choices;; place++) {
        size_t length = strcspn(choice, "|");
        if (strlen(value) == length && memcmp(choice, value, length) == 0) {
            memcpy(field, &place, sizeof place);
            return NULL;
        }
        if (!choice[length]) break;
        choice += length + 1;
    }
    list_choices(spec->choices, allowed, size);
    return allowed;
}

static const char *store_one_more(const option_spec *spec, const char *value, char *field, char *allowed, size_t size) {
    option_texts texts;
    memcpy(&texts, field, sizeof texts);
    snprintf(allowed, size, "a text, at most %.0f times", spec->high);
    if (!value[0] || texts.n_items >= (int)spec->high || texts.n_items >= OPTION_TEXTS_MAX) return allowed;
    texts.items[texts.n_items++] = value;
    memcpy(field, &texts, sizeof texts);
    return NULL;
}

/* Stores a value into its field. Returns NULL, or what would be allowed. */
static const char *store(const option_spec *spec, const char *value, void *fields) {
    static char allowed[128];
    char *field = (char *)fields + spec->field;
    switch (spec->kind) {
    case OPTION_FLAG:
        memcpy(field, &(bool){true}, sizeof(bool));
        return NULL;
    case OPTION_TEXT:
        memcpy(field, &value, sizeof value);
        return NULL;
    case OPTION_FILE:
        memcpy(field, &value, sizeof value);
        return value[0] ? NULL : "a file name";
    case OPTION_NAME:
        memcpy(field, &value, sizeof value);
        return names_is_instance(value) ? NULL : NAMES_RULE;
    case OPTION_TEXTS: return store_one_more(spec, value, field, allowed, sizeof allowed);
    case OPTION_INTEGER:
    case OPTION_WIDE: return store_number(spec, value, field, allowed, sizeof allowed);
    case OPTION_SIZE: return store_size(spec, value, field, allowed, sizeof allowed);
    case OPTION_REAL: return store_real(spec, value, field, allowed, sizeof allowed);
    case OPTION_CHOICE: return store_choice(spec, value, field, allowed, sizeof allowed);
    }
    return "nothing";
}

/* ---- spellings ----------------------------------------------------------------------------------------------------- */

bool option_belongs(const option_spec *spec, uint32_t command) {
    return spec->commands == 0 || (spec->commands & command) != 0;
}

static bool is_spelling(const option_spec *spec, const char *text, size_t length) {
    const char *const spellings[] = {spec->brief, spec->name, spec->other};
    for (size_t i = 0; i < 3; i++)
        if (spellings[i] && strlen(spellings[i]) == length && memcmp(spellings[i], text, length) == 0) return true;
    return false;
}

/* `length` of the spelling in "--name=value" is that up to the '='. */
static const option_spec *find(const option_table *table, const char *text, size_t length) {
    for (size_t i = 0; i < table->n_specs; i++)
        if (is_spelling(&table->specs[i], text, length)) return &table->specs[i];
    return NULL;
}

static size_t spelling_length(const char *word) {
    const char *equals = strncmp(word, "--", 2) == 0 ? strchr(word, '=') : NULL;
    return equals ? (size_t)(equals - word) : strlen(word);
}

/* "-" alone is a word: standard input to many programs. */
static bool is_option(const char *word) {
    return word[0] == '-' && word[1] != 0;
}

const char *options_shown(const char *value, char text[OPTIONS_SHOWN_SIZE]) {
    size_t i = 0;
    for (; value[i] && i < OPTIONS_SHOWN_SIZE - 1; i++)
        text[i] = (unsigned char)value[i] < 0x20 || value[i] == 0x7F ? '?' : value[i];
    text[i] = 0;
    return text;
}

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

/* How many letters must be changed, added, left out or swapped with their neighbour to make one of the other. */
static size_t distance(const char *a, const char *b) {
    size_t rows[3][SIMILAR_MAX + 1], n_a = strlen(a), n_b = strlen(b);
    if (n_a > SIMILAR_MAX || n_b > SIMILAR_MAX) return SIMILAR_MAX;
    for (size_t j = 0; j <= n_b; j++) rows[0][j] = j;
    for (size_t i = 1; i <= n_a; i++) {
        size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *above_that = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= n_b; j++) {
            row[j] = least(least(above[j], row[j - 1]) + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], above_that[j - 2] + 1);
        }
    }
    return rows[n_a % 3][n_b];
}

const char *options_similar(const char *text, const char *const *known) {
    const char *best = NULL;
    size_t best_distance = strlen(text) < 5 ? 2 : 3; /* less than that */
    for (; *known; known++) {
        size_t length = distance(text, *known);
        if (length >= best_distance) continue;
        best_distance = length;
        best = *known;
    }
    return best;
}

/* ---- the command line ---------------------------------------------------------------------------------------------- */

/* What the environment says: under the first of the names, separated by bars, that is there. */
static const char *environment_value(const option_spec *spec, char name[ENVIRONMENT_NAME_SIZE]) {
    for (const char *at = spec->environment; at && *at; at += strcspn(at, "|"), at += *at == '|') {
        snprintf(name, ENVIRONMENT_NAME_SIZE, "%.*s", (int)strcspn(at, "|"), at);
        const char *value = plat_environment(name);
        if (value && value[0]) return value;
    }
    return NULL;
}

void options_defaults(const option_table *table, void *fields) {
    for (size_t i = 0; i < table->n_specs; i++)
        if (table->specs[i].initial) store(&table->specs[i], table->specs[i].initial, fields);
}

bool options_environment(const option_table *table, uint32_t command, void *fields, char *message, size_t message_size) {
    const char *allowed;
    char text[OPTIONS_SHOWN_SIZE], name[ENVIRONMENT_NAME_SIZE];
    for (size_t i = 0; i < table->n_specs; i++) {
        const option_spec *spec = &table->specs[i];
        const char *value = option_belongs(spec, command) ? environment_value(spec, name) : NULL;
        if (!value) continue;
        if ((allowed = store(spec, value, fields)) != NULL) {
            snprintf(message, message_size, "the environment's %s is '%s': expected %s", name,
                     options_shown(value, text), allowed);
            return false;
        }
    }
    return true;
}

/* A file that stands by itself, as `program FILE` in the shell. */
static bool is_model_file(const char *word) {
    size_t length = strlen(word);
    return word[0] != '-' && length > 5 && strcmp(word + length - 5, ".gguf") == 0;
}

/* Says that a word is not an option here, and what may have been meant. */
static void say_unknown(const option_table *table, uint32_t command, const char *word, char *message, size_t size) {
    char text[OPTIONS_SHOWN_SIZE], name_shown[OPTIONS_SHOWN_SIZE], name[SIMILAR_MAX + 1];
    const char *known[128];
    size_t n_known = 0;
    for (size_t i = 0; i < table->n_specs && n_known < 126; i++) {
        if (!option_belongs(&table->specs[i], command)) continue;
        known[n_known++] = table->specs[i].name;
        if (table->specs[i].other) known[n_known++] = table->specs[i].other;
    }
    known[n_known] = NULL;
    snprintf(name, sizeof name, "%.*s", (int)least(spelling_length(word), SIMILAR_MAX), word);
    const char *similar = strncmp(word, "--", 2) == 0 && word[2] ? options_similar(name, known) : NULL;
    if (is_model_file(word))
        snprintf(message, size, "'%s' stands alone: did you mean -m %s? See %s --help", options_shown(word, text),
                 options_shown(word, name_shown), table->program);
    else if (similar)
        snprintf(message, size, "unknown option '%s': did you mean %s? See %s --help", options_shown(word, text),
                 similar, table->program);
    else
        snprintf(message, size, "unknown option '%s': see %s --help", options_shown(word, text), table->program);
}

/* A number alone does not say what it counts; the option's help does. */
static bool has_unit(const option_spec *spec) {
    return spec->kind == OPTION_INTEGER || spec->kind == OPTION_WIDE || spec->kind == OPTION_REAL;
}

static int take_other(const option_table *table, int n_words, char *const words[], char *message, size_t message_size) {
    return table->others.take ? table->others.take(table->others.user_data, n_words, words, message, message_size) : 0;
}

bool options_parse(const option_table *table, uint32_t command, int argc, char *const argv[], void *fields,
                   option_words *words, char *message, size_t message_size) {
    const char *allowed;
    char text[OPTIONS_SHOWN_SIZE];
    bool only_words = false;
    for (int i = 1; i < argc; i++) {
        if (words && (only_words || !is_option(argv[i]))) {
            words->items[words->n_items++] = argv[i];
            continue;
        }
        if (words && strcmp(argv[i], "--") == 0) {
            only_words = true;
            continue;
        }
        size_t length = spelling_length(argv[i]);
        const option_spec *spec = find(table, argv[i], length);
        const char *value = argv[i][length] ? argv[i] + length + 1 : NULL;
        int n_taken = spec ? 0 : take_other(table, argc - i, argv + i, message, message_size);
        if (n_taken < 0) return false;
        if (n_taken > 0) {
            i += n_taken - 1;
            continue;
        }
        if (!spec || !option_belongs(spec, command) || (value && !spec->argument)) {
            say_unknown(table, command, argv[i], message, message_size);
            return false;
        }
        if (spec->argument && !value) {
            if (i + 1 == argc) {
                snprintf(message, message_size, "%s needs a value (%s): see %s --help", options_shown(argv[i], text),
                         spec->argument, table->program);
                return false;
            }
            value = argv[++i];
        }
        if ((allowed = store(spec, value, fields)) != NULL) {
            snprintf(message, message_size, "%s is '%s': expected %s%s%s%s", spec->name, options_shown(value, text), allowed,
                     has_unit(spec) ? " (" : "", has_unit(spec) ? spec->help : "", has_unit(spec) ? ")" : "");
            return false;
        }
    }
    return true;
}

int options_first_word(const option_table *table, int argc, char *const argv[]) {
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0) return i + 1 < argc ? i + 1 : argc;
        if (!is_option(argv[i])) return i;
        size_t length = spelling_length(argv[i]);
        const option_spec *spec = find(table, argv[i], length);
        if (spec && spec->argument && !argv[i][length]) i++;
    }
    return argc;
}

/* ---- what is printed ----------------------------------------------------------------------------------------------- */

/* "-m, --model FILE": the left column of the help. */
static void left_column(const option_spec *spec, char text[LEFT_SIZE]) {
    snprintf(text, LEFT_SIZE, "%s%s%s%s%s", spec->brief ? spec->brief : "", spec->brief ? ", " : "", spec->name,
             spec->argument ? " " : "", spec->argument ? spec->argument : "");
}

static bool is_printed(const option_spec *spec, uint32_t command, bool with_common) {
    return option_belongs(spec, command) && (with_common || spec->commands != 0);
}

/* The rare options, by name alone. */
static void print_rare(const option_table *table, uint32_t command, bool with_common, FILE *file) {
    char left[LEFT_SIZE];
    size_t column = 0;
    for (size_t i = 0; i < table->n_specs; i++) {
        if (table->specs[i].rarity != 1 || !is_printed(&table->specs[i], command, with_common)) continue;
        left_column(&table->specs[i], left);
        if (column == 0) column = (size_t)fprintf(file, "  also:");
        if (column + 1 + strlen(left) > COLUMNS) column = (size_t)fprintf(file, "\n       ") - 1;
        column += (size_t)fprintf(file, " %s", left);
    }
    if (column) fprintf(file, "\n");
}

static void print_row(const option_spec *spec, FILE *file) {
    char left[LEFT_SIZE];
    left_column(spec, left);
    bool show_default = spec->initial && strcmp(spec->initial, "-1") != 0 && strcmp(spec->initial, "0") != 0;
    fprintf(file, "  %-*s %s%s%s%s\n", LEFT_COLUMN, left, spec->help, show_default ? " (" : "",
            show_default ? spec->initial : "", show_default ? ")" : "");
}

void options_print_help(const option_table *table, uint32_t command, bool with_common, FILE *file) {
    for (size_t i = 0; i < table->n_specs; i++)
        if (table->specs[i].rarity == 0 && is_printed(&table->specs[i], command, with_common)) print_row(&table->specs[i], file);
    print_rare(table, command, with_common, file);
}

void options_print_help_all(const option_table *table, uint32_t command, bool with_common, FILE *file) {
    for (size_t i = 0; i < table->n_specs; i++)
        if (is_printed(&table->specs[i], command, with_common)) print_row(&table->specs[i], file);
}

void options_print_roff(FILE *file, const char *text) {
    if (*text == '.' || *text == '\'') fputs("\\&", file);
    for (; *text; text++) {
        if (*text == '-') fputs("\\-", file);
        else if (*text == '\\') fputs("\\e", file);
        else fputc(*text, file);
    }
}

void options_print_manual(const option_table *table, uint32_t command, bool with_common, FILE *file) {
    char left[LEFT_SIZE];
    for (size_t i = 0; i < table->n_specs; i++) {
        const option_spec *spec = &table->specs[i];
        if (!is_printed(spec, command, with_common)) continue;
        left_column(spec, left);
        fprintf(file, ".TP\n.B ");
        options_print_roff(file, left);
        fprintf(file, "\n");
        options_print_roff(file, spec->help);
        if (spec->initial) {
            fprintf(file, " (default ");
            options_print_roff(file, spec->initial);
            fprintf(file, ")");
        }
        if (spec->environment)
            fprintf(file, ". Environment: %.*s", (int)strcspn(spec->environment, "|"), spec->environment);
        fprintf(file, "\n");
    }
}

void options_print_wrapped(FILE *file, const char *text, size_t indent, size_t column) {
    while (*text) {
        size_t length = strcspn(text, " \n");
        if (column > indent && column + 1 + length > COLUMNS) column = (size_t)fprintf(file, "\n") - 1;
        if (column < indent) column += (size_t)fprintf(file, "%*s", (int)(indent - column), "");
        else if (column > indent) column += (size_t)fprintf(file, " ");
        column += (size_t)fprintf(file, "%.*s", (int)length, text);
        text += length;
        if (*text == '\n') column = (size_t)fprintf(file, "\n") - 1;
        if (*text) text++;
    }
    fprintf(file, "\n");
}
