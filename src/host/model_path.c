/* model_path.c - see model_path.h. */
#include "model_path.h"

#include "../platform/platform.h"

#include <stdio.h>

bool model_path_embedded(char *path, size_t size_bytes) {
    /* build/chatbot, build/asan/chatbot, PREFIX/bin/chatbot, and a folder that holds all */
    static const char *const places[] = {"../models/tutor.gguf", "../../models/tutor.gguf",
                                         "../share/lipc/models/tutor.gguf", "models/tutor.gguf"};
    char folder[2048];
    if (plat_program_folder(folder, sizeof folder) < 0) snprintf(folder, sizeof folder, ".");
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        snprintf(path, size_bytes, "%s/%s", folder, places[i]);
        if (plat_file_size(path, NULL) == PLAT_OK) return true;
    }
    snprintf(path, size_bytes, "%s/%s", folder, places[0]);
    return false;
}
