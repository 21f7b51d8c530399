/* layout.h - the one definition of the shared memory.
 *
 * Every process that touches the segment, in whichever language, agrees on the numbers in this file and on nothing else.
 * C programs include it; the C# library carries the same numbers and a test compares them with the ones below; the
 * normative text is docs/protocol.md.
 *
 * Today the segment holds one thing: the classic block of the streaming guide, at offset 0. What lies between the block
 * and the end of the segment is reserved: zero when the host creates the segment, ignored by every reader.
 */
#ifndef LIPC_LAYOUT_H
#define LIPC_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#if defined(__cplusplus)
#define LIPC_LAYOUT_ASSERT(condition) static_assert(condition, #condition)
#else
#define LIPC_LAYOUT_ASSERT(condition) _Static_assert(condition, #condition)
#endif

/* ---- Object names -------------------------------------------------------------------------------------------------
 * "/" + instance + suffix. The default instance gives exactly the names of the guide. */
#define LIPC_DEFAULT_NAME "llama_cpp"
#define LIPC_NAME_MAX 63 /* bytes of an instance name: letters, digits, '_', '-' and '.', not starting with '.' */
#define LIPC_SUFFIX_SEGMENT "_shared_mem"
#define LIPC_SUFFIX_READY "_sem_ready"
#define LIPC_SUFFIX_PROMPTS_WRITTEN "_sem_prompts_written"
#define LIPC_SUFFIX_RESPONSE_WRITTEN "_sem_response_written"
#define LIPC_SUFFIX_CHUNK_READY "_sem_chunk_ready"

/* ---- The classic block --------------------------------------------------------------------------------------------
 * Packed, so the two counters lie at odd offsets. Sizes include the terminating zero byte.
 *
 * field                 writer                     meaning
 * system_prompt         client, before its post    UTF-8, may end inside a character (the host drops such a tail)
 * user_prompt           client, before its post    likewise; empty: an empty answer at once
 * response              host (client zeroes it     UTF-8, always whole characters; grows only; the terminator's own byte
 *                       before its post)           is replaced last, so a reader sees the old or the new text
 * shutdown_requested    client                     1: the host ends
 * stream_mode           client, before its post    1: sem_chunk_ready is posted for every update
 * update_counter        host (client zeroes it)    grows with every token and once more when the answer is complete
 * generation_complete   host (client zeroes it)    1: the text is final
 * tokens_generated      host (client zeroes it)    tokens whose text the answer holds
 * cancel_requested      client, while it waits     1: the host ends the answer within one step and completes it;
 *                                                  the host sets it back to 0. Clients of the guide never touch it. */
#define LIPC_PROMPT_SIZE 4096
#define LIPC_RESPONSE_SIZE 32768

#pragma pack(push, 1)
typedef struct lipc_classic_block {
    char system_prompt[LIPC_PROMPT_SIZE];
    char user_prompt[LIPC_PROMPT_SIZE];
    char response[LIPC_RESPONSE_SIZE];
    uint8_t shutdown_requested;
    uint8_t stream_mode;
    int32_t update_counter;
    uint8_t generation_complete;
    int32_t tokens_generated;
    uint8_t cancel_requested;
} lipc_classic_block;
#pragma pack(pop)

LIPC_LAYOUT_ASSERT(offsetof(lipc_classic_block, system_prompt) == 0);
LIPC_LAYOUT_ASSERT(offsetof(lipc_classic_block, user_prompt) == 4096);
LIPC_LAYOUT_ASSERT(offsetof(lipc_classic_block, response) == 8192);
LIPC_LAYOUT_ASSERT(offsetof(lipc_classic_block, shutdown_requested) == 40960);
LIPC_LAYOUT_ASSERT(offsetof(lipc_classic_block, stream_mode) == 40961);
LIPC_LAYOUT_ASSERT(offsetof(lipc_classic_block, update_counter) == 40962);
LIPC_LAYOUT_ASSERT(offsetof(lipc_classic_block, generation_complete) == 40966);
LIPC_LAYOUT_ASSERT(offsetof(lipc_classic_block, tokens_generated) == 40967);
LIPC_LAYOUT_ASSERT(offsetof(lipc_classic_block, cancel_requested) == 40971);
LIPC_LAYOUT_ASSERT(sizeof(lipc_classic_block) == 40972);

/* Clients of the guide map 45,000 bytes, more than the block; the segment is never shorter. */
#define LIPC_CLASSIC_MAP_SIZE 45000
/* The classic block with its reserve, to the page. Whatever is added to the segment later begins here. */
#define LIPC_CLASSIC_REGION_SIZE 45056
#define LIPC_SEGMENT_SIZE LIPC_CLASSIC_REGION_SIZE

LIPC_LAYOUT_ASSERT(sizeof(lipc_classic_block) <= LIPC_CLASSIC_MAP_SIZE);
LIPC_LAYOUT_ASSERT(LIPC_CLASSIC_MAP_SIZE <= LIPC_CLASSIC_REGION_SIZE);
LIPC_LAYOUT_ASSERT(LIPC_CLASSIC_REGION_SIZE % 4096 == 0);

#endif
