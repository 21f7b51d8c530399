/* layout.h - the definition of the shared memory.
 *
 * Every process that touches the segment, in any language, agrees on the numbers in this file and on nothing else. C
 * programs include it. docs/protocol.md is the normative text, and the test protocol_tables compares its tables with the
 * numbers below. The C# library accesses the segment through liblipc and does not repeat them.
 *
 *     0        classic block     the channel of the streaming guide, as old clients know it
 *     45056    hub               describes the host and where everything else is; its doorbell
 *     49152    client records    one per attached process
 *     ...      streams           one per request and its answer
 *
 * Rules for everything after the classic block: little-endian, naturally aligned, fixed width. Each word has one writer at a
 * time, named beside it: "host", "client" (the process that holds the record) or "owner" (the client that holds the
 * stream). Words with several writers say so, and are changed by compare-and-swap or another atomic operation. Words of
 * different writers are on different cache lines of 64 bytes. Reserved bytes are written as zero and ignored when read.
 * Offsets and sizes of the areas come from the hub, not from this file. "Release" and "acquire" are the ordering of the
 * store or load that makes other data visible; everything else may be relaxed.
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
 *                                                  the host sets it back to 0. Clients of the guide never touch it
 * reader                client (CAS to 0), host    not 0: whose turn it is; the next client is admitted once the value has
 *                       (CAS)                      changed. The client stores a number of its own before the rest of its
 *                                                  request, and 0 when it has read the answer. If it finds another number,
 *                                                  what it has read may belong to another request. HOST_ENDED: the host is
 *                                                  exiting and the answer is incomplete. Guide clients never touch it. */
#define LIPC_PROMPT_SIZE 4096
#define LIPC_RESPONSE_SIZE 32768
#define LIPC_READER_HOST_ENDED 0xFFFFFFFFu

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
    uint32_t reader; /* at an offset where it is aligned */
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
LIPC_LAYOUT_ASSERT(offsetof(lipc_classic_block, reader) == 40972);
LIPC_LAYOUT_ASSERT(sizeof(lipc_classic_block) == 40976);

/* Clients of the guide map 45,000 bytes, more than the block; the segment is never shorter. */
#define LIPC_CLASSIC_MAP_SIZE 45000
/* The classic block and its reserve, rounded up to whole pages. The hub begins here. */
#define LIPC_CLASSIC_REGION_SIZE 45056

LIPC_LAYOUT_ASSERT(sizeof(lipc_classic_block) <= LIPC_CLASSIC_MAP_SIZE);
LIPC_LAYOUT_ASSERT(LIPC_CLASSIC_MAP_SIZE <= LIPC_CLASSIC_REGION_SIZE);
LIPC_LAYOUT_ASSERT(LIPC_CLASSIC_REGION_SIZE % 4096 == 0);

/* ---- Version ------------------------------------------------------------------------------------------------------
 * The magic, the major and minor numbers and the host's process id stay where they are in every version. A client with another
 * major must not use anything else. A higher minor only adds: fields in reserved places, feature bits, larger structures
 * (whose sizes are in the hub). */
#define LIPC_HUB_MAGIC UINT64_C(0x425548204350494C) /* the bytes "LIPC HUB" */
#define LIPC_LAYOUT_MAJOR 1
#define LIPC_LAYOUT_MINOR 6 /* 1: LIPC_HUB_RECOVERING, LIPC_STREAM_RECOVERING, the words for recovery
                             * 2: the classic block's `reader`, `n_cached`
                             * 3: LIPC_FLAG_LOAD, `facts_version`
                             * 4: `features`: LIPC_FEATURE_PARTS, LIPC_FEATURE_DOCUMENTS and all that comes with them
                             * 5: `operation`, LIPC_ITEM_MODEL_PATH
                             * 6: `is_asleep`, `download_bytes`, `n_layers`, `devices`; a model's name instead of its path */

/* Bits of `features`. */
#define LIPC_FEATURE_PARTS UINT64_C(1)     /* parts log and parts index, `parts`, `parts_sum` */
#define LIPC_FEATURE_DOCUMENTS UINT64_C(2) /* LIPC_ITEM_DOCUMENT, LIPC_FLAG_RENDER */
#define LIPC_FEATURE_PARAMETERS UINT64_C(4) /* LIPC_ITEM_PARAMETER */
#define LIPC_FEATURE_TOKENS_SUM UINT64_C(8) /* `tokens_sum` */
#define LIPC_FEATURE_STATES UINT64_C(16) /* LIPC_OPERATION_SAVE, LIPC_OPERATION_RESTORE, LIPC_ITEM_STATE_PATH */
#define LIPC_FEATURE_PROBS UINT64_C(32) /* the parameter n_probs, `probs_offset`, `n_probs`, `probs_sum` */

