/* corpus.h - reads the corpus of the tutor model: the text files in models/corpus.
 *
 * Used by the trainer, by tutor_check and by tests that ask a running host; depends on the C library only. */
#ifndef TUTOR_CORPUS_H
#define TUTOR_CORPUS_H

#include <stddef.h>

/* One question: several phrasings of it and the answer that all of them get. */
struct corpus_entry {
    char *topic;      /* heading under which the entry stands, "" if there is none */
    char *id;         /* name of the entry, unique in its file */
    char **phrasings; /* n_phrasings of them, at least one */
    int n_phrasings;
    char *answer; /* NULL in a file that only lists phrasings, such as held_out.txt */
};

struct corpus {
    struct corpus_entry *entries;
    int n_entries;
};

/* The lines of a file that are neither empty nor comments. */
struct corpus_lines {
    char **lines;
    int n_lines;
};

/* A stretch of lines behind a heading in brackets. */
struct corpus_section {
    const char *name; /* the heading, brackets and all */
    char **items;     /* point into the lines */
    int n_items;
};

/* Reads a file of entries; the format is documented at the top of questions.txt.
 * Returns 0, or -1 with a message (file, line, what is wrong) in error; *corpus is empty then.
 * The caller owns *corpus and ends it with corpus_free. */
int corpus_load(struct corpus *corpus, const char *path, char *error, size_t error_size);

/* Frees what corpus_load allocated. Safe on an empty or zeroed corpus. */
void corpus_free(struct corpus *corpus);

/* The entry with this id, or NULL. */
const struct corpus_entry *corpus_find(const struct corpus *corpus, const char *id);

/* Reads a file of lines, such as system_prompts.txt. Same errors and ownership as corpus_load. */
int corpus_lines_load(struct corpus_lines *lines, const char *path, char *error, size_t error_size);

/* Frees what corpus_lines_load allocated. Safe on an empty or zeroed list. */
void corpus_lines_free(struct corpus_lines *lines);

/* Reads a file whose lines stand in sections, such as variations.txt. The caller gives the sections' names; each must be there and
 * not empty. Same errors and ownership as corpus_load, for the lines. */
int corpus_sections_load(struct corpus_lines *lines, struct corpus_section *sections, int n_sections, const char *path,
                         char *error, size_t error_size);

/* Reads a whole file. The caller frees *text. Same errors. */
int corpus_text_load(char **text, const char *path, char *error, size_t error_size);

#endif
