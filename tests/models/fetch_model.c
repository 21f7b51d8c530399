/* fetch_model.c NAME HOST|- [--offline] [--stop-at BYTES] - lipc_model_fetch for library.py: prints "progress DONE TOTAL RATE"
 * for each report, at the end "path PATH", or "error NAME: SENTENCE" with exit code 1. HOST -: wherever the library finds it. After a cancel it
 * stays until its standard input ends. */
#include "lipc/lipc.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t stop_at = UINT64_MAX;

static int on_progress(void *user_data, const lipc_fetch_progress *progress) {
    (void)user_data;
    printf("progress %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", progress->download_bytes, progress->download_total, progress->download_rate);
    fflush(stdout);
    return progress->download_bytes >= stop_at;
}

int main(int argc, char **argv) {
    lipc_fetch_options options;
    char path[4096];
    if (argc < 3) return 2;
    lipc_fetch_options_init(&options);
    if (strcmp(argv[2], "-") != 0) options.host_path = argv[2];
    for (int i = 3; i < argc; i++) {
        if (strcmp(argv[i], "--offline") == 0) options.offline = 1;
        if (strcmp(argv[i], "--stop-at") == 0 && i + 1 < argc) stop_at = strtoull(argv[++i], NULL, 10);
    }
    int error = lipc_model_fetch(argv[1], &options, on_progress, NULL, path, sizeof path);
    if (error == LIPC_E_OK) printf("path %s\n", path);
    else printf("error %s: %s\n", lipc_error_name(error), lipc_error_message());
    fflush(stdout);
    if (error == LIPC_E_CANCELLED) getchar();
    return error == LIPC_E_OK ? 0 : 1;
}
