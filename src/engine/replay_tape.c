/* replay_tape.c - see replay_tape.h. */
#include "replay_tape.h"

#include "../text/json.h"
#include "../text/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN_BYTES 16
#define PAUSE_MOST_MS 3600000

/* ---- tokens of a text ---------------------------------------------------------------------------------------------- */

static bool is_white(char byte) {
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

size_t replay_token_length(const char *text, size_t n_bytes) {
    size_t n_limit = n_bytes <= TOKEN_BYTES ? n_bytes : TOKEN_BYTES + 1; /* one more shows that the word goes on */
    size_t n = 0;
    while (n < n_limit && is_white(text[n])) n++;
    while (n < n_limit && !is_white(text[n])) n++;
    if (n > TOKEN_BYTES) n = utf8_fit(text, n_bytes, TOKEN_BYTES);
    return n;
}

int32_t replay_count_tokens(const char *text) {
    size_t n_bytes = strlen(text);
    int32_t n_tokens = 0;
    for (size_t at = 0; at < n_bytes && n_tokens < INT32_MAX; n_tokens++) at += replay_token_length(text + at, n_bytes - at);
    return n_tokens;
}

static bool cut_text(replay_tape *tape, size_t n_bytes) {
    tape->n_tokens = replay_count_tokens(tape->words);
    tape->events = calloc((size_t)tape->n_tokens, sizeof *tape->events);
    tape->answers = malloc(sizeof *tape->answers);
    if (!tape->events || !tape->answers) return false;
    size_t at = 0;
    for (int32_t i = 0; i < tape->n_tokens; i++) {
        size_t length = replay_token_length(tape->words + at, n_bytes - at);
        tape->events[i] = (tape_event){.kind = TAPE_TOKEN, .n_bytes = (uint32_t)length, .text = tape->words + at, .number = i};
        at += length;
    }
    tape->n_events = (uint32_t)tape->n_tokens;
    tape->answers[tape->n_answers++] = (tape_answer){.n_events = tape->n_events, .n_tokens = tape->n_tokens, .n_prompt = -1};
    return true;
}

/* ---- scripts ------------------------------------------------------------------------------------------------------- */

typedef struct reader {
    replay_tape *tape;
    const char *at;           /* in the line */
    unsigned line;
    double pause_ms;          /* before the next event */
    engine_part_kind last;    /* what grows */
    const char *wrong;        /* what is wrong with the line; NULL: nothing */
} reader;

static bool fail(reader *reader, const char *wrong) {
    if (!reader->wrong) reader->wrong = wrong;
    return false;
}

static void skip_blanks(reader *reader) {
    while (*reader->at == ' ' || *reader->at == '\t') reader->at++;
}

static bool take_word(reader *reader, const char *word) {
    size_t length = strlen(word);
    skip_blanks(reader);
    char behind = strncmp(reader->at, word, length) == 0 ? reader->at[length] : 'x';
    if (behind != 0 && behind != ' ' && behind != '\t') return false;
    reader->at += length;
    return true;
}

static bool take_number(reader *reader, double most, double *number) {
    char *end;
    skip_blanks(reader);
    *number = strtod(reader->at, &end);
    if (end == reader->at || !(*number >= 0 && *number <= most)) return fail(reader, "a number is missing, or out of its bounds");
    reader->at = end;
    return true;
}

/* A string, without its quotes and escapes and terminated, among the words. There is room: they are shorter than the script. */
static bool take_string(reader *reader, const char **string, size_t *n_bytes) {
    replay_tape *tape = reader->tape;
    json_slice value;
    size_t length = 1;
    skip_blanks(reader);
    if (*reader->at != '"') return fail(reader, "a string in quotes is missing");
    for (; reader->at[length] && reader->at[length] != '"'; length++)
        if (reader->at[length] == '\\' && reader->at[length + 1]) length++;
    if (!reader->at[length] || !json_check(reader->at, length + 1, &value, NULL))
        return fail(reader, "a string is not as in JSON");
    *string = tape->words + tape->n_words;
    *n_bytes = json_text(value, tape->words + tape->n_words);
    tape->n_words += *n_bytes + 1;
    reader->at += length + 1;
    return true;
}

static bool take_end_of_line(reader *reader) {
    skip_blanks(reader);
    return *reader->at == 0 || *reader->at == '#' || fail(reader, "there is more on the line than belongs there");
}

static tape_answer *answer_of(reader *reader) {
    if (reader->tape->n_answers > 0) return &reader->tape->answers[reader->tape->n_answers - 1];
    fail(reader, "there is no answer yet: write \"answer\" before it");
    return NULL;
}

static tape_event *add_event(reader *reader, tape_event_kind kind) {
    replay_tape *tape = reader->tape;
    tape_answer *answer = answer_of(reader);
    if (!answer) return NULL;
    if (answer->n_events > 0 && tape->events[tape->n_events - 1].kind == TAPE_END) {
        fail(reader, "nothing can stand behind an answer's end but another answer");
        return NULL;
    }
    tape_event *event = &tape->events[tape->n_events++];
    *event = (tape_event){.kind = (uint8_t)kind, .text = "", .first_delta = tape->n_deltas,
                          .pause_us = (uint32_t)(reader->pause_ms * 1000)};
    answer->n_events++;
    reader->pause_ms = 0;
    if (kind != TAPE_TOKEN) return event;
    event->number = tape->n_tokens++;
    answer->n_tokens++;
    return event;
}

/* What a token, or the end, adds. */
static bool take_addition(reader *reader, tape_event *event) {
    replay_tape *tape = reader->tape;
    const char *string, *name = NULL;
    size_t n_bytes, n_name;
    bool is_text = take_word(reader, "text"), is_thought = !is_text && take_word(reader, "thought");
    bool is_call = !is_text && !is_thought && take_word(reader, "call");
    if (!is_text && !is_thought && !is_call && !take_word(reader, "arguments")) return fail(reader, "the word is not known");
    if (!take_string(reader, &string, &n_bytes) || (is_call && !take_string(reader, &name, &n_name))) return false;
    if (is_call && (n_bytes > ENGINE_CALL_ID_MAX || n_name > ENGINE_CALL_NAME_MAX || n_name == 0))
        return fail(reader, "a call's id or name is too long, or it has no name");
    if (is_text) {
        if (event->n_bytes > 0) return fail(reader, "a token has one text");
        event->text = string;
        event->n_bytes = (uint32_t)n_bytes;
        if (n_bytes > 0) reader->last = ENGINE_PART_TEXT;
        return true;
    }
    engine_part_kind kind = is_thought ? ENGINE_PART_THOUGHT : ENGINE_PART_CALL;
    if (!is_thought && !is_call && reader->last != ENGINE_PART_CALL) return fail(reader, "arguments follow a call");
    tape->deltas[tape->n_deltas++] = (engine_delta){
        .kind = kind, .begins = is_call || reader->last != kind, .n_before = event->n_bytes, .id = is_call ? string : NULL,
        .name = name, .bytes = is_call ? "" : string, .n_bytes = is_call ? 0 : n_bytes,
    };
    event->n_deltas++;
    reader->last = kind;
    return true;
}

static bool read_end(reader *reader) {
    tape_event *event = add_event(reader, TAPE_END);
    size_t n_why;
    if (!event) return false;
    event->end = ENGINE_END_TURN;
    if (take_word(reader, "limit")) event->end = ENGINE_END_LIMIT;
    else if (take_word(reader, "context")) event->end = ENGINE_END_CONTEXT;
    else if (take_word(reader, "cancelled")) event->end = ENGINE_END_CANCELLED;
    else if (take_word(reader, "failed")) event->end = ENGINE_END_FAILED;
    return event->end != ENGINE_END_FAILED || take_string(reader, &event->why, &n_why);
}

static bool read_prompt(reader *reader) {
    double n_prompt, n_cached = 0;
    tape_answer *answer = answer_of(reader);
    if (!answer || !take_number(reader, INT32_MAX, &n_prompt)) return false;
    skip_blanks(reader);
    if (*reader->at && *reader->at != '#' && !take_number(reader, n_prompt, &n_cached)) return false;
    answer->n_prompt = (int32_t)n_prompt;
    answer->n_cached = (int32_t)n_cached;
    return true;
}

static bool read_read(reader *reader) {
    double number;
    tape_event *event = add_event(reader, TAPE_READ);
    if (!event || !take_number(reader, INT32_MAX, &number)) return false;
    if (answer_of(reader)->n_tokens > 0) return fail(reader, "the prompt is read before the first token");
    event->number = (int32_t)number;
    return true;
}

static bool read_pause(reader *reader) {
    double pause_ms;
    if (!take_number(reader, PAUSE_MOST_MS, &pause_ms)) return false;
    reader->pause_ms += pause_ms;
    return reader->pause_ms <= PAUSE_MOST_MS || fail(reader, "more than an hour of pauses");
}

static bool read_loads(reader *reader) {
    double load_ms;
    if (!take_number(reader, PAUSE_MOST_MS, &load_ms)) return false;
    reader->tape->load_ms = (uint32_t)load_ms;
    return true;
}

static bool begin_answer(reader *reader) {
    replay_tape *tape = reader->tape;
    tape->answers[tape->n_answers++] = (tape_answer){.first = tape->n_events, .first_token = tape->n_tokens, .n_prompt = -1};
    reader->last = ENGINE_PART_TEXT;
    reader->pause_ms = 0;
    return true;
}

static bool read_crash(reader *reader) {
    tape_event *event = add_event(reader, TAPE_CRASH);
    if (event) event->is_always = take_word(reader, "always");
    return event != NULL;
}

static bool read_line(reader *reader) {
    replay_tape *tape = reader->tape;
    if (take_word(reader, "answer")) return begin_answer(reader);
    if (take_word(reader, "loads")) return read_loads(reader);
    if (take_word(reader, "prompt")) return read_prompt(reader);
    if (take_word(reader, "read")) return read_read(reader);
    if (take_word(reader, "pause")) return read_pause(reader);
    if (take_word(reader, "crash")) return read_crash(reader);
    if (take_word(reader, "end")) return read_end(reader);
    if (take_word(reader, "token")) return add_event(reader, TAPE_TOKEN) != NULL;
    tape_event *last = tape->n_events > 0 ? &tape->events[tape->n_events - 1] : NULL;
    if (!take_word(reader, "&")) {
        tape_event *event = add_event(reader, TAPE_TOKEN);
        return event && take_addition(reader, event);
    }
    bool has_token = last && answer_of(reader)->n_events > 0 && (last->kind == TAPE_TOKEN || last->kind == TAPE_END);
    return has_token ? take_addition(reader, last) : fail(reader, "there is no token before it to which it could belong");
}

/* As much room as the script has lines: no line makes more than one of anything. */
static bool make_room(replay_tape *tape, const char *text, size_t n_bytes) {
    size_t n_lines = 1;
    for (size_t i = 0; i < n_bytes; i++) n_lines += text[i] == '\n';
    tape->words = malloc(n_bytes + 1);
    tape->events = malloc(n_lines * sizeof *tape->events);
    tape->deltas = malloc(n_lines * sizeof *tape->deltas);
    tape->answers = malloc(n_lines * sizeof *tape->answers);
    return tape->words && tape->events && tape->deltas && tape->answers;
}

/* `text` is the script, whose newlines become zero bytes. Returns the number of the line that is wrong; 0: none. */
static unsigned read_script(reader *reader, char *text) {
    char *line = text;
    for (reader->line = 1; line; reader->line++) {
        char *end = strchr(line, '\n'), *next = end ? end + 1 : NULL;
        if (end) *end = 0;
        if (end && end > line && end[-1] == '\r') end[-1] = 0;
        reader->at = line;
        skip_blanks(reader);
        bool is_empty = *reader->at == 0 || *reader->at == '#' || reader->line == 1;
        if (!is_empty && (!read_line(reader) || !take_end_of_line(reader))) return reader->line;
        line = next;
    }
    if (reader->tape->n_answers > 0) return 0;
    fail(reader, "there is no answer in it");
    return reader->line - 1;
}

static bool is_script(const char *text) {
    size_t length = strlen(REPLAY_TAPE_MAGIC);
    return strncmp(text, REPLAY_TAPE_MAGIC, length) == 0 && (text[length] == '\n' || text[length] == '\r' || text[length] == 0);
}

int replay_tape_read(char *text, size_t n_bytes, replay_tape *tape, char *message, size_t message_size) {
    reader reader = {.tape = tape};
    *tape = (replay_tape){.is_script = is_script(text)};
    int error = ENGINE_OK;
    unsigned line = 0;
    if (!tape->is_script) tape->words = text;
    if (tape->is_script ? !make_room(tape, text, n_bytes) : !cut_text(tape, n_bytes)) {
        error = ENGINE_E_NO_MEMORY;
        snprintf(message, message_size, "not enough memory for what is to be played");
    } else if (tape->is_script && (line = read_script(&reader, text)) > 0) {
        error = ENGINE_E_MODEL_BAD;
        snprintf(message, message_size, "line %u of the script: %s", line, reader.wrong);
    }
    if (tape->is_script) free(text);
    if (error < 0) replay_tape_free(tape);
    return error;
}

void replay_tape_free(replay_tape *tape) {
    free(tape->words);
    free(tape->events);
    free(tape->deltas);
    free(tape->answers);
    *tape = (replay_tape){0};
}
