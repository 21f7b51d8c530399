/* corpus.c - reads the corpus of the tutor model; see corpus.h. */
#include "corpus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_SIZE_BYTES = 4096 };

static char *copy_text(const char *text) {
    size_t size = strlen(text) + 1;
    char *copy = malloc(size);
    return copy ? memcpy(copy, text, size) : NULL;
}

/* Cuts the line end and blanks around the text; returns its new beginning. */
static char *trim(char *text) {
    text += strspn(text, " \t");
    size_t size = strlen(text);
    while (size > 0 && strchr(" \t\r\n", text[size - 1])) text[--size] = '\0';
    return text;
}

/* The text behind "key:" if the line begins so, otherwise NULL. */
static char *value_of(char *line, const char *key) {
    size_t size = strlen(key);
    if (strncmp(line, key, size) != 0 || line[size] != ':') return NULL;
    return trim(line + size + 1);
}

static struct corpus_entry *add_entry(struct corpus *corpus, const char *topic, const char *id) {
    size_t size_bytes = (size_t)(corpus->n_entries + 1) * sizeof *corpus->entries;
    struct corpus_entry *entries = realloc(corpus->entries, size_bytes);
    if (!entries) return NULL;
    corpus->entries = entries;
    struct corpus_entry *entry = &entries[corpus->n_entries++];
    *entry = (struct corpus_entry){.topic = copy_text(topic), .id = copy_text(id)};
    return entry->topic && entry->id ? entry : NULL;
}

static int add_line(char ***lines, int *n_lines, const char *text) {
    char **grown = realloc(*lines, (size_t)(*n_lines + 1) * sizeof *grown);
    if (!grown) return -1;
    *lines = grown;
    if (!(grown[*n_lines] = copy_text(text))) return -1;
    ++*n_lines;
    return 0;
}

/* Appends a further A: line to the answer, behind one space. */
static int add_answer(struct corpus_entry *entry, const char *text) {
    size_t old_size = entry->answer ? strlen(entry->answer) : 0;
    char *answer = realloc(entry->answer, old_size + strlen(text) + 2);
    if (!answer) return -1;
    entry->answer = answer;
    if (old_size > 0) answer[old_size++] = ' ';
    strcpy(answer + old_size, text);
    return 0;
}

/* Takes one line in. Returns NULL, or what is wrong with it. */
static const char *take_line(struct corpus *corpus, char *topic, char *line) {
    struct corpus_entry *entry = corpus->n_entries ? &corpus->entries[corpus->n_entries - 1] : NULL;
    char *value;
    if ((value = value_of(line, "topic"))) {
        strcpy(topic, value);
        return NULL;
    }
    if ((value = value_of(line, "id"))) {
        if (*value == '\0') return "an id must not be empty";
        if (corpus_find(corpus, value)) return "this id was used before";
        if (entry && entry->n_phrasings == 0) return "the entry before this one has no Q: line";
        return add_entry(corpus, topic, value) ? NULL : "out of memory";
    }
    if ((value = value_of(line, "Q"))) {
        if (!entry) return "Q: before the first id:";
        return add_line(&entry->phrasings, &entry->n_phrasings, value) ? "out of memory" : NULL;
    }
    if ((value = value_of(line, "A"))) {
        if (!entry) return "A: before the first id:";
        return add_answer(entry, value) ? "out of memory" : NULL;
    }
    return "expected topic:, id:, Q:, A: or a comment";
}

/* Calls take for each line that is neither empty nor a comment, until it returns a complaint. */
static int read_lines(const char *path, const char *(*take)(void *context, char *line), void *context, char *error,
                      size_t error_size) {
    FILE *file = fopen(path, "rb");
    if (!file) {
        snprintf(error, error_size, "%s: cannot be opened", path);
        return -1;
    }
    char buffer[LINE_SIZE_BYTES];
    const char *complaint = NULL;
    int number = 0;
    while (!complaint && fgets(buffer, sizeof buffer, file)) {
        ++number;
        if (strlen(buffer) == sizeof buffer - 1) {
            complaint = "the line is too long";
            break;
        }
        char *line = trim(buffer);
        if (*line == '\0' || *line == '#') continue;
        complaint = take(context, line);
    }
    if (!complaint && ferror(file)) complaint = "cannot be read";
    fclose(file);
    if (!complaint) return 0;
    snprintf(error, error_size, "%s:%d: %s", path, number, complaint);
    return -1;
}