/* ---- Doorbell -----------------------------------------------------------------------------------------------------
 * Tells a sleeper to look again. It carries no state itself. `rings` is the word that a sleeper passes to the kernel.
 *
 * field    writer                meaning
 * rings    ringers, fetch-add    changes with each ring
 * armed    sleepers, ringers     0: nobody sleeps. Otherwise bits 0 to 1 are what sleepers want to be woken for (1 news, 2
 *          (CAS)                 ends), and bits 2 to 31 the low 30 bits of the `rings` they saw when they armed it */
typedef struct lipc_doorbell {
    uint32_t rings;
    uint32_t armed;
} lipc_doorbell;

#define LIPC_BELL_NEWS 1u /* anything new */
#define LIPC_BELL_ENDS 2u /* only what must not be delayed: the first text, an end, a change of the host's state */

/* ---- The hub ------------------------------------------------------------------------------------------------------
 * Written by the host, except for the words on the last two cache lines. The first two lines are written before `state` first
 * becomes other than 0, and do not change while this host lives. Model facts are written before `state` becomes READY, again
 * for each model that is loaded. */
typedef struct lipc_hub {
    uint64_t magic;           /* LIPC_HUB_MAGIC; 0 while a host begins */
    uint16_t layout_major;
    uint16_t layout_minor;
    uint32_t host_pid;
    uint64_t host_start_time; /* of its process, as lipc_client_record.start_time */
    uint64_t features;        /* LIPC_FEATURE_*: bits that a minor version may add */
    uint64_t segment_size;    /* bytes of the whole segment */
    uint32_t hub_size;        /* bytes of this structure */
    uint32_t epoch;           /* 1 for the first host on this segment, one more for each that takes it over */
    uint64_t clients_offset;  /* of the first client record, from the segment's beginning */
    uint32_t client_size;     /* bytes from one record to the next */
    uint32_t n_clients;
    uint64_t streams_offset;  /* of the first stream */
    uint64_t stream_size;     /* bytes from one stream to the next */
    uint32_t n_streams;
    uint32_t request_offset;  /* of the request area, from its stream's beginning */
    uint32_t request_size;
    uint32_t log_offset;      /* of the response log */
    uint32_t log_size;
    uint32_t index_offset;    /* of the token index */
    uint32_t index_length;    /* capacity in token records */
    uint32_t parts_offset;    /* of the parts log; this and the next three: LIPC_FEATURE_PARTS, otherwise 0 */
    uint32_t parts_size;
    uint32_t parts_index_offset;
    uint32_t parts_length;    /* capacity in part records, at most LIPC_PARTS_MAX */
    uint32_t probs_offset;    /* of the probabilities, which go on to the end of the stream; LIPC_FEATURE_PROBS */

    uint32_t state;           /* 128: LIPC_HUB_*; release, pairs with the acquire of whoever attaches */
    uint32_t load_per_mille;
    uint32_t n_attached;      /* client records in use */
    uint32_t n_running;       /* answers being generated, including classic ones */
    uint32_t n_queued;        /* requests waiting for their turn */
    uint32_t worker_pid;      /* the process that runs the model; host_pid if the host is a single process */
    uint32_t n_recoveries;    /* how often a new worker has taken over from a dead one */
    uint32_t facts_version;   /* changes before the model facts below do. If it is the same before and after reading them, and
                                 the state before that was READY, they all describe one model */
    uint32_t is_asleep;       /* 1 while READY: the model is not in memory, and the next request loads it (LOADING) */
    uint32_t reserved1;
    uint64_t download_bytes;  /* of a model that is being fetched: how many bytes have come, of how many (0: not known yet), */
    uint64_t download_total;
    uint64_t download_rate;   /* and how many come in a second. All 0: none is being fetched */

    char host_version[16];    /* 192 */
    uint8_t reserved2[48];
    char model[128];          /* 256: a description, zero-terminated */
    uint32_t n_ctx;           /* 384: tokens of context per answer */
    uint32_t n_ctx_trained;
    uint32_t n_vocab;
    uint32_t n_threads;
    uint32_t n_parallel;      /* how many answers can be generated at a time */
    uint32_t reserved3;
    uint64_t n_parameters;
    uint64_t model_bytes;
    uint32_t n_layers;        /* 424: with the output's; 0 from hosts before 1.6 */
    uint32_t n_device_layers; /* ... of these on devices, such as graphics cards */
    uint8_t reserved4[80];

    lipc_doorbell bell;       /* 512: the host sleeps on it; clients ring it after each change that concerns the host */
    uint32_t shutdown;        /* any client: 1, the host shuts down as for SIGTERM */
    uint8_t reserved5[52];
    uint64_t next_ticket;     /* 576: any client, fetch-add: the order of clients waiting for a stream */
    uint8_t reserved6[440];
    char model_path[1024];    /* 1024: host, one of the model facts: absolute, zero-terminated; empty if it does not fit. Only
                                 present if `hub_size` includes it */
    char devices[256];        /* 2048: host, one of the model facts: which devices, what lies there, or why none; zero-terminated. Only
                                 present if `hub_size` includes it */
} lipc_hub;

