/* manual.c - writes the manual page of chatbot to standard output, while the project is built. */
#include "options.h"

int main(void) {
    host_options_print_manual(stdout);
    return fflush(stdout) != 0;
}
