/* options.h - command lines: one table makes the parser, the help, the manual page and the completions of a program.
 *
 * Each program has a table of its own and a structure that it is parsed into; what is known to all of them is here. A
 * program may have commands (`llamaipc ask`); a row then says which of them it belongs to.
 */
#ifndef OPTIONS_OPTIONS_H
#define OPTIONS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* What a value is, and what its field in the program's structure is. */
typedef enum option_kind {
    OPTION_FLAG,    /* bool: no value */
    OPTION_TEXT,    /* const char *, into argv or the environment: any text */
    OPTION_FILE,    /* const char *, likewise: a path, not empty */
    OPTION_NAME,    /* const char *, likewise: an instance */
    OPTION_TEXTS,   /* option_texts: may be given several times */
    OPTION_INTEGER, /* int32_t */
    OPTION_WIDE,    /* int64_t */
    OPTION_REAL,    /* float */
    OPTION_SIZE,    /* uint32_t: bytes, with an optional K or M */
    OPTION_CHOICE   /* int or an enum: the place of the value among `choices` */
} option_kind;

#define OPTION_TEXTS_MAX 16
typedef struct option_texts {
    const char *items[OPTION_TEXTS_MAX];
    int n_items;
} option_texts;

typedef struct option_spec {
    const char *brief;       /* "-m" or NULL */
    const char *name;        /* "--model" */
    const char *other;       /* another spelling, or NULL */
    const char *argument;    /* "FILE"; NULL for a flag */
    const char *environment; /* variable, or several with bars between them, the first being its name today; or NULL */
    option_kind kind;
    size_t field;            /* offset in the structure */
    double low, high;        /* bounds of numbers; of OPTION_TEXTS: at most `high` of them */
    const char *initial;     /* the default as an argument would say it; NULL: what the structure holds before */
    const char *help;
    int rarity;              /* 0 (false): the help explains it; 1 (true): it only names it; 2: only --help-all has it */
    uint32_t commands;       /* bit i: belongs to command i. 0: to all, also before the command */
    const char *choices;     /* "error|warn|info|debug" */
} option_spec;

/* Who knows options that the table does not have. */
typedef struct option_others {
    /* Takes the option that `words` begin with, and its values behind it. Returns how many words these are; 0: it knows no such
     * option; -1: it refuses it, with a sentence in `message`. */
    int (*take)(void *user_data, int n_words, char *const words[], char *message, size_t message_size);
    void *user_data;
} option_others;

typedef struct option_table {
    const char *program;     /* "chatbot" */
    const option_spec *specs;
    size_t n_specs;
    option_others others;    /* take may be NULL: there are no others */
} option_table;

/* For a program without commands, and for what stands before the command. */
#define OPTIONS_NO_COMMAND 0u

bool option_belongs(const option_spec *spec, uint32_t command);

/* Fills `fields` from the defaults. */
void options_defaults(const option_table *table, void *fields);

/* Then from the environment, as far as the rows belong to `command` (a bit). Returns false with one sentence in `message`
 * (what, which value, what to do). */
bool options_environment(const option_table *table, uint32_t command, void *fields, char *message, size_t message_size);

/* Then from the command line, which begins with the program's name; the later wins. Words that are no options, and all
 * that follow "--", go into `words` in their order; where `words` is NULL there may be none. */
typedef struct option_words {
    const char **items; /* room for argc */
    int n_items;
} option_words;

bool options_parse(const option_table *table, uint32_t command, int argc, char *const argv[], void *fields,
                   option_words *words, char *message, size_t message_size);

/* The place in argv of the first word that is no option and no option's value, whatever command the options belong to;
 * argc if there is none. */
int options_first_word(const option_table *table, int argc, char *const argv[]);

/* What was given, fit to be shown: on one line, not endless, and no command to the terminal. */
#define OPTIONS_SHOWN_SIZE 80
const char *options_shown(const char *value, char text[OPTIONS_SHOWN_SIZE]);

/* The one of `known` (up to NULL) that `text` is probably a slip of the finger for; NULL if none. */
const char *options_similar(const char *text, const char *const *known);

/* ---- what is printed ----------------------------------------------------------------------------------------------- */

/* The lines of --help about the options of a command, at most 79 columns wide; `with_common`: also those of all. */
void options_print_help(const option_table *table, uint32_t command, bool with_common, FILE *file);
/* All options, each with its help. */
void options_print_help_all(const option_table *table, uint32_t command, bool with_common, FILE *file);

/* The paragraphs of a manual page about the same. */
void options_print_manual(const option_table *table, uint32_t command, bool with_common, FILE *file);

/* Text for roff: a hyphen is a minus, a backslash and a leading dot stand for themselves. */
void options_print_roff(FILE *file, const char *text);

/* Text in lines of at most 79 columns, each behind `indent` spaces; `column` is where the first begins. */
void options_print_wrapped(FILE *file, const char *text, size_t indent, size_t column);

#endif
