/* marks.hpp - which text becomes control tokens: what the template writes, never what a user, a tool or a document writes.
 *
 * The template's engine can mark inputs itself, but loses the marks where a template splits a text or prints JSON, and takes
 * a role for an input. So the inputs carry them: in front of each piece of an input that is a control token's text, or could
 * become one together with its neighbours, stands a guard, a character of a private plane of Unicode. Templates copy it with
 * the text. In what they rendered a control token counts only if no guard stands in it. Inputs without such pieces, nearly
 * all, are rendered as they are.
 */
#ifndef LLAMA_COMMON_MARKS_HPP
#define LLAMA_COMMON_MARKS_HPP

#include <json.h>
#include <llama.h>

#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

class marks {
  public:
    explicit marks(const llama_vocab *vocab);

    /* Whether an input needs guards, and the same with them. Of JSON every text and every key counts; `verbatim` keys keep
     * their values ("role"). */
    bool needs_guard(const std::string &text) const;
    bool needs_guard(const common_json &value) const;
    std::string guarded(const std::string &text) const;
    common_json guarded(const common_json &value) const;

    /* A rendered text without its guards, and where they stood in it. */
    struct rendered {
        std::string text;
        std::vector<size_t> guards; /* ascending */
    };
    static rendered without_guards(const std::string &text);

    /* A token, and the bytes of the text that it stands for. */
    struct piece {
        llama_token token;
        size_t begin, end;
    };
    /* The tokens of a rendered text, as the library's tokenizer makes them of the whole, but for control tokens with guards
     * in them. One BOS at the beginning if the vocabulary wants one; no EOS behind. Throws std::runtime_error. */
    std::vector<piece> tokens(const rendered &rendered) const;

    bool is_control(llama_token token) const;

  private:
    struct special {
        llama_token token;
        std::string text;
        bool is_control, strips_left, strips_right;
    };
    struct fragment {
        llama_token token; /* LLAMA_TOKEN_NULL: text */
        size_t begin, end;
    };

    const llama_vocab *vocab;
    std::vector<special> specials; /* longest first, as the library goes through them */
    std::unordered_map<std::string, std::vector<size_t>> by_beginning; /* of two bytes, of control tokens */
    std::unordered_set<std::string> endings; /* of control tokens' texts, not whole ones */
    bool begins_one[256] = {};             /* whether a control token's text begins with this byte */
    size_t longest = 0;

    std::vector<size_t> guard_places(const std::string &text) const;
    bool begins_mark(const std::string &text, size_t at, bool may_be_cut) const;
    void cut(const rendered &rendered, const special &special, std::vector<fragment> &fragments) const;
    void add_text(const rendered &rendered, const fragment &fragment, std::vector<piece> &pieces) const;
    void add_characters(const std::string &text, size_t offset, std::vector<piece> &pieces) const;
};

#endif
