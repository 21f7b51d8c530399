/* pattern.cpp - see pattern.hpp. Recursive descent over the expressions of ECMAScript, as JSON schemas have them. */
#include "pattern.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <vector>

namespace {

constexpr int groups_max = 64; /* within each other: followed by recursion, here and in the library */
constexpr uint32_t last_character = 0x10FFFF;

struct range {
    uint32_t low, high;
};
using characters = std::vector<range>;

[[noreturn]] void refuse(const std::string &what) {
    throw std::invalid_argument("has " + what);
}

/* ---- classes ---- */

characters united(characters all) {
    std::sort(all.begin(), all.end(), [](const range &a, const range &b) { return a.low < b.low; });
    characters result;
    for (const range &each : all) {
        if (!result.empty() && each.low <= result.back().high + 1) result.back().high = std::max(result.back().high, each.high);
        else result.push_back(each);
    }
    return result;
}

characters all_but(const characters &without) {
    characters result;
    uint32_t next = 0;
    for (const range &each : united(without)) {
        if (each.low > next) result.push_back({next, each.low - 1});
        next = each.high + 1;
    }
    if (next <= last_character) result.push_back({next, last_character});
    return result;
}

/* Those of the first that are not in the second. */
characters difference(const characters &all, const characters &without) {
    characters rest = all_but(all);
    rest.insert(rest.end(), without.begin(), without.end());
    return all_but(rest);
}

bool has(const characters &all, uint32_t character) {
    return std::any_of(all.begin(), all.end(), [&](const range &each) { return each.low <= character && character <= each.high; });
}

/* What stands for a class that has a name. False: there is none of this name. */
bool named(char name, characters &all) {
    switch (name) {
    case 'd': case 'D': all = characters{{'0', '9'}}; break;
    case 'w': case 'W': all = characters{{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}; break;
    case 's': case 'S':
        all = characters{{'\t', '\r'}, {' ', ' '}, {0xA0, 0xA0}, {0x1680, 0x1680}, {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F},
               {0x205F, 0x205F}, {0x3000, 0x3000}, {0xFEFF, 0xFEFF}};
        break;
    default: return false;
    }
    if (name < 'a') all = all_but(all);
    return true;
}

/* ---- writing ---- */

std::string spelled(uint32_t character) {
    char text[16];
    snprintf(text, sizeof text, character < 0x80 ? "\\x%02X" : character <= 0xFFFF ? "\\u%04X" : "\\U%08X", character);
    return text;
}

/* A character that stands in JSON as an escape. */
std::string escape_of(uint32_t character) {
    static const char names[] = "\"\\\b\f\n\r\t", written[] = "\"\\bfnrt";
    const char *found = character == 0 ? nullptr : strchr(names, static_cast<int>(character));
    char text[16];
    if (found && written[found - names] == '\\') return "(\\\\\\\\)";
    if (found) return std::string("(\\\\") + written[found - names] + ")";
    snprintf(text, sizeof text, "(\\\\u%04x)", character);
    return text;
}

/* As a class; of those that must be escaped in JSON only if there are no others. */
std::string written(const characters &all) {
    static const characters escaped = {{0, 0x1F}, {'"', '"'}, {'\\', '\\'}}, unsaid = {{0, 0}, {0x7F, 0x9F}, {0xD800, 0xDFFF}};
    characters without = escaped;
    without.insert(without.end(), unsaid.begin(), unsaid.end());
    std::string result;
    for (const range &each : difference(all, without)) {
        result += spelled(each.low);
        if (each.high > each.low) result += "-" + spelled(each.high);
    }
    if (!result.empty()) return "[" + result + "]";
    for (uint32_t character = 1; character <= '\\'; character++)
        if (has(all, character) && has(escaped, character)) result += (result.empty() ? "(" : "|") + escape_of(character);
    if (result.empty()) refuse("a class of which no character can be said");
    return result + ")";
}

/* ---- reading ---- */

class rewriter {
  public:
    explicit rewriter(const std::string &pattern) : in(pattern) {}

    /* Each alternative with anchors of its own: what has none may stand anywhere. */
    std::string all() {
        std::string result = "^(";
        for (bool is_first = true; is_first || take('|'); is_first = false) {
            if (!is_first) result += '|';
            if (!take('^')) result += anything();
            result += "(" + sequence() + ")";
            if (!take('$')) result += anything();
        }
        if (at < in.size()) refuse(in[at] == ')' ? "a ')' too many" : "an anchor in its middle");
        return result + ")$";
    }

  private:
    const std::string &in;
    size_t at = 0;
    int n_open = 0;

    static characters dot() {
        return all_but({{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}});
    }

    static std::string anything() {
        return written(dot()) + "*";
    }

    bool take(char c) {
        if (at >= in.size() || in[at] != c) return false;
        at++;
        return true;
    }

    uint32_t read_character() {
        auto first = static_cast<unsigned char>(in[at++]);
        if (first < 0x80) return first;
        uint32_t value = first < 0xE0 ? first & 0x1F : first < 0xF0 ? first & 0x0F : first & 0x07;
        while (at < in.size() && (static_cast<unsigned char>(in[at]) & 0xC0) == 0x80)
            value = value << 6 | (static_cast<unsigned char>(in[at++]) & 0x3F);
        return value;
    }

    uint32_t read_hex(size_t n_digits) {
        uint32_t value = 0;
        for (size_t i = 0; i < n_digits; i++, at++) {
            if (at >= in.size() || !isxdigit(static_cast<unsigned char>(in[at]))) refuse("an escape without its digits");
            value = value << 4 | static_cast<uint32_t>(strchr("0123456789abcdef", tolower(in[at])) - "0123456789abcdef");
        }
        return value;
    }

    /* Behind a backslash, not the name of a class. */
    uint32_t escaped() {
        if (at >= in.size()) refuse("a backslash at its end");
        static const char names[] = "nrtfv", values[] = "\n\r\t\f\v";
        char c = in[at];
        if (const char *found = strchr(names, c)) {
            at++;
            return static_cast<unsigned char>(values[found - names]);
        }
        if (c == 'x' || c == 'u') {
            at++;
            return read_hex(c == 'x' ? 2 : 4);
        }
        if (isalnum(static_cast<unsigned char>(c))) refuse(std::string("'\\") + c + "', which cannot be bound");
        return read_character();
    }

    characters read_class() {
        characters all;
        bool is_inverse = take('^');
        while (!take(']')) {
            if (at >= in.size()) refuse("a '[' without its ']'");
            characters named_ones;
            if (in[at] == '\\' && at + 1 < in.size() && named(in[at + 1], named_ones)) {
                at += 2;
                all.insert(all.end(), named_ones.begin(), named_ones.end());
                continue;
            }
            uint32_t low = member(), high = low;
            if (at + 1 < in.size() && in[at] == '-' && in[at + 1] != ']') {
                at++;
                high = member();
            }
            if (high < low) refuse("a range that ends before it begins");
            all.push_back({low, high});
        }
        return is_inverse ? all_but(all) : united(all);
    }

    uint32_t member() {
        if (!take('\\')) return read_character();
        if (take('b')) return '\b';
        return escaped();
    }

    std::string group() {
        if (take('?') && !take(':')) refuse("a look-ahead, a look-behind or a name for a group, which cannot be bound");
        if (++n_open > groups_max) refuse("more than " + std::to_string(groups_max) + " groups within each other");
        std::string result = "(" + sequence();
        while (take('|')) result += "|" + sequence();
        if (!take(')')) refuse("a '(' without its ')'");
        n_open--;
        return result + ")";
    }

    std::string atom() {
        characters all;
        if (take('(')) return group();
        if (take('[')) return written(read_class());
        if (take('.')) return written(dot());
        bool is_escape = take('\\');
        if (is_escape && at < in.size() && named(in[at], all)) {
            at++;
            return written(all);
        }
        uint32_t character = is_escape ? escaped() : read_character();
        if (character < 0x80 && isalnum(static_cast<int>(character))) return std::string(1, static_cast<char>(character));
        return written({{character, character}});
    }

    uint32_t read_number() {
        size_t begin = at;
        uint32_t number = 0;
        for (; at < in.size() && isdigit(static_cast<unsigned char>(in[at])) && number < 100000; at++)
            number = 10 * number + static_cast<uint32_t>(in[at] - '0');
        if (at == begin) refuse("a '{' without a number");
        return number;
    }

    std::string repetition() {
        std::string result;
        if (take('{')) {
            uint32_t least = read_number();
            result = "{" + std::to_string(least);
            if (take(',')) {
                result += ",";
                if (at < in.size() && in[at] != '}') {
                    uint32_t most = read_number();
                    if (most < least) refuse("a repetition of at least " + std::to_string(least) + " and at most " + std::to_string(most));
                    result += std::to_string(most);
                }
            }
            if (!take('}')) refuse("a '{' without its '}'");
            result += "}";
        } else if (at < in.size() && strchr("*+?", in[at])) {
            result = in[at++];
        }
        if (!result.empty()) take('?'); /* how greedy it is matters to who searches */
        return result;
    }

    /* Up to the end of an alternative. */
    std::string sequence() {
        std::string result;
        while (at < in.size() && !strchr("|)$^", in[at])) {
            if (strchr("*+?{", in[at])) refuse("a repetition of nothing");
            result += atom();
            result += repetition();
        }
        return result;
    }
};

} // namespace

std::string bindable_pattern(const std::string &pattern) {
    return rewriter(pattern).all();
}
