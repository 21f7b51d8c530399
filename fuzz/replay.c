/* replay.c - runs a fuzz target over the files of a corpus, without libFuzzer: so every build checks what was found
 * before, with whichever compiler. replay FILE... */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char *argv[]) {
    for (int i = 1; i < argc; i++) {
        static uint8_t data[1 << 16];
        FILE *file = fopen(argv[i], "rb");
        if (!file) {
            fprintf(stderr, "cannot read %s\n", argv[i]);
            return 1;
        }
        size_t n = fread(data, 1, sizeof data, file);
        fclose(file);
        printf("%s: %zu bytes\n", argv[i], n);
        fflush(stdout);
        /* In memory of exactly its size, so that reading one byte too far is seen by the sanitizer. */
        uint8_t *exact = malloc(n ? n : 1);
        for (size_t k = 0; exact && k < n; k++)
            exact[k] = data[k];
        LLVMFuzzerTestOneInput(exact, n);
        free(exact);
    }
    printf("%d files\n", argc - 1);
    return argc > 1 ? 0 : 1;
}
