/* replay.c - runs a fuzz target over the files of a corpus, without libFuzzer: so every build checks what was found
 * before, with whichever compiler. replay FILE-OR-FOLDER... */
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

static int n_files;

static int replay_file(const char *path) {
    static uint8_t data[1 << 16];
    FILE *file = fopen(path, "rb");
    if (!file) {
        fprintf(stderr, "cannot read %s\n", path);
        return 1;
    }
    size_t n = fread(data, 1, sizeof data, file);
    fclose(file);
    printf("%s: %zu bytes\n", path, n);
    fflush(stdout);
    /* In memory of exactly its size, so that reading one byte too far is seen by the sanitizer. */
    uint8_t *exact = malloc(n ? n : 1);
    for (size_t k = 0; exact && k < n; k++) exact[k] = data[k];
    LLVMFuzzerTestOneInput(exact, n);
    free(exact);
    n_files++;
    return 0;
}

static int replay(const char *path) {
    DIR *folder = opendir(path);
    if (!folder) return replay_file(path);
    int failed = 0;
    char inner[4096];
    for (struct dirent *entry; !failed && (entry = readdir(folder));) {
        snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
        if (entry->d_name[0] != '.') failed = replay_file(inner);
    }
    closedir(folder);
    return failed;
}

int main(int argc, char *argv[]) {
    for (int i = 1; i < argc; i++)
        if (replay(argv[i]) != 0) return 1;
    printf("%d files\n", n_files);
    return n_files > 0 ? 0 : 1;
}
