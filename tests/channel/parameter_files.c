/* parameter_files.c - the files that are made of include/lipc/parameters.h are what they would be if they were made now:
 * docs/parameters.md and the C# properties. With --write it makes them (`make generated`).
 *
 * Arguments: the checkout's folder, [--write]. */
#include "../support/harness.h"

#include "channel/parameters.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_SIZE (256 * 1024)

typedef struct row {
    const char *name, *kind, *initial, *words, *option, *environment;
    double low, high;
    bool is_sampling;
} row;

#define ROW(name, kind, low, high, initial, words, brief, option, other, argument, environment, is_rare)               \
    {#name, #kind, initial, words, option, environment, low, high, true},
#define OTHER_ROW(name, kind, low, high, initial, words, brief, option, other, argument, environment, is_rare)         \
    {#name, #kind, initial, words, option, environment, low, high, false},
static const row rows[] = {LIPC_LENGTH_MAP(OTHER_ROW) LIPC_SAMPLING_MAP(ROW) LIPC_SEED_MAP(OTHER_ROW)};
#define N_ROWS (sizeof rows / sizeof rows[0])

static bool is(const row *row, const char *kind) {
    return strcmp(row->kind, kind) == 0;
}

/* "at most 8 bytes", "0 to 1", "0 or more" */
static const char *range(const row *row, char text[64]) {
    if (is(row, "TEXT"))
        snprintf(text, 64, "%.0f to %.0f bytes", row->low, row->high);
    else if (row->high >= INT32_MAX && !is(row, "WIDE"))
        snprintf(text, 64, "%.0f or more", row->low);
    else
        snprintf(text, 64, is(row, "WIDE") ? "%.0f to %.0f" : "%g to %g", row->low, row->high);
    return text;
}

/* ---- docs/parameters.md -------------------------------------------------------------------------------------------- */

static void make_document(FILE *file) {
    char text[64];
    fprintf(file,
            "# Request parameters\n\n"
            "<!-- Generated from include/lipc/parameters.h by `make generated`; a test compares them. -->\n\n"
            "How a request can control the generation of its answer. Parameters have these names in C (`lipc_request.parameters`)\n"
            "and in the segment ([protocol.md](protocol.md), section 4), the same names in C# style (`LlamaRequest.TopK`), and\n"
            "these options in `llamaipc ask` and `llamaipc chat`. For a parameter that a request leaves out, the host uses its own\n"
            "option of the same name, then the environment variable, then the default.\n\n"
            "| parameter | range | default | what it does | option | environment |\n"
            "| --- | --- | --- | --- | --- | --- |\n");
    for (size_t i = 0; i < N_ROWS; i++)
        fprintf(file, "| `%s` | %s | %s | %s | `%s` | %s%s%s |\n", rows[i].name, range(&rows[i], text),
                rows[i].initial ? rows[i].initial : "none", rows[i].words, rows[i].option,
                rows[i].environment ? "`" : "", rows[i].environment ? rows[i].environment : "",
                rows[i].environment ? "`" : "");
}

/* ---- C# ------------------------------------------------------------------------------------------------------------ */

/* "top_k" -> "TopK" */
static const char *pascal(const char *name, char text[64]) {
    size_t n = 0;
    for (bool is_first = true; *name && n < 63; name++) {
        if (*name != '_') text[n++] = is_first ? (char)toupper((unsigned char)*name) : *name;
        is_first = *name == '_';
    }
    text[n] = 0;
    return text;
}

/* A sentence: a capital, and a full stop. */
static void write_summary(FILE *file, const row *row) {
    char text[64];
    fprintf(file, "    /// <summary>%c", toupper((unsigned char)row->words[0]));
    for (const char *at = row->words + 1; *at; at++) {
        if (*at == '<') fputs("&lt;", file);
        else if (*at == '&') fputs("&amp;", file);
        else fputc(*at, file);
    }
    fprintf(file, ". Range: %s.</summary>\n", range(row, text));
}

static void make_properties(FILE *file) {
    char name[64];
    fprintf(file, "// Generated from include/lipc/parameters.h by `make generated`; a test compares them. Do not edit.\n"
                  "using LlamaIpc.Native;\n\nnamespace LlamaIpc;\n\n"
                  "public sealed partial record LlamaRequest\n{\n");
    for (size_t i = 0; i < N_ROWS; i++) {
        if (!rows[i].is_sampling) continue;
        write_summary(file, &rows[i]);
        fprintf(file, "    public %s? %s { get; init; }\n\n",
                is(&rows[i], "TEXT") ? "string" : is(&rows[i], "REAL") ? "float" : "int", pascal(rows[i].name, name));
    }
    fprintf(file, "    private void AddSampling(ParameterList list)\n    {\n");
    for (size_t i = 0; i < N_ROWS; i++)
        if (rows[i].is_sampling) {
            pascal(rows[i].name, name);
            fprintf(file, "        list.Add(\"%s\", %s, nameof(%s));\n", rows[i].name, name, name);
        }
    fprintf(file, "    }\n}\n");
}

/* ---- files --------------------------------------------------------------------------------------------------------- */

static void handle(const char *root, const char *path, void (*make)(FILE *), bool writes) {
    static char made[FILE_SIZE], found[FILE_SIZE];
    char name[1024];
    FILE *memory = fmemopen(made, sizeof made, "w");
    CHECK(memory);
    make(memory);
    size_t n_made = (size_t)ftell(memory);
    CHECK(n_made < sizeof made - 1 && fclose(memory) == 0);
    snprintf(name, sizeof name, "%s/%s", root, path);
    FILE *file = fopen(name, writes ? "w" : "r");
    CHECK_SAY(file, "cannot open %s", name);
    if (writes) {
        CHECK(fwrite(made, 1, n_made, file) == n_made);
    } else {
        size_t n_found = fread(found, 1, sizeof found, file);
        CHECK_SAY(n_found == n_made && memcmp(found, made, n_made) == 0,
                  "%s is not what include/lipc/parameters.h says: run `make generated`", path);
    }
    CHECK(fclose(file) == 0);
}

int main(int argc, char *argv[]) {
    test_begin("parameter_files", 10);
    if (argc < 2) test_skip("give the checkout's folder");
    bool writes = argc > 2 && strcmp(argv[2], "--write") == 0;
    handle(argv[1], "docs/parameters.md", make_document, writes);
    handle(argv[1], "dotnet/LlamaIpc/LlamaRequest.Parameters.cs", make_properties, writes);
    return test_end();
}
