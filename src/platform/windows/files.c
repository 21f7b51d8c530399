/* files.c - plain files and shared libraries, for what programs fetch and keep. */
#include "internal.h"

#include <io.h>
#include <stdlib.h>

/* Not from the current folder or the PATH, where others may have put one of that name; what a path leads to finds its own beside it. */
void *plat_library_open(const char *name) {
    wchar_t *wide = plat_wide(name);
    DWORD places = LOAD_LIBRARY_SEARCH_DEFAULT_DIRS;
    if (wide && wcschr(wide, L'\\')) places |= LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR;
    HMODULE library = wide ? LoadLibraryExW(wide, NULL, places) : NULL;
    free(wide);
    return library;
}

void *plat_library_symbol(void *library, const char *symbol) {
    FARPROC found = GetProcAddress(library, symbol);
    return (void *)(uintptr_t)found;
}

void plat_library_close(void *library) {
    FreeLibrary(library);
}

void plat_library_reason(char *reason, size_t reason_size) {
    snprintf(reason, reason_size, "system error %lu", GetLastError());
}

int plat_file_sync(FILE *file) {
    return _commit(_fileno(file)) == 0 ? PLAT_OK : plat_fail_because(PLAT_E_SYSTEM, "the disk does not take it");
}

struct plat_file_lock {
    HANDLE file;
};

/* Who opens it while it may not be shared has it. */
int plat_file_lock_take(const char *path, plat_file_lock **result) {
    plat_file_lock *lock = malloc(sizeof *lock);
    wchar_t *wide = plat_wide_path(path);
    *result = NULL;
    if (lock && wide) {
        lock->file = CreateFileW(wide, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_ALWAYS, FILE_ATTRIBUTE_NORMAL, NULL);
        free(wide);
        if (lock->file != INVALID_HANDLE_VALUE) {
            *result = lock;
            return PLAT_OK;
        }
        int error = GetLastError() == ERROR_SHARING_VIOLATION ? PLAT_E_OWNED : PLAT_E_SYSTEM;
        free(lock);
        return plat_fail_because(error, "the file cannot be locked");
    }
    free(lock);
    free(wide);
    return plat_fail_because(PLAT_E_NO_MEMORY, "not enough memory");
}

void plat_file_lock_release(plat_file_lock *lock) {
    if (!lock) return;
    CloseHandle(lock->file);
    free(lock);
}
