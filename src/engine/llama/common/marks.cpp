/* marks.cpp - see marks.hpp. */
#include "marks.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace {

/* U+10FFFD. An input's own ones are doubled. */
const std::string guard = "\xF4\x8F\xBF\xBD";
/* The same in JSON of ASCII alone. */
const std::string escaped_guard = "\\udbff\\udffd";

/* Control tokens are looked for by their first bytes: all may begin with the same one. */
constexpr size_t beginning_size = 2;

bool has_guard(const std::vector<size_t> &guards, size_t begin, size_t end) {
    auto first = std::lower_bound(guards.begin(), guards.end(), begin);
    return first != guards.end() && *first < end;
}

bool is_space(char c) {
    return isspace(static_cast<unsigned char>(c)) != 0;
}

bool is_verbatim(const std::string &key) {
    return key == "role" || key == "type";
}

} // namespace

marks::marks(const llama_vocab *vocab) : vocab(vocab) {
    constexpr int listed = LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_USER_DEFINED | LLAMA_TOKEN_ATTR_UNKNOWN;
    for (llama_token token = 0; token < llama_vocab_n_tokens(vocab); token++) {
        int attributes = llama_vocab_get_attr(vocab, token);
        std::string text = llama_vocab_get_text(vocab, token);
        if (!(attributes & listed) || text.empty()) continue;
        specials.push_back({token, text, is_control(token), (attributes & LLAMA_TOKEN_ATTR_LSTRIP) != 0,
                            (attributes & LLAMA_TOKEN_ATTR_RSTRIP) != 0});
    }
    std::stable_sort(specials.begin(), specials.end(),
                     [](const special &a, const special &b) { return a.text.size() > b.text.size(); });
    for (size_t i = 0; i < specials.size(); i++) {
        const std::string &text = specials[i].text;
        if (!specials[i].is_control) continue;
        by_beginning[text.substr(0, beginning_size)].push_back(i);
        begins_one[static_cast<unsigned char>(text[0])] = true;
        for (size_t n = 1; n < text.size(); n++) endings.insert(text.substr(text.size() - n));
        longest = std::max(longest, text.size());
    }
}

bool marks::is_control(llama_token token) const {
    return (llama_vocab_get_attr(vocab, token) & (LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_UNKNOWN)) != 0;
}

/* ---- inputs ---- */

/* Whether a control token's text stands there, or its beginning and then the end of the text. */
bool marks::begins_mark(const std::string &text, size_t at, bool may_be_cut) const {
    size_t n_left = text.size() - at;
    if (!begins_one[static_cast<unsigned char>(text[at])]) return false;
    auto fits = [&](const std::string &mark) {
        size_t n = std::min(mark.size(), n_left);
        return (n == mark.size() || may_be_cut) && text.compare(at, n, mark, 0, n) == 0;
    };
    for (size_t n = 1; n <= beginning_size && n <= n_left; n++) {
        auto found = by_beginning.find(text.substr(at, n));
        if (found == by_beginning.end()) continue;
        for (size_t i : found->second)
            if (fits(specials[i].text)) return true;
    }
    if (n_left >= beginning_size) return false;
    for (const auto &[beginning, indices] : by_beginning)
        if (beginning.compare(0, n_left, text, at, n_left) == 0) return true;
    return false;
}

/* Where guards must stand: before marks, their beginnings at the end of the text, and their ends at its beginning; and
 * before the guard's own character. */
std::vector<size_t> marks::guard_places(const std::string &text) const {
    std::vector<size_t> places;
    bool ends_mark = false;
    for (size_t n = 1; n < longest && n <= text.size() && !ends_mark; n++) ends_mark = endings.count(text.substr(0, n)) > 0;
    for (size_t at = 0; at < text.size(); at++) {
        bool may_be_cut = text.size() - at < longest;
        if ((at == 0 && ends_mark) || text.compare(at, guard.size(), guard) == 0 || begins_mark(text, at, may_be_cut))
            places.push_back(at);
    }
    return places;
}

bool marks::needs_guard(const std::string &text) const {
    return !guard_places(text).empty();
}

std::string marks::guarded(const std::string &text) const {
    std::string result;
    size_t done = 0;
    for (size_t place : guard_places(text)) {
        result.append(text, done, place - done).append(guard);
        done = place;
    }
    return result.append(text, done, std::string::npos);
}

bool marks::needs_guard(const common_json &value) const {
    if (value.is_string()) return needs_guard(value.get<std::string>());
    if (value.is_array()) {
        for (const common_json &item : value)
            if (needs_guard(item)) return true;
    } else if (value.is_object()) {
        for (const auto &[key, item] : value.items())
            if (!is_verbatim(key) && (needs_guard(key) || needs_guard(item))) return true;
    }
    return false;
}

common_json marks::guarded(const common_json &value) const {
    if (value.is_string()) return guarded(value.get<std::string>());
    if (value.is_array()) {
        common_json result = common_json::array();
        for (const common_json &item : value) result.push_back(guarded(item));
        return result;
    }
    if (!value.is_object()) return value;
    common_json result = common_json::object();
    for (const auto &[key, item] : value.items()) result[guarded(key)] = is_verbatim(key) ? item : guarded(item);
    return result;
}

/* ---- what was rendered ---- */