/* lipc_hub.state. The numbers are those of lipc_host_state. */
#define LIPC_HUB_STARTING 1u
#define LIPC_HUB_LOADING 2u
#define LIPC_HUB_READY 3u
#define LIPC_HUB_ENDING 4u
#define LIPC_HUB_RECOVERING 6u /* the worker died; its successor loads the model and then continues every answer */

#define LIPC_HUB_OFFSET 45056
#define LIPC_HUB_REGION_SIZE 4096
#define LIPC_HUB_END (LIPC_HUB_OFFSET + LIPC_HUB_REGION_SIZE) /* a client maps this much to learn the rest */

LIPC_LAYOUT_ASSERT(LIPC_HUB_OFFSET == LIPC_CLASSIC_REGION_SIZE);
LIPC_LAYOUT_ASSERT(offsetof(lipc_hub, layout_major) == 8);
LIPC_LAYOUT_ASSERT(offsetof(lipc_hub, host_pid) == 12);
LIPC_LAYOUT_ASSERT(offsetof(lipc_hub, host_start_time) == 16);
LIPC_LAYOUT_ASSERT(offsetof(lipc_hub, features) == 24);
LIPC_LAYOUT_ASSERT(offsetof(lipc_hub, segment_size) == 32);
LIPC_LAYOUT_ASSERT(offsetof(lipc_hub, hub_size) == 40);
LIPC_LAYOUT_ASSERT(offsetof(lipc_hub, epoch) == 44);
LIPC_LAYOUT_ASSERT(offsetof(lipc_hub, clients_offset) == 48);
LIPC_LAYOUT_ASSERT(offsetof(lipc_hub, client_size) == 56);
LIPC_LAYOUT_ASSERT(offsetof(lipc_hub, n_clients) == 60);
LIPC_LAYOUT_ASSERT(offsetof(lipc_hub, streams_offset) == 64);
LIPC_LAYOUT_ASSERT(offsetof(lipc_hub, stream_size) == 72);
LIPC_LAYOUT_ASSERT(offsetof(lipc_hub, n_streams) == 80);
LIPC_LAYOUT_ASSERT(offsetof(lipc_hub, request_offset) == 84);
LIPC_LAYOUT_ASSERT(offsetof(lipc_hub, request_size) == 88);
LIPC_LAYOUT_ASSERT(offsetof(lipc_hub, log_offset) == 92);
LIPC_LAYOUT_ASSERT(offsetof(lipc_hub, log_size) == 96);
LIPC_LAYOUT_ASSERT(offsetof(lipc_hub, index_offset) == 100);
LIPC_LAYOUT_ASSERT(offsetof(lipc_hub, index_length) == 104);
LIPC_LAYOUT_ASSERT(offsetof(lipc_hub, parts_offset) == 108);
LIPC_LAYOUT_ASSERT(offsetof(lipc_hub, parts_size) == 112);
LIPC_LAYOUT_ASSERT(offsetof(lipc_hub, parts_index_offset) == 116);
LIPC_LAYOUT_ASSERT(offsetof(lipc_hub, parts_length) == 120);
LIPC_LAYOUT_ASSERT(offsetof(lipc_hub, probs_offset) == 124);
LIPC_LAYOUT_ASSERT(offsetof(lipc_hub, state) == 128);
LIPC_LAYOUT_ASSERT(offsetof(lipc_hub, worker_pid) == 148);
LIPC_LAYOUT_ASSERT(offsetof(lipc_hub, facts_version) == 156);
LIPC_LAYOUT_ASSERT(offsetof(lipc_hub, is_asleep) == 160);
LIPC_LAYOUT_ASSERT(offsetof(lipc_hub, download_bytes) == 168);
LIPC_LAYOUT_ASSERT(offsetof(lipc_hub, download_rate) == 184);
LIPC_LAYOUT_ASSERT(offsetof(lipc_hub, host_version) == 192);
LIPC_LAYOUT_ASSERT(offsetof(lipc_hub, model) == 256);
LIPC_LAYOUT_ASSERT(offsetof(lipc_hub, n_ctx) == 384);
LIPC_LAYOUT_ASSERT(offsetof(lipc_hub, bell) == 512);
LIPC_LAYOUT_ASSERT(offsetof(lipc_hub, next_ticket) == 576);
LIPC_LAYOUT_ASSERT(offsetof(lipc_hub, model_path) == 1024);
LIPC_LAYOUT_ASSERT(offsetof(lipc_hub, n_layers) == 424);
LIPC_LAYOUT_ASSERT(offsetof(lipc_hub, devices) == 2048);
LIPC_LAYOUT_ASSERT(sizeof(lipc_hub) == 2304);

