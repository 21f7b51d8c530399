/* state.c - what the library's memory holds of a conversation, written to a file and read back.
 *
 * The file: a header, the tokens, and blocks one behind the other, each at a multiple of 8 bytes. It is put together in memory,
 * so that its sum is known before the first byte is written, and read as a whole, so that its sum is known before the first
 * byte is used. What the sum cannot tell (a file made on purpose) is for the library to notice, as with a model's file.
 */
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char magic[8] = {'L', 'I', 'P', 'C', 'S', 'E', 'Q', '1'};

typedef struct head {
    char magic[8];
    uint64_t n_bytes;   /* of the file */
    uint64_t sum;       /* of the file, with 0 here */
    uint64_t model_sum; /* of the model, and of the options that change what it remembers */
    char library[32];   /* its version: the form of the blocks is its own affair */
    uint32_t n_tokens;
    uint32_t n_blocks;
} head;

typedef enum block_kind {
    BLOCK_MEMORY = 1,     /* of all tokens */
    BLOCK_CHECKPOINT = 2, /* struct checkpoint */
    BLOCK_DRAFTS = 3,     /* the draft model's memory of all tokens */
    BLOCK_SCALES = 4,     /* of the adapters; not there: those that the host was started with */
} block_kind;

/* What is in front of a block's bytes. */
typedef struct block {
    uint32_t kind;
    int32_t n_tokens;
    uint64_t n_bytes;
} block;

/* The file in memory. */
typedef struct image {
    uint8_t *bytes;
    size_t n_bytes;
    bool has_failed; /* no memory for it, or the library gave other bytes than it had said */
} image;

static size_t padded(size_t n_bytes) {
    return (n_bytes + 7) / 8 * 8;
}

/* Of n_bytes, a multiple of 8. FNV-1a over words instead of bytes: a state can have gigabytes. */
static uint64_t sum_of(const uint8_t *bytes, size_t n_bytes) {
    uint64_t sum = 0xCBF29CE484222325u, word;
    for (size_t at = 0; at < n_bytes; at += sizeof word) {
        memcpy(&word, bytes + at, sizeof word);
        sum = (sum ^ word) * 0x100000001B3u;
        sum ^= sum >> 32;
    }
    return sum;
}

static struct llama_context *drafts(const struct llama_engine *engine) {
    return engine->drafter ? drafter_context(engine->drafter) : NULL;
}

/* ---- saving -------------------------------------------------------------------------------------------------------- */

/* Room for so many more bytes, zeroed; NULL: no memory. */
static uint8_t *extend(image *image, size_t n_bytes) {
    size_t n_before = image->n_bytes, n_after = n_before + padded(n_bytes);
    uint8_t *larger = image->has_failed ? NULL : realloc(image->bytes, n_after);
    if (!larger) {
        image->has_failed = true;
        return NULL;
    }
    memset(larger + n_before, 0, n_after - n_before);
    image->bytes = larger;
    image->n_bytes = n_after;
    return larger + n_before;
}

static uint8_t *add_block(image *image, block_kind kind, int32_t n_tokens, size_t n_bytes) {
    const block block = {kind, n_tokens, n_bytes};
    uint8_t *at = extend(image, sizeof block);
    if (at) memcpy(at, &block, sizeof block);
    return extend(image, n_bytes);
}

static void add_memory(image *image, block_kind kind, int32_t n_tokens, struct llama_context *context, int place) {
    size_t n_bytes = llama_state_seq_get_size_ext(context, place, 0);
    uint8_t *at = add_block(image, kind, n_tokens, n_bytes);
    if (at && llama_state_seq_get_data_ext(context, at, n_bytes, place, 0) != n_bytes) image->has_failed = true;
}

