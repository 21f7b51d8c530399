/* fuzz_options.c - src/host/options.h over arbitrary command lines (one argument a line): every value it accepts
 * lies in its bounds, and every refusal says something that fits its buffer. */
#include "fuzz.h"

#include "host/options.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ARGUMENTS = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *argv[MAX_ARGUMENTS + 1], message[160];
    char program[] = "chatbot";
    int argc = 0;
    char *text = malloc(size + 1);
    MUST(text);
    memcpy(text, data, size);
    text[size] = 0;
    argv[argc++] = program;
    for (char *at = text; argc < MAX_ARGUMENTS && at; argc++) {
        argv[argc] = at;
        at = strchr(at, '\n');
        if (at)
            *at++ = 0;
    }
    argv[argc] = NULL;

    host_options options;
    memset(message, 0, sizeof message);
    memset(&options, 0x55, sizeof options);
    if (host_options_parse(argc, argv, &options, message, sizeof message)) {
        size_t n_name = strlen(options.name);
        MUST(n_name > 0 && n_name <= LIPC_NAME_MAX && !strchr(options.name, '/') && options.name[0] != '.');
        MUST(options.n_ctx >= -1 && options.n_threads >= 0 && options.n_predict >= -1 && options.top_k >= 0);
        MUST(isfinite(options.temperature) && options.temperature >= 0);
        MUST(options.min_p >= 0 && options.min_p <= 1 && options.top_p >= 0 && options.top_p <= 1);
        MUST(options.seed >= -1 && options.seed < UINT32_MAX);
        MUST(options.log_level <= LOG_LEVEL_DEBUG);
        MUST(!options.model_path || options.model_path[0]);
    } else {
        MUST(memchr(message, 0, sizeof message) && message[0]);
    }
    free(text);
    return 0;
}
