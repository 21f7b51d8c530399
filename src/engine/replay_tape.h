/* replay_tape.h - what a replay engine plays: a text, or a script of answers with thoughts, calls, pauses and failures.
 *
 * A script is a text file whose first line is REPLAY_TAPE_MAGIC. `chatbot --record FILE` writes such files; by hand:
 *
 *     lipc replay 1
 *     # a comment; empty lines mean nothing
 *     loads 2000                      the model takes 2,000 ms to load
 *     answer                          the first answer of a conversation
 *     prompt 34 12                    of a prompt of 34 tokens, of which 12 were known already
 *     read 20                         20 of them are read
 *     thought "Let me see."           a token of a thought
 *     token                           one that shows nothing: half a character, half a mark
 *     pause 150                       150 ms before what follows
 *     text " The answer"              a token of the answer
 *     & call "id" "calculate"         the same token also begins the call of a tool; "" as id: the host makes one
 *     arguments "{\"x\":"             a token of its arguments
 *     arguments "1}"
 *     crash                           the process dies here, and goes on when it is started again; "crash always"
 *     end                             as the model ends; or: end limit, end context, end cancelled, end failed "why"
 *     & text "!"                      ... and what was held back till then
 *     answer                          the second answer, to a conversation that has one of the assistant's messages
 *
 * Strings are JSON strings. A thought behind something else begins a new one; "& ..." belongs to the token, or the end, before it.
 *
 * Of any other file the text is played: a token is a word with the white space before it, at most 16 bytes long, whole
 * characters only, so that where tokens end depends on the text alone.
 */
#ifndef ENGINE_REPLAY_TAPE_H
#define ENGINE_REPLAY_TAPE_H

#include "engine.h"

#define REPLAY_TAPE_MAGIC "lipc replay 1"

typedef enum tape_event_kind {
    TAPE_READ,  /* progress in the prompt */
    TAPE_TOKEN,
    TAPE_CRASH,
    TAPE_END
} tape_event_kind;

typedef struct tape_event {
    uint8_t kind;         /* tape_event_kind */
    uint8_t end;          /* of an END: engine_end */
    bool is_always;       /* of a CRASH: also in the process that comes after one */
    uint32_t n_bytes;     /* of text */
    const char *text;     /* of a TOKEN or END; of an END that failed `why` is the reason */
    const char *why;
    uint32_t first_delta, n_deltas;
    uint32_t pause_us;    /* before it */
    int32_t number;       /* of a READ: tokens of the prompt that are done; of a TOKEN: its id */
} tape_event;

typedef struct tape_answer {
    uint32_t first, n_events; /* the last is an END, or the answer ends by itself behind it */
    int32_t first_token, n_tokens;
    int32_t n_prompt;         /* negative: what the request has */
    int32_t n_cached;
} tape_answer;

typedef struct replay_tape {
    char *words;              /* what the events point to */
    size_t n_words;
    tape_event *events;
    uint32_t n_events;
    engine_delta *deltas;
    uint32_t n_deltas;
    tape_answer *answers;
    uint32_t n_answers;
    int32_t n_tokens;
    uint32_t load_ms;
    bool is_script;
} replay_tape;

/* Length of the token at the beginning of a text; n_bytes must be positive. */
size_t replay_token_length(const char *text, size_t n_bytes);

/* How many tokens a text has. */
int32_t replay_count_tokens(const char *text);

/* Takes `text` over, which is valid UTF-8 and was allocated with malloc. Errors: MODEL_BAD (the script has a line that is
 * none: `message` says which), NO_MEMORY. */
int replay_tape_read(char *text, size_t n_bytes, replay_tape *tape, char *message, size_t message_size);

void replay_tape_free(replay_tape *tape);

#endif