static uint64_t add_overrides(uint64_t sum, const struct llama_model_kv_override *overrides) {
    for (; overrides && overrides->key[0]; overrides++) {
        bool is_text = overrides->tag == LLAMA_KV_OVERRIDE_TYPE_STR;
        sum = engine_add_to_sum(sum, overrides->key, strlen(overrides->key) + 1);
        sum = is_text ? engine_add_to_sum(sum, overrides->val_str, strlen(overrides->val_str))
                      : engine_add_to_sum(sum, &overrides->val_i64, overrides->tag == LLAMA_KV_OVERRIDE_TYPE_BOOL ? 1 : 8);
    }
    return sum;
}

/* Of the model's file, whatever it is called, and of what else decides what is remembered of a token: positions, adapters. */
static uint64_t model_sum(struct llama_engine *engine) {
    struct llama_context_params context = arguments_context(engine->options.arguments);
    const float numbers[] = {context.rope_freq_base, context.rope_freq_scale, context.yarn_ext_factor, context.yarn_attn_factor,
                             context.yarn_beta_fast, context.yarn_beta_slow, (float)context.rope_scaling_type,
                             (float)context.yarn_orig_ctx};
    const char *adapter;
    float scale;
    if (engine->content_sum == 0) engine->content_sum = engine_content_sum(engine->model_file);
    uint64_t sum = add_overrides(engine_add_to_sum(engine->content_sum, numbers, sizeof numbers), engine->model_params.kv_overrides);
    for (size_t n = 0; (adapter = arguments_adapter(engine->options.arguments, n, &scale)); n++) {
        uint64_t content = engine_content_sum(adapter);
        sum = engine_add_to_sum(engine_add_to_sum(sum, &content, sizeof content), &scale, sizeof scale);
    }
    return sum;
}

static image take(struct llama_engine *engine, int place) {
    const cells *cells = &engine->cells[place];
    image image = {0};
    head head = {.model_sum = model_sum(engine), .n_tokens = (uint32_t)cells->n, .n_blocks = 1};
    memcpy(head.magic, magic, sizeof magic);
    snprintf(head.library, sizeof head.library, "%s", llama_version());
    extend(&image, sizeof head);
    uint8_t *tokens = extend(&image, (size_t)cells->n * sizeof *cells->tokens);
    if (tokens) memcpy(tokens, cells->tokens, (size_t)cells->n * sizeof *cells->tokens);
    add_memory(&image, BLOCK_MEMORY, cells->n, engine->context, place);
    for (int i = 0; i < CHECKPOINTS_MOST; i++) {
        const struct checkpoint *checkpoint = &engine->checkpoints[place][i];
        if (!checkpoint->bytes) continue;
        uint8_t *at = add_block(&image, BLOCK_CHECKPOINT, checkpoint->n_tokens, checkpoint->n_bytes);
        if (at) memcpy(at, checkpoint->bytes, checkpoint->n_bytes);
        head.n_blocks++;
    }
    if (engine->n_adapters > 0) {
        size_t n_bytes = engine->n_adapters * sizeof cells->scales.of[0];
        uint8_t *at = add_block(&image, BLOCK_SCALES, cells->n, n_bytes);
        if (at) memcpy(at, cells->scales.of, n_bytes);
        head.n_blocks++;
    }
    if (drafts(engine)) {
        add_memory(&image, BLOCK_DRAFTS, cells->n, drafts(engine), place);
        head.n_blocks++;
    }
    if (image.has_failed) return image;
    head.n_bytes = image.n_bytes;
    memcpy(image.bytes, &head, sizeof head);
    head.sum = sum_of(image.bytes, image.n_bytes);
    memcpy(image.bytes, &head, sizeof head);
    return image;
}

/* Whether nothing else is lost: there is no file yet, or it is a saved state. */
static bool may_replace(struct llama_engine *engine, const char *path) {
    char found[sizeof magic] = {0};
    int error = plat_file_size(path, NULL);
    if (error == PLAT_E_NOT_FOUND) return true;
    FILE *file = error == PLAT_OK ? plat_file_open(path, "r") : NULL;
    bool is_state = file && fread(found, 1, sizeof found, file) == sizeof found && memcmp(found, magic, sizeof magic) == 0;
    if (file) fclose(file);
    if (!is_state) llama_say(engine, "there is something else than a saved state: choose another name than '%s'", path);
    return is_state;
}