/* ---- Client records -----------------------------------------------------------------------------------------------
 * claim     bits 0 to 3    LIPC_CLIENT_*
 *           bits 4 to 31   generation: one more each time the record is freed; never reset
 *           bits 32 to 63  process id of the holder; 0 if free
 *   A client takes a free record by CAS (FREE, g, 0) -> (ATTACHING, g, pid), writes its start time, and continues by CAS to
 *   (ATTACHED, g, pid), release. It leaves with (LEAVING, g, pid). Only the host frees records: (FREE, g + 1, 0), after their
 *   streams. If the process dies in any of these states, the host recognizes it by its pid.
 * reservation      bits 0 to 1    LIPC_RESERVATION_*
 *           bits 2 to 17   index of the granted stream
 *           bits 18 to 63  ticket
 *   A client that finds no free stream takes a ticket and stores WAITING. The host offers a stream to the lowest ticket and
 *   replies by CAS WAITING -> GRANTED. The client claims the offered stream and stores NONE, or withdraws by CAS WAITING ->
 *   NONE. */
typedef struct lipc_client_record {
    uint64_t claim;           /* client and host, CAS */
    uint64_t start_time;      /* client: when its process started, in the system's own units (Linux: field 22 of
                                 /proc/PID/stat); together with the pid this identifies a process uniquely */
    uint64_t reservation;     /* client and host, CAS */
    uint8_t reserved0[40];
    lipc_doorbell bell;       /* 64: this client sleeps on it */
    uint8_t reserved1[56];
    uint32_t queue_position;  /* 128: host: requests ahead of the one that this client needs a stream for */
    uint8_t reserved2[124];
} lipc_client_record;

#define LIPC_CLIENT_FREE 0u
#define LIPC_CLIENT_ATTACHING 1u
#define LIPC_CLIENT_ATTACHED 2u
#define LIPC_CLIENT_LEAVING 3u

#define LIPC_RESERVATION_NONE 0u
#define LIPC_RESERVATION_WAITING 1u
#define LIPC_RESERVATION_GRANTED 2u

LIPC_LAYOUT_ASSERT(offsetof(lipc_client_record, start_time) == 8);
LIPC_LAYOUT_ASSERT(offsetof(lipc_client_record, reservation) == 16);
LIPC_LAYOUT_ASSERT(offsetof(lipc_client_record, bell) == 64);
LIPC_LAYOUT_ASSERT(offsetof(lipc_client_record, queue_position) == 128);
LIPC_LAYOUT_ASSERT(sizeof(lipc_client_record) == 256);

