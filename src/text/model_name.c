/* model_name.c - see model_name.h. The rules for repositories are those of the hub and of llama.cpp. */
#include "model_name.h"

#include <stdio.h>
#include <string.h>

#define HTTPS "https://"
#define HTTP "http://"

static bool begins(const char *text, const char *with) {
    return strncmp(text, with, strlen(with)) == 0;
}

bool model_name_is_one(const char *text) {
    return begins(text, MODEL_NAME_HUB) || begins(text, HTTPS) || begins(text, HTTP);
}

static bool is_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* Two parts of words, with single dots and dashes between words: nothing in it is a folder of its own, or the one above. */
static bool is_repository(const char *text, size_t n_bytes) {
    bool after_word = false;
    int n_slashes = 0;
    for (size_t i = 0; i < n_bytes; i++) {
        char c = text[i];
        if (!is_word(c) && ((c != '/' && c != '.' && c != '-') || !after_word)) return false;
        n_slashes += c == '/';
        after_word = is_word(c);
    }
    return after_word && n_slashes == 1;
}

static bool is_quant(const char *text, size_t n_bytes) {
    for (size_t i = 0; i < n_bytes; i++)
        if (!is_word(text[i]) && (i == 0 || (text[i] != '.' && text[i] != '-'))) return false;
    return n_bytes > 0;
}

static bool read_hub(const char *text, model_name *name, const char **wrong) {
    const char *colon = strchr(text, ':');
    size_t n_repository = colon ? (size_t)(colon - text) : strlen(text), n_quant = colon ? strlen(colon + 1) : 0;
    *wrong = "expected user/model or user/model:quant, of letters, digits, '_', and single '-' and '.' between them";
    if (n_repository > MODEL_NAME_REPOSITORY_MAX || n_quant > MODEL_NAME_QUANT_MAX) return false;
    if (!is_repository(text, n_repository) || (colon && !is_quant(colon + 1, n_quant))) return false;
    memcpy(name->repository, text, n_repository);
    if (colon) memcpy(name->quant, colon + 1, n_quant);
    return true;
}

size_t model_name_shown(const char *text) {
    return begins(text, MODEL_NAME_HUB) ? strlen(text) : strcspn(text, "?#");
}

static bool is_plain(const char *text, size_t n_bytes) {
    for (size_t i = 0; i < n_bytes; i++)
        if ((unsigned char)text[i] <= 0x20 || (unsigned char)text[i] >= 0x7F || strchr("\"\\<>^`{|}", text[i])) return false;
    return true;
}

static bool read_address(const char *text, model_name *name, const char **wrong) {
    const char *host = strstr(text, "://") + 3, *end = text + model_name_shown(text), *file = end;
    size_t n_host = strcspn(host, "/?#");
    name->is_address = true;
    *wrong = "expected an address of printable characters, without spaces, at most 2048 of them";
    if (strlen(text) > MODEL_NAME_ADDRESS_MAX || !is_plain(text, strlen(text)) || n_host == 0) return false;
    *wrong = "an address cannot hold a user's name or password: they would be seen in lists of processes";
    if (memchr(host, '@', n_host)) return false;
    while (file > host + n_host && file[-1] != '/') file--;
    size_t n_file = (size_t)(end - file);
    *wrong = "the last part of the address must be a file's name: letters, digits, '_', '-', '.', '%' and '+', at most 200";
    if (file == host + n_host || n_file == 0 || n_file > MODEL_NAME_FILE_MAX || file[0] == '.') return false;
    for (size_t i = 0; i < n_file; i++)
        if (!is_word(file[i]) && !strchr("-.%+", file[i])) return false;
    memcpy(name->file, file, n_file);
    return true;
}

bool model_name_read(const char *text, model_name *name, const char **wrong) {
    memset(name, 0, sizeof *name);
    *wrong = "expected hf://user/model, or an address that begins with https://";
    if (!model_name_is_one(text)) return false;
    return begins(text, MODEL_NAME_HUB) ? read_hub(text + strlen(MODEL_NAME_HUB), name, wrong)
                                        : read_address(text, name, wrong);
}

/* ---- models in parts ----------------------------------------------------------------------------------------------- */

#define PART_FORMAT "-%05d-of-%05d.gguf"
#define PART_LENGTH 20

bool model_part_read(const char *path, model_part *part) {
    char expected[64];
    size_t length = strlen(path);
    if (length <= PART_LENGTH) return false;
    part->n_stem = length - PART_LENGTH;
    const char *end = path + part->n_stem;
    if (sscanf(end, "-%5d-of-%5d.gguf", &part->number, &part->n_parts) != 2) return false;
    snprintf(expected, sizeof expected, PART_FORMAT, part->number, part->n_parts);
    return strcmp(end, expected) == 0 && part->number >= 1 && part->number <= part->n_parts;
}

void model_part_write(const char *path, const model_part *part, int number, char *other, size_t other_size) {
    snprintf(other, other_size, "%.*s" PART_FORMAT, (int)part->n_stem, path, number, part->n_parts);
}
