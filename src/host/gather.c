/* gather.c - see gather.h. */
#include "gather.h"

#include <stdlib.h>
#include <string.h>

static void add_text(gather *gather, const char *text, size_t n_bytes) {
    if (gather->size_bytes - gather->n_bytes < n_bytes) {
        size_t size = (gather->n_bytes + n_bytes) * 2;
        char *larger = realloc(gather->text, size);
        gather->has_failed |= !larger;
        if (!larger) return;
        gather->text = larger;
        gather->size_bytes = size;
    }
    if (n_bytes > 0) memcpy(gather->text + gather->n_bytes, text, n_bytes);
    gather->n_bytes += n_bytes;
}

static bool make_room(gather *gather, size_t n_deltas) {
    if (n_deltas <= gather->size_deltas) return true;
    part_delta *larger = realloc(gather->deltas, n_deltas * sizeof *larger);
    gather->has_failed |= !larger;
    if (!larger) return false;
    gather->deltas = larger;
    gather->size_deltas = n_deltas;
    return true;
}

/* Text without a part behind it. True: a stop string. */
static bool feed(gather *gather, stops *stops, const char *text, size_t n_bytes) {
    const char *out;
    size_t n_out;
    bool is_stopped = stops_feed(stops, text, n_bytes, &out, &n_out);
    add_text(gather, out, n_out);
    return is_stopped;
}

static void let_go(gather *gather, stops *stops) {
    const char *out;
    size_t n_out;
    stops_flush(stops, &out, &n_out);
    add_text(gather, out, n_out);
}

static part_delta delta_of(const engine_delta *delta, size_t n_before) {
    return (part_delta){
        .kind = delta->kind == ENGINE_PART_CALL ? LIPC_PART_CALL : LIPC_PART_THOUGHT, .begins = delta->begins,
        .n_before = n_before, .id = delta->id, .name = delta->name, .bytes = delta->bytes, .n_bytes = delta->n_bytes,
    };
}

bool gather_take(gather *gather, stops *stops, const engine_progress *progress, answer_addition *added) {
    *added = (answer_addition){.text = ""};
    if (progress->n_deltas == 0) /* nearly always */
        return stops_feed(stops, progress->text, progress->n_bytes, &added->text, &added->n_bytes);
    size_t at = 0;
    bool is_stopped = !make_room(gather, progress->n_deltas);
    gather->n_bytes = 0;
    for (size_t i = 0; i < progress->n_deltas && !is_stopped; i++) {
        const engine_delta *delta = &progress->deltas[i];
        is_stopped = feed(gather, stops, progress->text + at, delta->n_before - at);
        at = delta->n_before;
        if (is_stopped) break;
        let_go(gather, stops);
        gather->deltas[added->n_deltas++] = delta_of(delta, gather->n_bytes);
    }
    if (!is_stopped) is_stopped = feed(gather, stops, progress->text + at, progress->n_bytes - at);
    added->text = gather->n_bytes > 0 ? gather->text : "";
    added->n_bytes = gather->n_bytes;
    added->deltas = gather->deltas;
    return is_stopped || gather->has_failed;
}

void gather_free(gather *gather) {
    free(gather->text);
    free(gather->deltas);
    *gather = (struct gather){0};
}
