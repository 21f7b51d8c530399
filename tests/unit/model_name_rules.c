/* model_name_rules.c - which names of models are taken, and that none of them can lead out of a folder or hide a key. */
#include "text/model_name.h"

#include "../support/harness.h"

#include <string.h>

static void taken(const char *text, const char *repository, const char *quant, const char *file) {
    model_name name;
    const char *wrong;
    CHECK(model_name_is_one(text));
    CHECK_SAY(model_name_read(text, &name, &wrong), "%s: %s", text, wrong);
    CHECK_TEXT(name.repository, repository);
    CHECK_TEXT(name.quant, quant);
    CHECK_TEXT(name.file, file);
    CHECK(name.is_address == (repository[0] == 0));
}

static void refused(const char *text) {
    model_name name;
    const char *wrong = NULL;
    CHECK_SAY(!model_name_read(text, &name, &wrong), "taken: %s", text);
    CHECK(wrong && wrong[0]);
}

static void long_ones(void) {
    char text[MODEL_NAME_ADDRESS_MAX + 64];
    memset(text, 'a', sizeof text);
    memcpy(text, "hf://u/", 7);
    text[5 + MODEL_NAME_REPOSITORY_MAX] = 0;
    taken(text, text + 5, "", "");
    text[5 + MODEL_NAME_REPOSITORY_MAX] = 'a';
    text[6 + MODEL_NAME_REPOSITORY_MAX] = 0;
    refused(text);
    memset(text, 'a', sizeof text);
    memcpy(text, "https://h/", 10);
    text[10 + MODEL_NAME_FILE_MAX] = 0;
    taken(text, "", "", text + 10);
    text[10 + MODEL_NAME_FILE_MAX] = 'a';
    text[11 + MODEL_NAME_FILE_MAX] = 0;
    refused(text);
    memset(text, 'a', sizeof text);
    memcpy(text, "https://h/x?", 12);
    text[MODEL_NAME_ADDRESS_MAX] = 0;
    taken(text, "", "", "x");
    text[MODEL_NAME_ADDRESS_MAX] = 'a';
    text[MODEL_NAME_ADDRESS_MAX + 1] = 0;
    refused(text);
}

int main(void) {
    test_begin("model_name_rules", 10);
    test_step("names that are taken");
    taken("hf://user/model", "user/model", "", "");
    taken("hf://user_1/My.Model-7B_x:Q4_K_M", "user_1/My.Model-7B_x", "Q4_K_M", "");
    taken("hf://u/m:UD-Q2.x", "u/m", "UD-Q2.x", "");
    taken("https://host/folder/file.gguf?key=secret#part", "", "", "file.gguf");
    taken("http://[::1]:8080/a%20b.gguf", "", "", "a%20b.gguf");
    test_step("names that are none");
    static const char *const bad[] = {
        "", "user/model", "/a/path", "file:///etc/passwd", "ftp://host/x", "hf:/user/model", "hf://", "hf://user", "hf://user/", "hf:///model",
        "hf://user/model/file", "hf://../model", "hf://user/..", "hf://user/.model", "hf://user/model.", "hf://user/a..b", "hf://user/a--b",
        "hf://-user/model", "hf://user/mo del", "hf://user/mod\\el", "hf://user/m\xC3\xA4", "hf://user/model:", "hf://user/model:../x",
        "hf://user/model:.x", "hf://user/model:Q4 0", "hf://user/model:Q4:Q8", "hf://user/model?x", "https://", "https:///x", "https://host",
        "https://host/", "https://host/.", "https://host/..", "https://host/.x", "https://host/x/?y", "https://user@host/x",
        "https://user:word@host/x", "https://host/a b", "https://host/a\nb", "https://host/a\"b", "https://host/a;b", "https://host?x/y"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) refused(bad[i]);
    CHECK(!model_name_is_one("user/model") && !model_name_is_one("/hf://x") && model_name_is_one("hf://"));
    test_step("the longest ones");
    long_ones();
    test_step("what may be shown");
    CHECK_INT(model_name_shown("https://host/x?key"), ==, 14);
    CHECK_INT(model_name_shown("https://host/x#key"), ==, 14);
    CHECK_INT(model_name_shown("hf://user/model:Q8_0"), ==, 20);
    return test_end();
}
