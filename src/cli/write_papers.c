/* write_papers.c - writes the manual page or a shell's completions to standard output, while the project is built. */
#include "papers.h"

#include <string.h>

int main(int argc, char *argv[]) {
    static const struct { const char *name; void (*write)(FILE *); } papers[] = {
        {"manual", papers_manual}, {"bash", papers_bash}, {"zsh", papers_zsh}, {"fish", papers_fish}};
    for (size_t i = 0; argc == 2 && i < sizeof papers / sizeof papers[0]; i++) {
        if (strcmp(argv[1], papers[i].name) != 0) continue;
        papers[i].write(stdout);
        return fflush(stdout) != 0;
    }
    return 2;
}