marks::rendered marks::without_guards(const std::string &text) {
    rendered result;
    for (size_t at = 0; at < text.size();) {
        bool is_plain = text.compare(at, guard.size(), guard) == 0;
        const std::string &found = is_plain ? guard : escaped_guard;
        if (!is_plain && text.compare(at, found.size(), found) != 0) {
            result.text.push_back(text[at++]);
            continue;
        }
        result.guards.push_back(result.text.size());
        at += found.size();
        if (text.compare(at, found.size(), found) != 0) continue;
        result.text.append(found); /* the input's own */
        at += found.size();
    }
    return result;
}

/* Cuts the fragments of text at one special token, as the library's tokenizer does. */
void marks::cut(const rendered &rendered, const special &special, std::vector<fragment> &fragments) const {
    const std::string &text = rendered.text, &mark = special.text;
    if (text.find(mark) == std::string::npos) return;
    std::vector<fragment> result;
    for (fragment rest : fragments) {
        for (size_t from = rest.begin; rest.token == LLAMA_TOKEN_NULL;) {
            size_t at = text.find(mark, from), end = at + mark.size();
            if (at == std::string::npos || end > rest.end) break;
            from = at + 1;
            if (special.is_control && has_guard(rendered.guards, at, end)) continue;
            size_t left = at;
            while (special.strips_left && left > rest.begin && is_space(text[left - 1])) left--;
            if (left > rest.begin) result.push_back({LLAMA_TOKEN_NULL, rest.begin, left});
            result.push_back({special.token, at, end});
            while (special.strips_right && end < rest.end && is_space(text[end])) end++;
            rest.begin = from = end;
        }
        if (rest.token != LLAMA_TOKEN_NULL || rest.begin < rest.end) result.push_back(rest);
    }
    fragments.swap(result);
}

/* A merge of ordinary pieces can have a control token's text: then its characters are taken one by one. */
void marks::add_characters(const std::string &text, size_t offset, std::vector<piece> &pieces) const {
    for (size_t at = 0; at < text.size();) {
        size_t next = at + 1;
        while (next < text.size() && (static_cast<unsigned char>(text[next]) & 0xC0) == 0x80) next++;
        std::string character = text.substr(at, next - at);
        llama_token found[8];
        int32_t n = llama_tokenize(vocab, character.data(), static_cast<int32_t>(character.size()), found, 8, false, false);
        /* A vocabulary that puts a space in front of each text does so here, too: only the last token is the character. */
        if (n > 0) pieces.push_back({found[n - 1], offset + at, offset + next});
        at = next;
    }
}

void marks::add_text(const rendered &rendered, const fragment &fragment, std::vector<piece> &pieces) const {
    size_t n_bytes = fragment.end - fragment.begin;
    const char *bytes = rendered.text.data() + fragment.begin;
    if (n_bytes > INT32_MAX / 4) throw std::runtime_error("the prompt is too long to be turned into tokens");
    std::vector<llama_token> found(n_bytes + 8);
    auto tokenize = [&] {
        return llama_tokenize(vocab, bytes, static_cast<int32_t>(n_bytes), found.data(), static_cast<int32_t>(found.size()), false, false);
    };
    int32_t n = tokenize();
    if (n < 0 && n != INT32_MIN) { /* a space counts three bytes where the vocabulary writes it as a character of its own */
        found.resize(static_cast<size_t>(-n));
        n = tokenize();
    }
    if (n < 0) throw std::runtime_error("the prompt cannot be turned into tokens");
    size_t at = fragment.begin;
    for (int32_t i = 0; i < n; i++) {
        char spelled[256];
        int32_t n_spelled = llama_token_to_piece(vocab, found[i], spelled, sizeof spelled, 0, true);
        size_t n_taken = n_spelled < 0 ? static_cast<size_t>(-n_spelled) : static_cast<size_t>(n_spelled);
        if (i == 0 && n_taken > 0 && spelled[0] == ' ' && rendered.text[at] != ' ') n_taken--; /* the vocabulary's */
        size_t end = std::min(at + n_taken, fragment.end);
        bool is_mark = (llama_vocab_get_attr(vocab, found[i]) & LLAMA_TOKEN_ATTR_CONTROL) != 0;
        if (is_mark) add_characters(rendered.text.substr(at, end - at), at, pieces);
        else pieces.push_back({found[i], at, end});
        at = end;
    }
}

std::vector<marks::piece> marks::tokens(const rendered &rendered) const {
    std::vector<fragment> fragments;
    if (!rendered.text.empty()) fragments.push_back({LLAMA_TOKEN_NULL, 0, rendered.text.size()});
    for (const special &special : specials) cut(rendered, special, fragments);
    std::vector<piece> pieces;
    llama_token bos = llama_vocab_bos(vocab);
    bool begins = llama_vocab_get_add_bos(vocab) && bos != LLAMA_TOKEN_NULL;
    if (begins) pieces.push_back({bos, 0, 0});
    for (const fragment &fragment : fragments) {
        if (fragment.token == LLAMA_TOKEN_NULL) add_text(rendered, fragment, pieces);
        else if (!(begins && fragment.token == bos && pieces.size() == 1)) pieces.push_back({fragment.token, fragment.begin, fragment.end});
    }
    return pieces;
}