/* ---- Streams ------------------------------------------------------------------------------------------------------
 * A stream begins with this header. The request area, response log, token index, parts log and parts index follow at the
 * offsets given in the hub.
 *
 * claim     bits 0 to 3    LIPC_CLAIM_*
 *           bits 4 to 15   index of the owner's client record; LIPC_NO_OWNER
 *           bits 16 to 31  zero
 *           bits 32 to 63  generation: one more each time the stream is freed; never reset
 *   (FREE, g) -> (CLAIMED, owner, g) by a client
 *   (FREE, g) -> (OFFERED, owner, g) by the host, for a client whose reservation it grants, which makes it (CLAIMED, owner, g)
 *   (CLAIMED, owner, g) -> (SUBMITTED, owner, g) by the owner, release: the request is complete
 *   (CLAIMED or SUBMITTED, owner, g) -> (RELEASED, owner, g) by the owner: no longer wanted
 *   (SUBMITTED, owner, g) -> (DETACHED, none, g) by the owner when it detaches, or by the host when the owner has died
 *   (DETACHED, none, g) -> (SUBMITTED, owner, g) by a client that attaches
 *   anything -> (FREE, g + 1) by the host
 *   All by CAS: a process that finds a value other than it expects has lost the stream.
 * published bits 0 to 31   bytes of the log that are final
 *           bits 32 to 63  records of the index that are final
 *   Release, after the bytes and the records; pairs with the readers' acquire. Only grows within a generation.
 * parts     bits 0 to 31   bytes of the parts log that are final
 *           bits 32 to 47  records of the parts index that are final
 *           bits 48 to 63  the low 16 bits of the number of tokens whose parts these are
 *   Release, after the bytes and the records, and after the `published` of the same token; pairs with the readers'
 *   acquire. Only grows within a generation, except for the token count, which wraps around.
 * status    bits 0 to 7    LIPC_STREAM_* of lipc.h, 0 while the host has not seen the request
 *           bits 8 to 15   lipc_end
 *           bits 16 to 31  the lipc_error of a refusal or failure, without its sign
 *           bits 32 to 63  generation: if it is not the reader's, none of the host's words concern its request yet
 *   Release; a reader loads it (acquire) before `published`: if it says ENDED, everything has been published. */
typedef struct lipc_stream_header {
    uint64_t claim;          /* clients and host, CAS */
    uint64_t cancel;         /* owner, others by CAS: the generation whose work is no longer wanted, plus 1; 0: none */
    uint8_t id[16];          /* owner, before SUBMITTED: random */
    uint32_t request_bytes;  /* owner, before SUBMITTED: how much of the request area is used */
    uint8_t reserved0[4];
    uint64_t request_check;  /* 40: owner, before SUBMITTED: generation << 32 | a sum over the request, which tells the host
                                whether it was overwritten before it was read; of another generation: not given */
    uint8_t reserved4[16];
    uint64_t watchers[4];    /* 64: clients, fetch-or and fetch-and: bit i: the client of record i is rung; host: zeroes */
    uint8_t reserved1[32];
    uint64_t published;      /* 128: host */
    uint64_t status;         /* host */
    uint32_t n_cached;       /* host: tokens of the prompt that were in the cache and not evaluated again */
    uint32_t reserved3;
    uint64_t parts;          /* 152: host: how much of the parts log and parts index is final; LIPC_FEATURE_PARTS */
    uint64_t parts_sum;      /* host, before the status that says ENDED: FNV-1a over the parts, for readers; see stream.h */
    uint64_t tokens_sum;     /* host, before the status that says ENDED: FNV-1a over the token records: LIPC_FEATURE_TOKENS_SUM */
    uint64_t probs_sum;      /* 176: host, before the status that says ENDED: FNV-1a over the probabilities: LIPC_FEATURE_PROBS */
    uint32_t n_probs;        /* host, before started_ns: lipc_prob_records for each token; at most LIPC_PROBS_MAX */
    uint8_t reserved2[4];
    uint32_t queue_position; /* 192: host, as all below: requests ahead; 0: its turn */
    uint32_t n_prompt;       /* tokens in the prompt */
    uint32_t n_prompt_done;  /* of those, how many have been evaluated */
    uint32_t seed;           /* the seed in use */
    uint64_t submitted_ns;   /* monotonic clock: the host saw the request */
    uint64_t started_ns;     /* its turn; 0: not yet */
    uint64_t first_token_ns; /* 0: not yet */
    uint64_t ended_ns;       /* 0: not yet */
    uint64_t request_sum;    /* before the first READING: lets a successor check the request area; see stream.h */
    uint64_t answer_sum;     /* before the status that says ENDED: FNV-1a over the text, for its readers; see stream.h */
    char message[256];       /* 256: zero-terminated: why it was refused or failed; before the status that says so */
} lipc_stream_header;

