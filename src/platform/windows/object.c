/* object.c - what all named objects have in common: names, security, errors; and text between UTF-8 and UTF-16. */
#include "internal.h"

#include <aclapi.h>
#include <sddl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- errors -------------------------------------------------------------------------------------------------------- */

static _Thread_local DWORD last_error;
static _Thread_local const char *last_reason;
static _Thread_local char last_text[256];

int plat_fail(int error) {
    last_error = GetLastError();
    last_reason = NULL;
    return error;
}

int plat_fail_because(int error, const char *reason) {
    last_reason = reason;
    return error;
}

int plat_fail_object(void) {
    switch (GetLastError()) {
    case ERROR_FILE_NOT_FOUND:
    case ERROR_PATH_NOT_FOUND:
        return plat_fail(PLAT_E_NOT_FOUND);
    case ERROR_ACCESS_DENIED:
        return plat_fail(PLAT_E_FOREIGN_USER);
    case ERROR_COMMITMENT_LIMIT:
    case ERROR_NO_SYSTEM_RESOURCES:
    case ERROR_DISK_FULL:
        return plat_fail(PLAT_E_NO_SPACE);
    case ERROR_NOT_ENOUGH_MEMORY:
    case ERROR_OUTOFMEMORY:
        return plat_fail(PLAT_E_NO_MEMORY);
    case ERROR_INVALID_HANDLE: /* the name is an object's of another kind */
        return plat_fail(PLAT_E_UNEXPECTED);
    default:
        return plat_fail(PLAT_E_SYSTEM);
    }
}

const char *plat_os_error(void) {
    wchar_t wide[256];
    if (last_reason) return last_reason;
    if (last_error == 0) return "";
    DWORD length = FormatMessageW(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS, NULL, last_error, 0, wide,
                                  sizeof wide / sizeof wide[0], NULL);
    while (length > 0 && (wide[length - 1] <= L' ' || wide[length - 1] == L'.')) length--;
    wide[length] = 0;
    if (length == 0 || !plat_narrow(wide, last_text, sizeof last_text))
        snprintf(last_text, sizeof last_text, "Windows error %lu", last_error);
    return last_text;
}

/* ---- text ---------------------------------------------------------------------------------------------------------- */

wchar_t *plat_wide(const char *text) {
    int n = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, -1, NULL, 0);
    wchar_t *wide = n > 0 ? malloc((size_t)n * sizeof *wide) : NULL;
    if (wide) MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, -1, wide, n);
    return wide;
}

bool plat_narrow(const wchar_t *wide, char *text, size_t size_bytes) {
    int size = size_bytes > INT32_MAX ? INT32_MAX : (int)size_bytes;
    return WideCharToMultiByte(CP_UTF8, 0, wide, -1, text, size, NULL, NULL) > 0;
}

wchar_t *plat_wide_path(const char *path) {
    static const wchar_t local[] = L"\\\\?\\", share[] = L"\\\\?\\UNC";
    wchar_t *wide = plat_wide(path);
    if (!wide || wcsncmp(wide, L"\\\\?\\", 4) == 0 || wcsncmp(wide, L"\\\\.\\", 4) == 0) return wide;
    /* Absolute, with backslashes: behind the prefix the system takes a path as it is. */
    DWORD size = GetFullPathNameW(wide, 0, NULL, NULL);
    wchar_t *absolute = size > 0 ? malloc((size + sizeof share / sizeof share[0]) * sizeof *absolute) : NULL;
    if (!absolute) return wide;
    bool is_share = (wide[0] == L'\\' || wide[0] == L'/') && (wide[1] == L'\\' || wide[1] == L'/');
    const wchar_t *prefix = is_share ? share : local;
    size_t n_prefix = wcslen(prefix);
    GetFullPathNameW(wide, size, absolute + n_prefix - is_share, NULL);
    memcpy(absolute, prefix, n_prefix * sizeof *prefix); /* over the first of a share's two backslashes */
    if (wcsncmp(absolute + n_prefix - is_share, L"\\\\.\\", 4) == 0) { /* NUL, CON and their like */
        free(absolute);
        return wide;
    }
    free(wide);
    return absolute;
}

/* ---- names --------------------------------------------------------------------------------------------------------- */

