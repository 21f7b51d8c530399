/* curl.c - see curl.h. */
#include "curl.h"

#include "../platform/platform.h"

#include <string.h>

#define GLOBAL_ALL 3L

static bool find(void *handle, const char *name, void *function, size_t size) {
    void *symbol = plat_library_symbol(handle, name);
    memcpy(function, &symbol, size);
    return symbol != NULL;
}

static bool find_all(void *handle, curl_library *curl) {
#define FIND(field, name) find(handle, name, &curl->field, sizeof curl->field)
    return FIND(global_init, "curl_global_init") && FIND(easy_new, "curl_easy_init") && FIND(easy_set, "curl_easy_setopt") &&
           FIND(easy_perform, "curl_easy_perform") && FIND(easy_get, "curl_easy_getinfo") && FIND(easy_pause, "curl_easy_pause") && FIND(easy_free, "curl_easy_cleanup") &&
           FIND(error_text, "curl_easy_strerror") && FIND(list_add, "curl_slist_append") &&
           FIND(list_free, "curl_slist_free_all") && FIND(multi_new, "curl_multi_init") &&
           FIND(multi_add, "curl_multi_add_handle") && FIND(multi_remove, "curl_multi_remove_handle") &&
           FIND(multi_perform, "curl_multi_perform") && FIND(multi_poll, "curl_multi_poll") &&
           FIND(multi_wake, "curl_multi_wakeup") && FIND(multi_read, "curl_multi_info_read") &&
           FIND(multi_free, "curl_multi_cleanup");
#undef FIND
}

const curl_library *curl_load(void) {
    static const char *const names[] = {"libcurl.so.4", "libcurl-gnutls.so.4", "libcurl-x64.dll", "libcurl.dll"};
    static curl_library library;
    static bool is_loaded;
    for (size_t i = 0; i < sizeof names / sizeof names[0] && !is_loaded; i++) {
        void *handle = plat_library_open(names[i]);
        is_loaded = handle && find_all(handle, &library) && library.global_init(GLOBAL_ALL) == 0;
    }
    return is_loaded ? &library : NULL;
}
