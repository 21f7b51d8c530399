/* docgen_main.c - writes the manual page or a shell's completions to standard output, while the project is built. */
#include "docgen.h"

#include <string.h>

int main(int argc, char *argv[]) {
    static const struct { const char *name; void (*write)(FILE *); } outputs[] = {
        {"manual", docgen_manual}, {"bash", docgen_bash}, {"zsh", docgen_zsh}, {"fish", docgen_fish}};
    for (size_t i = 0; argc == 2 && i < sizeof outputs / sizeof outputs[0]; i++) {
        if (strcmp(argv[1], outputs[i].name) != 0) continue;
        outputs[i].write(stdout);
        return fflush(stdout) != 0;
    }
    return 2;
}
