/* answer.cpp - see answer.h. */
#include "answer.h"
#include "chat.hpp"

#include <algorithm>
#include <cstring>
#include <list>
#include <new>
#include <regex>

/* Deltas point into texts that stay where they are. */
struct answer_output {
    std::string text;
    std::vector<engine_delta> deltas;
    std::list<std::string> kept;

    const char *keep(const std::string &bytes) {
        return kept.emplace_back(bytes).c_str();
    }
};

struct answer_reader {
    const chat_prompt *prompt;
    common_chat_parser_params params;
    std::string raw;          /* the answer's text so far, marks and all */
    common_chat_msg shown;    /* what of it was shown */
    engine_part_kind growing = ENGINE_PART_TEXT; /* the part that was shown last */
    size_t n_parsed = 0;      /* bytes of raw that the last parse saw */
    bool is_open_ended = false; /* all of them were shown, in the part that grows */
    bool has_stopped = false;

    bool marks_begin[256] = {}; /* bytes that a mark of the parser begins with */
    bool can_skip = false;      /* between marks all text goes into the part that grows */

    std::vector<llama_token> preserved; /* a few */
    std::vector<std::string> stops;

    bool is_triggered = false, is_trigger_new = false;
    size_t thinking_begin = 0; /* where the last thought began and ended: a lazy grammar does not begin before */
    size_t thinking_end = 0;
    size_t trigger_at = 0;

    bool is_thinking = false;
    int n_thought = 0;         /* tokens of thoughts */
    std::vector<llama_token> forced; /* what ends them, once their budget is spent */

    explicit answer_reader(const chat_prompt *prompt) : prompt(prompt), params(prompt->params) {}
};

