/* chat_format.c - see chat_format.h. */
#include "chat_format.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void chat_add(char *text, size_t size_bytes, const char *format, ...) {
    size_t n = strlen(text);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text + n, size_bytes - n, format, arguments);
    va_end(arguments);
}

void chat_add_system(char *text, size_t size_bytes, const char *system, const char *const *tools, int n_tools) {
    if (!system && n_tools == 0) return;
    chat_add(text, size_bytes, "<|im_start|>system\n%s", system ? system : "");
    if (n_tools > 0) chat_add(text, size_bytes, "%sTools:", system ? "\n" : "");
    for (int i = 0; i < n_tools; ++i) chat_add(text, size_bytes, "\n%s", tools[i]);
    chat_add(text, size_bytes, CHAT_END "\n");
}

void chat_add_question(char *text, size_t size_bytes, const char *question) {
    chat_add(text, size_bytes, "<|im_start|>user\n%s" CHAT_END "\n", question);
}

void chat_add_results(char *text, size_t size_bytes, const char *const *results, int n_results) {
    chat_add(text, size_bytes, "<|im_start|>user");
    for (int i = 0; i < n_results; ++i) {
        chat_add(text, size_bytes, "\n<tool_response>\n%s\n</tool_response>", results[i]);
    }
    chat_add(text, size_bytes, CHAT_END "\n");
}

void chat_add_answer(char *text, size_t size_bytes, const char *answer) {
    chat_add(text, size_bytes, CHAT_ANSWER "%s" CHAT_END "\n", answer);
}