struct entry_reader {
    struct corpus *corpus;
    char topic[LINE_SIZE_BYTES];
};

static const char *take_entry_line(void *context, char *line) {
    struct entry_reader *reader = context;
    return take_line(reader->corpus, reader->topic, line);
}

int corpus_load(struct corpus *corpus, const char *path, char *error, size_t error_size) {
    *corpus = (struct corpus){0};
    struct entry_reader reader = {.corpus = corpus};
    if (read_lines(path, take_entry_line, &reader, error, error_size) == 0) {
        if (corpus->n_entries > 0 && corpus->entries[corpus->n_entries - 1].n_phrasings > 0) return 0;
        snprintf(error, error_size, "%s: no entry, or the last one has no Q: line", path);
    }
    corpus_free(corpus);
    return -1;
}

void corpus_free(struct corpus *corpus) {
    for (int i = 0; i < corpus->n_entries; ++i) {
        struct corpus_entry *entry = &corpus->entries[i];
        for (int j = 0; j < entry->n_phrasings; ++j) free(entry->phrasings[j]);
        free(entry->phrasings);
        free(entry->topic);
        free(entry->id);
        free(entry->answer);
    }
    free(corpus->entries);
    *corpus = (struct corpus){0};
}

const struct corpus_entry *corpus_find(const struct corpus *corpus, const char *id) {
    for (int i = 0; i < corpus->n_entries; ++i) {
        if (strcmp(corpus->entries[i].id, id) == 0) return &corpus->entries[i];
    }
    return NULL;
}

static const char *take_plain_line(void *context, char *line) {
    struct corpus_lines *lines = context;
    return add_line(&lines->lines, &lines->n_lines, line) ? "out of memory" : NULL;
}

int corpus_lines_load(struct corpus_lines *lines, const char *path, char *error, size_t error_size) {
    *lines = (struct corpus_lines){0};
    if (read_lines(path, take_plain_line, lines, error, error_size) == 0) return 0;
    corpus_lines_free(lines);
    return -1;
}

void corpus_lines_free(struct corpus_lines *lines) {
    for (int i = 0; i < lines->n_lines; ++i) free(lines->lines[i]);
    free(lines->lines);
    *lines = (struct corpus_lines){0};
}

int corpus_sections_load(struct corpus_lines *lines, struct corpus_section *sections, int n_sections, const char *path,
                         char *error, size_t error_size) {
    if (corpus_lines_load(lines, path, error, error_size)) return -1;
    struct corpus_section *current = NULL;
    for (int i = 0; i < lines->n_lines; ++i) {
        int s = lines->lines[i][0] == '[' ? 0 : n_sections;
        while (s < n_sections && strcmp(lines->lines[i], sections[s].name) != 0) ++s;
        if (s < n_sections) {
            current = &sections[s];
            current->items = &lines->lines[i + 1];
        } else if (current) {
            ++current->n_items;
        } else {
            snprintf(error, error_size, "%s: '%s' is not a section, or stands before the first one", path, lines->lines[i]);
            goto fail;
        }
    }
    for (int s = 0; s < n_sections; ++s) {
        if (sections[s].n_items > 0) continue;
        snprintf(error, error_size, "%s: there is nothing in section %s", path, sections[s].name);
        goto fail;
    }
    return 0;
fail:
    corpus_lines_free(lines);
    return -1;
}

int corpus_text_load(char **text, const char *path, char *error, size_t error_size) {
    enum { TEXT_SIZE_BYTES = 65536 };
    FILE *file = fopen(path, "rb");
    *text = file ? calloc(1, TEXT_SIZE_BYTES) : NULL;
    size_t n = *text ? fread(*text, 1, TEXT_SIZE_BYTES, file) : 0;
    if (file) fclose(file);
    if (n > 0 && n < TEXT_SIZE_BYTES) return 0;
    snprintf(error, error_size, "%s: cannot be read, or is empty or too long", path);
    free(*text);
    *text = NULL;
    return -1;
}