bool plat_object_name(const char *name, const char *suffix, wchar_t object[PLAT_OBJECT_NAME_SIZE]) {
    static const wchar_t prefix[] = L"Local\\";
    size_t n_prefix = wcslen(prefix), n = strlen(name), n_suffix = strlen(suffix);
    SetLastError(ERROR_INVALID_NAME);
    if (name[0] != '/' || n < 2 || n_prefix + n + n_suffix > PLAT_OBJECT_NAME_SIZE) return false;
    wcscpy(object, prefix);
    wchar_t *at = object + n_prefix;
    for (const char *byte = name + 1; *byte; byte++) {
        if ((unsigned char)*byte >= 0x80 || *byte == '/' || *byte == '\\') return false; /* instance names are ASCII */
        *at++ = (wchar_t)*byte;
    }
    for (const char *byte = suffix; *byte; byte++) *at++ = (wchar_t)*byte;
    *at = 0;
    return true;
}

/* ---- security ------------------------------------------------------------------------------------------------------ */

/* This process's user, for good; NULL if the system does not say. */
static PSID own_user(void) {
    static union {
        TOKEN_USER user;
        char bytes[sizeof(TOKEN_USER) + SECURITY_MAX_SID_SIZE];
    } found;
    static PSID user; /* atomic; whoever comes first writes what everybody would */
    PSID known = __atomic_load_n(&user, __ATOMIC_ACQUIRE);
    if (known) return known;
    HANDLE token;
    DWORD n_bytes;
    if (!OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token)) return NULL;
    if (GetTokenInformation(token, TokenUser, &found, sizeof found, &n_bytes)) {
        known = found.user.User.Sid;
        __atomic_store_n(&user, known, __ATOMIC_RELEASE);
    }
    CloseHandle(token);
    return known;
}

static BOOL CALLBACK make_security(INIT_ONCE *once, void *argument, void **result) {
    static SECURITY_ATTRIBUTES attributes = {.nLength = sizeof attributes};
    wchar_t text[512], *user = NULL;
    (void)once, (void)argument;
    *result = NULL;
    if (!own_user() || !ConvertSidToStringSidW(own_user(), &user)) return TRUE;
    swprintf(text, sizeof text / sizeof text[0], L"O:%lsD:P(A;;GA;;;%ls)S:(ML;;NW;;;ME)", user, user);
    LocalFree(user);
    if (ConvertStringSecurityDescriptorToSecurityDescriptorW(text, SDDL_REVISION_1, &attributes.lpSecurityDescriptor,
                                                             NULL))
        *result = &attributes;
    return TRUE;
}

SECURITY_ATTRIBUTES *plat_object_security(void) {
    static INIT_ONCE once = INIT_ONCE_STATIC_INIT;
    void *attributes = NULL;
    InitOnceExecuteOnce(&once, make_security, NULL, &attributes);
    return attributes;
}

bool plat_object_is_own(HANDLE object) {
    PSID owner = NULL, user = own_user();
    PSECURITY_DESCRIPTOR descriptor = NULL;
    if (!user) return true; /* nothing to compare with; whoever may open it may use it */
    DWORD error = GetSecurityInfo(object, SE_KERNEL_OBJECT, OWNER_SECURITY_INFORMATION, &owner, NULL, NULL, NULL,
                                  &descriptor);
    bool is_own = error == ERROR_SUCCESS && owner && EqualSid(owner, user);
    if (descriptor) LocalFree(descriptor);
    SetLastError(error == ERROR_SUCCESS ? ERROR_ACCESS_DENIED : error);
    return is_own;
}

void plat_object_user(const char *name, char *user, size_t size_bytes) {
    wchar_t object[PLAT_OBJECT_NAME_SIZE], account[256], domain[256];
    DWORD n_account = 256, n_domain = 256;
    SID_NAME_USE use;
    PSID owner = NULL;
    PSECURITY_DESCRIPTOR descriptor = NULL;
    snprintf(user, size_bytes, "?");
    if (!plat_object_name(name, "", object)) return;
    HANDLE opened = OpenFileMappingW(READ_CONTROL, FALSE, object);
    if (!opened) opened = OpenSemaphoreW(READ_CONTROL, FALSE, object);
    if (!opened) return;
    if (GetSecurityInfo(opened, SE_KERNEL_OBJECT, OWNER_SECURITY_INFORMATION, &owner, NULL, NULL, NULL, &descriptor) ==
            ERROR_SUCCESS && owner && LookupAccountSidW(NULL, owner, account, &n_account, domain, &n_domain, &use) &&
        !plat_narrow(account, user, size_bytes))
        snprintf(user, size_bytes, "?");
    if (descriptor) LocalFree(descriptor);
    CloseHandle(opened);
}