static int write_image(struct llama_engine *engine, const image *image, const char *path) {
    char beside[ENGINE_PATH_SIZE];
    uint32_t number;
    if (!may_replace(engine, path)) return ENGINE_E_STATE;
    plat_random(&number, sizeof number);
    snprintf(beside, sizeof beside, "%s.%08x.new", path, (unsigned)number);
    FILE *file = plat_file_open(beside, "wx");
    bool is_written = file && fwrite(image->bytes, 1, image->n_bytes, file) == image->n_bytes;
    if (file && fclose(file) != 0) is_written = false;
    if (is_written && plat_file_replace(beside, path) == PLAT_OK) return ENGINE_OK;
    llama_say(engine, "cannot write the state: %s: '%s'", strerror(errno), path);
    if (file) remove(beside);
    return ENGINE_E_STATE;
}

static int report(char **json, int32_t n_tokens, size_t n_bytes) {
    enum { SIZE = 80 };
    *json = malloc(SIZE);
    if (*json) snprintf(*json, SIZE, "{\"tokens\":%d,\"bytes\":%zu}", n_tokens, n_bytes);
    return *json ? ENGINE_OK : ENGINE_E_NO_MEMORY;
}

/* A sequence that holds the first n_tokens of another and nothing else, which may be of somebody else's conversation: itself, if
 * that is all that it has; a copy in the free sequence that was used longest ago; or itself without the rest, as a next turn would
 * have it. Negative: there is none, since it is in use. */
static int cut_out(struct llama_engine *engine, int place, int32_t n_tokens) {
    const cells *all = engine->cells;
    int other = -1;
    if (all[place].n == n_tokens) return place;
    for (int s = 0; s < engine->base.facts.n_sequences; s++)
        if (s != place && !all[s].is_busy && (other < 0 || all[s].used < all[other].used)) other = s;
    if (other >= 0 && engine->can_rewind) {
        memory_forget(engine, other);
        memory_copy(engine, place, other, n_tokens);
        return other;
    }
    if (all[place].is_busy) return -1;
    memory_keep(engine, place, n_tokens);
    return place;
}

static int save(struct llama_engine *engine, const struct sequence *asked, const char *path, char **json) {
    const cells prompt = prefill_cells(asked, asked->n_prompt);
    int32_t n_found, n_least = asked->n_prompt / 2;
    int place = cells_find(engine->cells, engine->base.facts.n_sequences, &prompt, &n_found);
    if (place >= 0 && n_found >= n_least) place = cut_out(engine, place, n_found);
    else place = -1;
    if (place < 0 || engine->cells[place].n < n_least || engine->cells[place].n == 0) {
        llama_say(engine, "there is nothing to save: the host remembers less than half of this conversation");
        return ENGINE_E_STATE;
    }
    image image = take(engine, place);
    int error = image.has_failed ? ENGINE_E_NO_MEMORY : write_image(engine, &image, path);
    if (error == ENGINE_OK) error = report(json, engine->cells[place].n, image.n_bytes);
    free(image.bytes);
    return error;
}

int state_save(struct llama_engine *engine, const engine_request *request, const char *path, char **json) {
    struct sequence asked = {0};
    int error = conversation_tokenise(engine, &asked, request);
    if (error == ENGINE_OK) error = adapters_read(engine, request->sampling.lora, &asked.scales);
    if (error == ENGINE_OK) error = save(engine, &asked, path, json);
    if (error == ENGINE_E_NO_MEMORY) llama_say(engine, "not enough memory to save a state");
    prepare_release(&asked);
    return error;
}