#define LIPC_CLAIM_FREE 0u
#define LIPC_CLAIM_CLAIMED 1u
#define LIPC_CLAIM_SUBMITTED 2u
#define LIPC_CLAIM_DETACHED 3u
#define LIPC_CLAIM_RELEASED 4u
#define LIPC_CLAIM_OFFERED 5u
#define LIPC_NO_OWNER 0xFFFu
#define LIPC_CLIENTS_MAX 256 /* as many as `watchers` has bits for */
#define LIPC_STREAMS_MAX 1024

LIPC_LAYOUT_ASSERT(offsetof(lipc_stream_header, cancel) == 8);
LIPC_LAYOUT_ASSERT(offsetof(lipc_stream_header, id) == 16);
LIPC_LAYOUT_ASSERT(offsetof(lipc_stream_header, request_bytes) == 32);
LIPC_LAYOUT_ASSERT(offsetof(lipc_stream_header, watchers) == 64);
LIPC_LAYOUT_ASSERT(offsetof(lipc_stream_header, published) == 128);
LIPC_LAYOUT_ASSERT(offsetof(lipc_stream_header, status) == 136);
LIPC_LAYOUT_ASSERT(offsetof(lipc_stream_header, n_cached) == 144);
LIPC_LAYOUT_ASSERT(offsetof(lipc_stream_header, parts) == 152);
LIPC_LAYOUT_ASSERT(offsetof(lipc_stream_header, parts_sum) == 160);
LIPC_LAYOUT_ASSERT(offsetof(lipc_stream_header, probs_sum) == 176);
LIPC_LAYOUT_ASSERT(offsetof(lipc_stream_header, n_probs) == 184);
LIPC_LAYOUT_ASSERT(offsetof(lipc_stream_header, queue_position) == 192);
LIPC_LAYOUT_ASSERT(offsetof(lipc_stream_header, submitted_ns) == 208);
LIPC_LAYOUT_ASSERT(offsetof(lipc_stream_header, started_ns) == 216);
LIPC_LAYOUT_ASSERT(offsetof(lipc_stream_header, first_token_ns) == 224);
LIPC_LAYOUT_ASSERT(offsetof(lipc_stream_header, ended_ns) == 232);
LIPC_LAYOUT_ASSERT(offsetof(lipc_stream_header, request_sum) == 240);
LIPC_LAYOUT_ASSERT(offsetof(lipc_stream_header, answer_sum) == 248);
LIPC_LAYOUT_ASSERT(offsetof(lipc_stream_header, message) == 256);
LIPC_LAYOUT_ASSERT(sizeof(lipc_stream_header) == 512);

/* One record of the token index: see lipc_token. */
typedef struct lipc_token_record {
    uint32_t end;     /* bytes of the log */
    int32_t id;
    float logprob;    /* NaN: not asked for */
    uint32_t time_us; /* since started_ns; saturates */
} lipc_token_record;

LIPC_LAYOUT_ASSERT(sizeof(lipc_token_record) == 16);

/* One of the likeliest tokens where a token was chosen: see lipc_prob. Token i of an answer has the `n_probs` records from
 * i * n_probs on, likeliest first, written before the `published` that counts it. */
typedef struct lipc_prob_record {
    int32_t id;
    float logprob;   /* NaN: neither this record nor those behind it have a token */
    uint8_t n_bytes; /* of its text; 255: or more */
    char text[23];   /* as much of it as fits */
} lipc_prob_record;

LIPC_LAYOUT_ASSERT(sizeof(lipc_prob_record) == 32);

/* One record of the parts index: a thought or a tool call. Its bytes are in the parts log, beginning at `start`: for a call
 * first its id, then the tool's name; then the thought's text or the call's arguments, up to the `start` of the next record or
 * the end of the log. Only the last part grows, until there is text after its position. */
typedef struct lipc_part_record {
    uint32_t kind;     /* LIPC_PART_* */
    uint32_t call;     /* index among the calls, from 0; 0 for other kinds */
    uint32_t start;    /* offset in the parts log */
    uint32_t position; /* how many bytes of the response log come before it */
    uint32_t token;    /* index of its first token, whose record has the time */
    uint16_t n_id;     /* length of a call's id, and of the tool's name; 0 for other kinds */
    uint16_t n_name;
    uint32_t reserved[2];
} lipc_part_record;

