/* model_file.c - what can be said about a model's file before a library tries it, in better words than the library's. */
#include "engine.h"

#include "../platform/platform.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int engine_check_file(const char *path, char *message, size_t message_size) {
    if (plat_file_size(path, NULL) == PLAT_E_UNEXPECTED) {
        snprintf(message, message_size, "the model '%s' is not a file; give a GGUF file", path);
        return ENGINE_E_MODEL_MISSING;
    }
    FILE *file = plat_file_open(path, "rb");
    if (!file) {
        snprintf(message, message_size, "cannot read the model file '%s': %s; give another", path, strerror(errno));
        return ENGINE_E_MODEL_MISSING;
    }
    char magic[4] = {0};
    int error = ENGINE_OK;
    if (fread(magic, 1, sizeof magic, file) != sizeof magic || memcmp(magic, "GGUF", sizeof magic) != 0) {
        snprintf(message, message_size, "'%s' is not a GGUF model (it does not begin with \"GGUF\"); convert it, or give "
                                        "another", path);
        error = ENGINE_E_MODEL_BAD;
    }
    fclose(file);
    return error;
}