/* ---- restoring ----------------------------------------------------------------------------------------------------- */

static int refuse(struct llama_engine *engine, const char *reason, const char *path) {
    llama_say(engine, "%s: '%s'", reason, path);
    return ENGINE_E_STATE;
}

/* The whole file, whose header is looked at before memory is taken for the rest. The caller frees image->bytes, also on error. */
static int read_image(struct llama_engine *engine, const char *path, image *image, head *head) {
    uint64_t n_bytes;
    int error = plat_file_size(path, &n_bytes);
    if (error == PLAT_E_NOT_FOUND) return refuse(engine, "there is no saved state", path);
    FILE *file = error == PLAT_OK ? plat_file_open(path, "r") : NULL;
    if (!file) return refuse(engine, "the saved state cannot be read", path);
    bool is_state = fread(head, 1, sizeof *head, file) == sizeof *head && memcmp(head->magic, magic, sizeof magic) == 0;
    bool is_whole = is_state && head->n_bytes == n_bytes && n_bytes % 8 == 0 && n_bytes <= SIZE_MAX;
    image->n_bytes = is_whole ? (size_t)n_bytes : 0;
    image->bytes = is_whole ? malloc(image->n_bytes) : NULL;
    bool is_read = image->bytes && fread(image->bytes + sizeof *head, 1, image->n_bytes - sizeof *head, file) ==
                                       image->n_bytes - sizeof *head;
    fclose(file);
    if (!is_state) return refuse(engine, "this is no saved state", path);
    if (is_whole && !image->bytes) return ENGINE_E_NO_MEMORY;
    uint64_t sum = head->sum;
    head->sum = 0;
    if (is_read) memcpy(image->bytes, head, sizeof *head);
    if (is_read && sum_of(image->bytes, image->n_bytes) == sum) return ENGINE_OK;
    return refuse(engine, "the saved state is damaged or not complete", path);
}

/* Whether it is of this model in this host. */
static int check_head(struct llama_engine *engine, const head *head, const char *path) {
    const engine_model_facts *facts = &engine->base.facts;
    if (head->model_sum != model_sum(engine)) return refuse(engine, "the state is of another model, or of other options for it", path);
    if (strncmp(head->library, llama_version(), sizeof head->library) != 0)
        return refuse(engine, "the state is of another version of llama.cpp", path);
    if (head->n_tokens > 0 && head->n_tokens < facts->n_ctx) return ENGINE_OK;
    llama_say(engine, "the state has %u tokens, the context only %u; start the host with a larger -c N", head->n_tokens,
              facts->n_ctx);
    return ENGINE_E_STATE;
}

/* The next block from *at on, and its bytes; NULL: there is no whole one. */
static const uint8_t *next_block(const image *image, size_t *at, block *block) {
    if (image->n_bytes - *at < sizeof *block) return NULL;
    memcpy(block, image->bytes + *at, sizeof *block);
    *at += sizeof *block;
    const uint8_t *bytes = image->bytes + *at;
    if (block->n_bytes > image->n_bytes - *at) return NULL;
    *at += padded((size_t)block->n_bytes);
    return bytes;
}

/* In place of none. Without memory there is none. */
static void keep_checkpoint(struct checkpoint *kept, const block *block, const uint8_t *bytes) {
    *kept = (struct checkpoint){malloc((size_t)block->n_bytes), (size_t)block->n_bytes, block->n_tokens};
    if (kept->bytes) memcpy(kept->bytes, bytes, kept->n_bytes);
    else *kept = (struct checkpoint){0};
}

static bool put_scales(const struct llama_engine *engine, adapter_scales *scales, const block *block, const uint8_t *bytes) {
    if (block->n_bytes != engine->n_adapters * sizeof scales->of[0]) return false;
    memcpy(scales->of, bytes, (size_t)block->n_bytes);
    return true;
}