/* lipc_part_record.kind. The numbers are those of lipc_part_kind. */
#define LIPC_PARTS_MAX 65535 /* as many as `parts` can count */

LIPC_LAYOUT_ASSERT(offsetof(lipc_part_record, n_id) == 20);
LIPC_LAYOUT_ASSERT(sizeof(lipc_part_record) == 32);

/* ---- Requests -----------------------------------------------------------------------------------------------------
 * The request area contains this header and then n_items items. NaN, LIPC_INT_DEFAULT and LIPC_SEED_DEFAULT select the host's
 * own option. */
typedef struct lipc_request_header {
    uint32_t n_bytes;   /* header and items; equal to request_bytes */
    uint32_t flags;     /* LIPC_FLAG_*; unknown ones are refused */
    int32_t n_predict;
    float temperature;
    float min_p;
    float top_p;
    int32_t top_k;
    float repeat_penalty;
    float frequency_penalty;
    float presence_penalty;
    int32_t repeat_last_n;
    int32_t priority;
    int64_t seed;
    uint32_t n_items;
    uint32_t operation; /* LIPC_OPERATION_*; unknown ones are refused. Hosts before 1.5 ignore it */
} lipc_request_header;

#define LIPC_OPERATION_ANSWER 0u
#define LIPC_OPERATION_LOAD 1u /* load another model: the only item is LIPC_ITEM_MODEL_PATH */
/* With LIPC_FEATURE_STATES. The response is a JSON document, without tokens: {"tokens": 1234, "bytes": 5678} */
#define LIPC_OPERATION_SAVE 2u    /* keep what the model remembers of this conversation in the file LIPC_ITEM_STATE_PATH */
#define LIPC_OPERATION_RESTORE 3u /* read it back: the only item is LIPC_ITEM_STATE_PATH */

#define LIPC_FLAG_DETACHABLE 1u
#define LIPC_FLAG_IGNORE_EOS 2u
#define LIPC_FLAG_LOGPROBS 4u
#define LIPC_FLAG_LOAD 8u /* the form of LIPC_OPERATION_LOAD in layouts 1.3 and 1.4: the only item is a message whose text is
                             the path. Later hosts accept it as well */
#define LIPC_FLAG_RENDER 16u /* show the prompt that the request turns into instead of answering it: the response is a JSON
                                document, without tokens */

/* An item: this header, n_bytes of UTF-8 without a zero byte, then one to eight zero bytes, so that the text is
 * terminated and the next item begins at a multiple of 8. */
typedef struct lipc_request_item {
    uint32_t kind;    /* LIPC_ITEM_* */
    uint32_t n_bytes;
    char role[16];    /* of a message: "system", "user" or "assistant", zero-filled; zero for other kinds */
} lipc_request_item;

#define LIPC_ITEM_MESSAGE 1u
#define LIPC_ITEM_STOP 2u    /* at most LIPC_STOPS_MAX, of 1 to LIPC_STOP_BYTES_MAX bytes */
#define LIPC_ITEM_GRAMMAR 3u /* at most one */
#define LIPC_ITEM_DOCUMENT 4u /* at most one, and then no messages: a JSON object with the conversation, tools and options for
                                 the model; see docs/protocol.md */
#define LIPC_ITEM_PARAMETER 5u /* LIPC_FEATURE_PARAMETERS: "name=value", one of lipc/parameters.h; numbers are decimal, with a
                                  point. The last one wins, also over the header's field */
#define LIPC_ITEM_MODEL_PATH 6u /* LIPC_OPERATION_LOAD: an absolute path, or a name, of at most LIPC_MODEL_PATH_MAX bytes */
#define LIPC_ITEM_STATE_PATH 7u /* LIPC_OPERATION_SAVE, LIPC_OPERATION_RESTORE: an absolute path of at most LIPC_MODEL_PATH_MAX bytes */
#define LIPC_MODEL_PATH_MAX 4095
#define LIPC_STOPS_MAX 16
#define LIPC_STOP_BYTES_MAX 256
#define LIPC_ITEMS_MAX 4096

LIPC_LAYOUT_ASSERT(offsetof(lipc_request_header, seed) == 48);
LIPC_LAYOUT_ASSERT(sizeof(lipc_request_header) == 64);
LIPC_LAYOUT_ASSERT(sizeof(lipc_request_item) == 24);

#endif
