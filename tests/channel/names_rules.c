/* names_rules.c - src/channel/names.h: which instance names there are, and what their objects are called. */
#include "../support/harness.h"

#include "channel/names.h"

#include <string.h>

int main(void) {
    char name[LIPC_NAME_MAX + 2], object[NAMES_OBJECT_SIZE];
    test_begin("names_rules", 10);
    test_step("instance names");
    static const char *const good[] = {"a", "Z", "0", "_", "-", "llama_cpp", "x.y-z_1", "a."};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) CHECK_SAY(names_is_instance(good[i]), "%s", good[i]);
    static const char *const bad[] = {"", ".", "..", ".a", "a/b", "/", "a b", "a\n", "ü", "a:"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) CHECK_SAY(!names_is_instance(bad[i]), "%s", bad[i]);
    memset(name, 'n', sizeof name);
    name[LIPC_NAME_MAX] = 0;
    CHECK(names_is_instance(name));
    name[LIPC_NAME_MAX] = 'n';
    name[LIPC_NAME_MAX + 1] = 0;
    CHECK(!names_is_instance(name));

    test_step("object names");
    names_object(object, LIPC_DEFAULT_NAME, LIPC_SUFFIX_SEGMENT);
    CHECK_TEXT(object, "/llama_cpp_shared_mem");
    name[LIPC_NAME_MAX] = 0;
    names_object(object, name, LIPC_SUFFIX_RESPONSE_WRITTEN);
    CHECK_INT(strlen(object), ==, 1 + LIPC_NAME_MAX + strlen(LIPC_SUFFIX_RESPONSE_WRITTEN));
    return test_end();
}