/* Into a place that holds nothing. Whether the library takes all of it; otherwise there may be a part. */
static bool put_blocks(struct llama_engine *engine, int place, const image *image, const head *head, size_t at) {
    bool has_memory = false, has_drafts = !drafts(engine);
    int n_checkpoints = 0;
    block block;
    engine->cells[place].scales = engine->start_scales;
    for (uint32_t i = 0; i < head->n_blocks; i++) {
        const uint8_t *bytes = next_block(image, &at, &block);
        if (!bytes || block.n_tokens < 1 || (uint32_t)block.n_tokens > head->n_tokens) return false;
        if (block.kind == BLOCK_MEMORY)
            has_memory = llama_state_seq_set_data_ext(engine->context, bytes, (size_t)block.n_bytes, place, 0) == block.n_bytes;
        if (block.kind == BLOCK_DRAFTS && drafts(engine))
            has_drafts = llama_state_seq_set_data_ext(drafts(engine), bytes, (size_t)block.n_bytes, place, 0) == block.n_bytes;
        if (block.kind == BLOCK_CHECKPOINT && n_checkpoints < CHECKPOINTS_MOST)
            keep_checkpoint(&engine->checkpoints[place][n_checkpoints++], &block, bytes);
        if (block.kind == BLOCK_SCALES && !put_scales(engine, &engine->cells[place].scales, &block, bytes)) return false;
    }
    return has_memory && has_drafts && at == image->n_bytes;
}

/* Whether they are tokens of the vocabulary, and all there. */
static bool tokens_are_good(const struct llama_engine *engine, const image *image, uint32_t n_tokens) {
    llama_token token;
    if (n_tokens > (image->n_bytes - sizeof(head)) / sizeof token) return false;
    for (uint32_t i = 0; i < n_tokens; i++) {
        memcpy(&token, image->bytes + sizeof(head) + i * sizeof token, sizeof token);
        if (token < 0 || token >= engine->base.facts.n_vocab) return false;
    }
    return true;
}

static int restore(struct llama_engine *engine, const image *image, const head *head, const char *path) {
    size_t n_token_bytes = head->n_tokens * sizeof(llama_token);
    if (!tokens_are_good(engine, image, head->n_tokens)) return refuse(engine, "the saved state is damaged", path);
    int place = cells_choose(engine->cells, engine->base.facts.n_sequences, &(const cells){.n = 0});
    if (place < 0) {
        llama_say(engine, "all %d sequences are in use", engine->base.facts.n_sequences);
        return ENGINE_E_BUSY;
    }
    memory_forget(engine, place);
    engine->library_error[0] = 0;
    if (!put_blocks(engine, place, image, head, sizeof *head + padded(n_token_bytes))) {
        memory_forget(engine, place);
        llama_say(engine, "the state does not fit this host: %s", llama_reason(engine));
        return ENGINE_E_STATE;
    }
    cells *cells = &engine->cells[place];
    memcpy(cells->tokens, image->bytes + sizeof *head, n_token_bytes);
    cells->n = (int32_t)head->n_tokens;
    cells->used = ++engine->n_turns;
    return ENGINE_OK;
}

int state_restore(struct llama_engine *engine, const char *path, char **json) {
    image image = {0};
    head head;
    if (engine->options.is_repeatable) {
        llama_say(engine, "a host with --repeatable evaluates each prompt from its beginning: it has no use for a saved state");
        return ENGINE_E_STATE;
    }
    int error = model_is_whole(engine) ? read_image(engine, path, &image, &head) : ENGINE_E_EVALUATION;
    if (error == ENGINE_OK) error = check_head(engine, &head, path);
    if (error == ENGINE_OK) error = restore(engine, &image, &head, path);
    if (error == ENGINE_OK) error = report(json, (int32_t)head.n_tokens, image.n_bytes);
    if (error == ENGINE_E_NO_MEMORY) llama_say(engine, "not enough memory to restore a state");
    free(image.bytes);
    return error;
}
