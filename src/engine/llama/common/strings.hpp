/* strings.hpp - small questions about texts. */
#ifndef LLAMA_COMMON_STRINGS_HPP
#define LLAMA_COMMON_STRINGS_HPP

#include <algorithm>
#include <cctype>
#include <string>

inline bool begins(const std::string &text, const char *with) {
    return text.rfind(with, 0) == 0;
}

inline std::string lower(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return tolower(c); });
    return text;
}

inline bool is_hex(const std::string &text, size_t n_digits) {
    return text.size() == n_digits && std::all_of(text.begin(), text.end(), [](unsigned char c) { return isxdigit(c); });
}

#endif
