/* backends.c - see backends.h. */
#include "backends.h"

#include "../../../platform/platform.h"

#include <ggml-backend.h>

#define MIB ((size_t)1 << 20)

static bool has_processor(void) {
    return ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU) != NULL;
}

/* They lie beside the library that loads them; where the system packages put them elsewhere, the library knows. */
bool backends_load(void) {
    char folder[4096];
    if (has_processor()) return true; /* linked in, or loaded before */
    if (plat_library_folder((const void *)(uintptr_t)ggml_backend_load_all_from_path, folder, sizeof folder) == PLAT_OK)
        ggml_backend_load_all_from_path(folder);
    if (!has_processor()) ggml_backend_load_all();
    return has_processor();
}

void backends_list_devices(FILE *file) {
    int n = 0;
    backends_load();
    for (size_t i = 0; i < ggml_backend_dev_count(); i++) {
        ggml_backend_dev_t device = ggml_backend_dev_get(i);
        size_t n_free, n_all;
        if (ggml_backend_dev_type(device) == GGML_BACKEND_DEVICE_TYPE_CPU) continue;
        ggml_backend_dev_memory(device, &n_free, &n_all);
        fprintf(file, "%s: %s (%zu MiB, %zu MiB free)\n", ggml_backend_dev_name(device), ggml_backend_dev_description(device),
                n_all / MIB, n_free / MIB);
        n++;
    }
    if (n == 0) fprintf(file, "no devices besides the processor\n");
}
