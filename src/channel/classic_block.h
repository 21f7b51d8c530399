/* classic_block.h - reading and writing the classic block, both sides of it. No system calls: waking is the caller's.
 *
 * The host's side is a classic_writer: its truth is private, the block only shows it. Several processes read while one
 * writes; what a reader sees at any instant is whole characters and a prefix of the final text:
 *
 *     block before                "Hel\0........"      the writer knows the length, 3, from its own memory
 *     1. the rest of the new text "Hel\0o w....."      behind the terminator: nobody looks there
 *     2. the new terminator       "Hel\0o w\0..."
 *        a pause of CLASSIC_COPY_NS: see below
 *     3. the terminator's byte    "Hello w\0..."       one byte, release: the old text or the new one, nothing between
 *     4. update_counter, tokens_generated, then the caller's post
 *
 * The pause. Clients copy all 32,768 bytes at once, and a bulk copy does not read in order: `rep movs` and wide vector
 * loads may take the bytes of 1 before and the byte of 3 after they were written, and the client sees half of the new
 * text. A copy takes a microsecond or two. With a longer pause between 2 and 3, a copy that sees 3 began after 2. (Seen
 * without it: every second run of the test snapshots_whole.)
 *
 * A writer that dies after 1 or 2 has changed nothing visible; after 3 the text is whole and one update ahead of the
 * counters, which a client cannot tell from having read early. Its successor makes the same text again (from what the
 * host keeps for that, not from the block) and goes on behind it. A client that dies at any point has written only words
 * that the host copies once (classic_block_take) or treats as a yes or no.
 */
#ifndef CHANNEL_CLASSIC_BLOCK_H
#define CHANNEL_CLASSIC_BLOCK_H

#include "lipc/layout.h"

#include <stdbool.h>

/* ---- host -------------------------------------------------------------------------------------------------------- */

/* What a client asked for, copied once and made fit to use: zero-terminated valid UTF-8. */
typedef struct classic_request {
    /* A byte that is not UTF-8 becomes a three-byte character. */
    char system_prompt[3 * LIPC_PROMPT_SIZE];
    char user_prompt[3 * LIPC_PROMPT_SIZE];
    bool stream;
    bool shutdown;
    uint32_t reader; /* what the client that has its turn left in the block's word; 0: a client of the guide */
} classic_request;

/* Zeroes the whole block: at the host's start, before anybody may use it. */
void classic_block_reset(lipc_classic_block *block);

/* Copies the request out of the block. Prompts end at their first zero byte or at 4,096 bytes; a character cut at the
 * end is dropped, other bytes that are not UTF-8 become U+FFFD. */
void classic_block_take(const lipc_classic_block *block, classic_request *request);

/* Flags that a client may raise while the host works. Relaxed: they carry no other data. */
bool classic_block_cancel_requested(const lipc_classic_block *block);
bool classic_block_shutdown_requested(const lipc_classic_block *block);
void classic_block_clear_cancel(lipc_classic_block *block);

/* Whose turn it is; both sides. Acquire: a host that finds the number gone may let the next client write over what was
 * read. A client that finds its number still there behind its copy of the text has copied its own: classic_block_read_text
 * has ordered its loads before this one. */
uint32_t classic_block_reader(const lipc_classic_block *block);
/* Puts another number there, unless it has changed. Release: what was read before was read. */
void classic_block_change_reader(lipc_classic_block *block, uint32_t from, uint32_t to);

typedef struct classic_writer {
    lipc_classic_block *block;
    size_t n_bytes;     /* length of the published text */
    size_t n_prepared;  /* bytes behind it that are not shown yet */
    char first_byte;    /* of those: it goes where the terminator is */
    int32_t n_updates;  /* published update_counter */
    bool is_full;       /* text was refused because the block has no room */
} classic_writer;

/* Begins an answer: empty text, counters 0. */
void classic_writer_begin(classic_writer *writer, lipc_classic_block *block);

/* How long a client's copy of the whole response may take, generously. */
#define CLASSIC_COPY_NS 5000

/* Publishing text is two calls, between which the caller lets CLASSIC_COPY_NS pass if `prepare` returns true. */

/* Steps 1 and 2: puts text of whole characters behind what is there, unseen, or as many of its characters as fit. Sets
 * is_full if something did not fit. Returns whether there is anything that a copy could see half of. */
bool classic_writer_prepare(classic_writer *writer, const char *text, size_t n_bytes);

/* Steps 3 and 4: shows it. `n_tokens` is the number of tokens the answer then has. Counts as one update. */
void classic_writer_show(classic_writer *writer, int32_t n_tokens);

/* Takes over the answer of a dead writer, from its beginning: for each update that it had shown for sure, _skip instead
 * of the two calls; from there on as usual. Publishing again what is there already changes nothing. */
void classic_writer_resume(classic_writer *writer, lipc_classic_block *block);
void classic_writer_skip(classic_writer *writer, const char *text, size_t n_bytes);
/* Takes it over to end it: behind the text that the block holds, whatever that is. */
void classic_writer_resume_behind(classic_writer *writer, lipc_classic_block *block);

/* Publishes that the text is final. Counts as one update, so that clients which look only at grown counters look. */
void classic_writer_complete(classic_writer *writer, int32_t n_tokens);

/* ---- client ------------------------------------------------------------------------------------------------------ */

/* Writes a request: the reader's number, prompts (at most 4,095 bytes each; the caller cut them), zeroed answer, counters
 * and flags. The caller posts sem_prompts_written behind it. */
void classic_block_write_request(lipc_classic_block *block, uint32_t reader, const char *system_prompt,
                                 size_t system_bytes, const char *user_prompt, size_t user_bytes, bool stream);

/* Reads text from byte `from`, at most to the end of the block, into text[from..]; returns the length of the text with
 * what came before, and terminates it. `text` holds LIPC_RESPONSE_SIZE bytes. Safe while the host writes. */
size_t classic_block_read_text(const lipc_classic_block *block, char *text, size_t from);

int32_t classic_block_update_counter(const lipc_classic_block *block);
int32_t classic_block_tokens_generated(const lipc_classic_block *block);
/* Acquire: if true, the text read afterwards is final. */
bool classic_block_is_complete(const lipc_classic_block *block);

void classic_block_request_cancel(lipc_classic_block *block, bool requested);
void classic_block_request_shutdown(lipc_classic_block *block);

#endif