namespace {

/* ---- marks of the parser ---- */

bool is_blank(char c) {
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* Text without bytes that a mark begins with can be shown without parsing all of it again, if the parser only looks for
 * marks. */
void learn_marks(answer_reader &reader) {
    const common_peg_arena &arena = reader.params.parser;
    reader.can_skip = !reader.prompt->has_schema;
    auto begin_with = [&](const std::string &mark) {
        if (!mark.empty()) reader.marks_begin[static_cast<unsigned char>(mark[0])] = true;
    };
    for (size_t i = 0; i < arena.size(); i++) {
        const common_peg_parser_variant &parser = arena.get(i);
        if (auto *until = std::get_if<common_peg_until_parser>(&parser))
            for (const std::string &mark : until->delimiters) begin_with(mark);
        if (auto *literal = std::get_if<common_peg_literal_parser>(&parser)) begin_with(literal->literal);
        if (auto *search = std::get_if<common_peg_ac_parser>(&parser))
            for (const auto &mark : search->delimiters) begin_with(mark);
    }
}

/* ---- stops ---- */

/* How much of the text may be shown: up to a stop, or what could become one. */
size_t before_stops(answer_reader &reader, size_t n_before, bool is_last) {
    size_t n_visible = reader.raw.size();
    for (const std::string &stop : reader.stops) {
        size_t from = n_before < stop.size() ? 0 : n_before - stop.size();
        size_t at = reader.raw.find(stop, from);
        if (at != std::string::npos) {
            reader.has_stopped = true;
            n_visible = std::min(n_visible, at);
            continue;
        }
        for (size_t n = std::min(stop.size() - 1, reader.raw.size()); n > 0 && !is_last; n--) {
            if (reader.raw.compare(reader.raw.size() - n, n, stop, 0, n) != 0) continue;
            n_visible = std::min(n_visible, reader.raw.size() - n);
            break;
        }
    }
    return n_visible;
}

/* ---- thoughts and triggers ---- */

void watch_thoughts(answer_reader &reader, size_t n_before, bool has_token) {
    const common_chat_params &params = reader.prompt->params;
    if (params.thinking_start_tag.empty() || params.thinking_end_tags.empty()) return;
    if (reader.is_thinking && has_token) reader.n_thought++;
    size_t from = n_before < 64 ? 0 : n_before - 64;
    for (bool found = true; found;) {
        found = false;
        if (!reader.is_thinking) {
            size_t at = reader.raw.find(params.thinking_start_tag, std::max(from, reader.thinking_end));
            if (at == std::string::npos) return;
            reader.is_thinking = found = true;
            reader.thinking_begin = from = at + params.thinking_start_tag.size();
        } else {
            for (const std::string &tag : params.thinking_end_tags) {
                size_t at = reader.raw.find(tag, std::max(from, reader.thinking_begin));
                if (at == std::string::npos) continue;
                reader.is_thinking = false;
                reader.thinking_end = from = at + tag.size();
                found = true;
                break;
            }
        }
    }
}

void watch_triggers(answer_reader &reader, size_t n_before) {
    const common_chat_params &params = reader.prompt->params;
    if (reader.is_triggered || !params.grammar_lazy || reader.is_thinking) return;
    size_t best = std::string::npos;
    for (const common_grammar_trigger &trigger : params.grammar_triggers) {
        const std::string &value = trigger.value;
        if (trigger.type == COMMON_GRAMMAR_TRIGGER_TYPE_WORD || trigger.type == COMMON_GRAMMAR_TRIGGER_TYPE_TOKEN) {
            size_t from = n_before < value.size() ? 0 : n_before - value.size();
            best = std::min(best, reader.raw.find(value, std::max(from, reader.thinking_end)));
            continue;
        }
        std::smatch match;
        std::string text = reader.raw.substr(reader.thinking_end);
        bool is_full = trigger.type == COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN_FULL;
        std::regex pattern(value);
        if (is_full ? !std::regex_match(text, match, pattern) : !std::regex_search(text, match, pattern)) continue;
        size_t group = 0; /* the first one that matched, if there are groups */
        for (size_t i = 1; i < match.size() && group == 0; i++)
            if (match.length(i) > 0) group = i;
        best = std::min(best, reader.thinking_end + static_cast<size_t>(match.position(group)));
    }
    if (best == std::string::npos) return;
    reader.is_triggered = reader.is_trigger_new = true;
    reader.trigger_at = best;
}

/* ---- parts ---- */

void add_text(answer_reader &reader, answer_output &output, const std::string &bytes) {
    if (bytes.empty()) return;
    output.text += bytes;
    reader.growing = ENGINE_PART_TEXT;
}

void add_thought(answer_reader &reader, answer_output &output, const std::string &bytes) {
    if (bytes.empty()) return;
    engine_delta delta = {};
    delta.kind = ENGINE_PART_THOUGHT;
    delta.begins = reader.growing != ENGINE_PART_THOUGHT;
    delta.n_before = output.text.size();
    delta.bytes = output.keep(bytes);
    delta.n_bytes = bytes.size();
    output.deltas.push_back(delta);
    reader.growing = ENGINE_PART_THOUGHT;
}

void add_call(answer_reader &reader, answer_output &output, const common_chat_tool_call &call, size_t n_shown, bool begins) {
    engine_delta delta = {};
    std::string bytes = call.arguments.substr(n_shown);
    if (bytes.empty() && !begins) return;
    delta.kind = ENGINE_PART_CALL;
    delta.begins = begins;
    delta.n_before = output.text.size();
    delta.id = begins ? output.keep(call.id) : nullptr;
    delta.name = begins ? output.keep(call.name) : nullptr;
    delta.bytes = output.keep(bytes);
    delta.n_bytes = bytes.size();
    output.deltas.push_back(delta);
    reader.growing = ENGINE_PART_CALL;
}

bool begins_with(const std::string &text, const std::string &beginning) {
    return text.compare(0, beginning.size(), beginning) == 0;
}

/* A call begins to be shown when its name is whole: its arguments have begun, or it is over. What was shown stays: a parser
 * that changes its mind about it is not followed. */
void show_calls(answer_reader &reader, answer_output &output, const common_chat_msg &parsed, answer_state state) {
    auto &shown = reader.shown.tool_calls;
    for (size_t i = 0; i < parsed.tool_calls.size(); i++) {
        const common_chat_tool_call &call = parsed.tool_calls[i];
        bool is_over = i + 1 < parsed.tool_calls.size() || state == ANSWER_COMPLETE;
        if (i >= shown.size()) {
            if (call.name.empty() || (call.arguments.size() <= 1 && !is_over)) return;
            add_call(reader, output, call, 0, true);
            shown.push_back(call);
        } else if (i + 1 == shown.size() && begins_with(call.arguments, shown[i].arguments)) {
            add_call(reader, output, call, shown[i].arguments.size(), false);
            shown[i].arguments = call.arguments;
        }
    }
}

void show(answer_reader &reader, answer_output &output, const common_chat_msg &parsed, answer_state state) {
    common_chat_msg &shown = reader.shown;
    if (begins_with(parsed.reasoning_content, shown.reasoning_content)) {
        add_thought(reader, output, parsed.reasoning_content.substr(shown.reasoning_content.size()));
        shown.reasoning_content = parsed.reasoning_content;
    }
    if (begins_with(parsed.content, shown.content)) {
        add_text(reader, output, parsed.content.substr(shown.content.size()));
        shown.content = parsed.content;
    }
    show_calls(reader, output, parsed, state);
}

/* Where the last parse showed all there was, and nothing that a mark could begin with has come since. */
bool extend(answer_reader &reader, answer_output &output, size_t n_visible) {
    if (!reader.can_skip || !reader.is_open_ended || n_visible < reader.n_parsed) return false;
    std::string bytes = reader.raw.substr(reader.n_parsed, n_visible - reader.n_parsed);
    if (bytes.empty()) return true;
    for (char c : bytes)
        if (reader.marks_begin[static_cast<unsigned char>(c)]) return false;
    if (is_blank(bytes.back())) return false;
    bool is_thought = reader.growing == ENGINE_PART_THOUGHT;
    if (is_thought) add_thought(reader, output, bytes);
    else add_text(reader, output, bytes);
    (is_thought ? reader.shown.reasoning_content : reader.shown.content) += bytes;
    reader.n_parsed = n_visible;
    return true;
}

/* Whether the text that was parsed ends with the part that grows, byte for byte. */
bool shows_all(const answer_reader &reader, size_t n_visible) {
    const std::string &part = reader.growing == ENGINE_PART_THOUGHT ? reader.shown.reasoning_content : reader.shown.content;
    constexpr size_t n_compared = 16;
    size_t n = std::min({n_compared, part.size(), n_visible});
    return reader.growing != ENGINE_PART_CALL && n > 0 && !is_blank(part.back()) &&
           reader.raw.compare(n_visible - n, n, part, part.size() - n, n) == 0;
}

void read(answer_reader &reader, answer_output &output, size_t n_visible, answer_state state) {
    common_chat_msg parsed;
    if (reader.params.parser.empty()) {
        parsed.content = reader.raw.substr(0, n_visible);
        return show(reader, output, parsed, state);
    }
    if (state == ANSWER_GOES_ON && extend(reader, output, n_visible)) return;
    std::string text = reader.raw.substr(0, n_visible);
    try {
        parsed = common_chat_parse(text, state != ANSWER_COMPLETE, reader.params);
    } catch (const std::exception &) {
        if (state == ANSWER_GOES_ON) return; /* more may make sense of it */
        bool is_nothing_shown = reader.shown.content.empty() && reader.shown.reasoning_content.empty() && reader.shown.tool_calls.empty();
        if (is_nothing_shown) parsed.content = text;
        else parsed = reader.shown;
    }
    show(reader, output, parsed, state);
    reader.n_parsed = n_visible;
    reader.is_open_ended = shows_all(reader, n_visible);
}

/* ---- making a reader ---- */

/* Where a message is continued, the parser finds its beginning, too: that counts as shown, as its readers have it. */
void take_beginning(answer_reader &reader) {
    if (!reader.params.is_continuation || reader.params.parser.empty()) return;
    try {
        reader.shown = common_chat_parse("", true, reader.params);
    } catch (const std::exception &) {
        /* nothing of it is found, and so nothing will be shown of it */
    }
}

void prepare(answer_reader &reader) {
    const chat_prompt &prompt = *reader.prompt;
    const llama_vocab *vocab = prompt.chat->vocab;
    reader.params.reasoning_format = prompt.reasoning_format;
    reader.params.parse_tool_calls = prompt.parses_calls;
    reader.params.is_continuation = prompt.is_continuation;
    if (!prompt.params.parser.empty()) reader.params.parser.load(prompt.params.parser);
    learn_marks(reader);
    take_beginning(reader);
    for (const std::string &mark : prompt.params.preserved_tokens) {
        std::vector<llama_token> tokens = common_tokenize(vocab, mark, false, true);
        if (tokens.size() == 1) reader.preserved.push_back(tokens[0]);
    }
    for (const std::string &stop : prompt.params.additional_stops)
        if (!stop.empty()) reader.stops.push_back(stop);
    const common_chat_params &params = prompt.params;
    if (params.thinking_start_tag.empty() || params.thinking_end_tags.empty()) return;
    size_t begin = params.generation_prompt.rfind(params.thinking_start_tag);
    reader.is_thinking = begin != std::string::npos;
    for (const std::string &tag : params.thinking_end_tags)
        if (reader.is_thinking && params.generation_prompt.find(tag, begin) != std::string::npos) reader.is_thinking = false;
    reader.forced = common_tokenize(vocab, params.thinking_end_tags[0], false, true);
}

} // namespace

/* ---- the plain C of it ---- */

answer_reader *answer_reader_new(const chat_prompt *prompt, char *message, size_t message_size) {
    try {
        auto reader = std::make_unique<answer_reader>(prompt);
        prepare(*reader);
        return reader.release();
    } catch (const std::exception &error) {
        snprintf(message, message_size, "the answers of this chat template cannot be read: %s", error.what());
        return nullptr;
    }
}

bool answer_reader_preserves(const answer_reader *reader, llama_token token) {
    return std::find(reader->preserved.begin(), reader->preserved.end(), token) != reader->preserved.end();
}

const llama_token *answer_reader_preserved(const answer_reader *reader, size_t *n_tokens) {
    *n_tokens = reader->preserved.size();
    return reader->preserved.data();
}

answer_output *answer_output_new(void) {
    return new (std::nothrow) answer_output;
}

void answer_output_clear(answer_output *output) {
    output->text.clear();
    output->deltas.clear();
    output->kept.clear();
}

const char *answer_output_text(const answer_output *output, size_t *n_bytes) {
    *n_bytes = output->text.size();
    return output->text.c_str();
}

const engine_delta *answer_output_deltas(const answer_output *output, size_t *n_deltas) {
    *n_deltas = output->deltas.size();
    return output->deltas.data();
}

void answer_output_free(answer_output *output) {
    delete output;
}

bool answer_reader_take(answer_reader *reader, const char *bytes, size_t n_bytes, answer_state state, answer_output *output) {
    try {
        if (reader->has_stopped) return true;
        size_t n_before = reader->raw.size();
        reader->raw.append(bytes, n_bytes);
        size_t n_visible = before_stops(*reader, n_before, state != ANSWER_GOES_ON);
        watch_thoughts(*reader, n_before, state == ANSWER_GOES_ON);
        watch_triggers(*reader, n_before);
        read(*reader, *output, n_visible, reader->has_stopped ? ANSWER_COMPLETE : state);
        return true;
    } catch (const std::exception &) {
        return false;
    }
}

bool answer_reader_has_stopped(const answer_reader *reader) {
    return reader->has_stopped;
}

const char *answer_reader_grammar(const answer_reader *reader, bool *is_lazy, const char **prefix) {
    const common_chat_params &params = reader->prompt->params;
    *is_lazy = params.grammar_lazy;
    *prefix = reader->prompt->grammar_prefix.c_str();
    return params.grammar.empty() ? nullptr : params.grammar.c_str();
}

bool answer_reader_trigger(answer_reader *reader, const char **bytes, size_t *n_bytes) {
    if (!reader->is_trigger_new) return false;
    reader->is_trigger_new = false;
    *bytes = reader->raw.data() + reader->trigger_at;
    *n_bytes = reader->raw.size() - reader->trigger_at;
    return true;
}

bool answer_reader_forces(const answer_reader *reader, llama_token *token) {
    int budget = reader->prompt->thinking_budget;
    if (budget < 0 || !reader->is_thinking || reader->n_thought < budget) return false;
    size_t next = static_cast<size_t>(reader->n_thought - budget);
    if (next >= reader->forced.size()) return false;
    *token = reader->forced[next];
    return true;
}

void answer_reader_free(answer_reader *reader) {
    delete reader;
}
