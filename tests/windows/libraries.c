/* libraries.c - a library that is asked for by its name alone comes from the program's folder or the system's: not from the current
 * folder, where a file that somebody was sent may lie, and not from the PATH. */
#include "../support/harness.h"

#include "platform/platform.h"

#define WIN32_LEAN_AND_MEAN
#undef open
#undef close
#include <windows.h>

int main(void) {
    char path[256], folder[256], system_library[MAX_PATH];
    test_begin("libraries", 60);
    GetSystemDirectoryA(system_library, sizeof system_library);
    strcat(system_library, "\\version.dll");
    GetTempPathA(sizeof folder, folder);
    snprintf(path, sizeof path, "%slipc_decoy%lu.dll", folder, GetCurrentProcessId());
    const char *name = path + strlen(folder);
    CHECK_SAY(CopyFileA(system_library, path, FALSE), "cannot copy %s: error %lu", system_library, GetLastError());
    test_step("in the current folder");
    CHECK(SetCurrentDirectoryA(folder));
    CHECK(plat_library_open(name) == NULL);
    test_step("on the PATH");
    CHECK(SetEnvironmentVariableA("PATH", folder));
    CHECK(plat_library_open(name) == NULL);
    test_step("by its path");
    void *library = plat_library_open(path);
    CHECK(library != NULL && plat_library_symbol(library, "GetFileVersionInfoA") != NULL);
    plat_library_close(library);
    CHECK(SetCurrentDirectoryA("\\"));
    CHECK(DeleteFileA(path));
    test_step("of the system's");
    library = plat_library_open("version.dll");
    CHECK(library != NULL);
    plat_library_close(library);
    return test_end();
}
