/* thoughts.c - see thoughts.h. */
#include "thoughts.h"

#include "terminal.h"

#include "../platform/platform.h"

#include <stdio.h>
#include <string.h>

/* Of a thought, as it grows, its last bytes; less on a narrow terminal. */
#define SHOWN_BYTES 60

static void show_growing(const thoughts *thoughts) {
    const text *thought = &thoughts->thought;
    size_t from = thought->n_bytes > SHOWN_BYTES ? thought->n_bytes - SHOWN_BYTES : 0;
    char shown[SHOWN_BYTES + 1];
    while (from < thought->n_bytes && ((unsigned char)thought->bytes[from] & 0xC0) == 0x80) from++;
    snprintf(shown, sizeof shown, "%s", thought->bytes ? thought->bytes + from : "");
    terminal_progress("thinking: %s%s", from > 0 ? "... " : "", shown);
}

static void end_thought(thoughts *thoughts, bool is_folded) {
    if (thoughts->began_ns == 0) return;
    double s = (double)(plat_clock_ns() - thoughts->began_ns) / 1e9;
    thoughts->began_ns = 0;
    terminal_progress_clear();
    if (is_folded) terminal_say("(thought for %.1f s)", s);
}

static void end_call(thoughts *thoughts) {
    if (thoughts->call.n_bytes == 0) return;
    terminal_say("the model calls %s (id %s); nothing was run", thoughts->call.bytes, thoughts->call_id);
    text_free(&thoughts->call);
}

void thoughts_take(thoughts *thoughts, const lipc_part_delta *delta, bool is_folded) {
    if (delta->begins || delta->kind == LIPC_PART_TEXT) end_call(thoughts);
    if (delta->kind != LIPC_PART_THOUGHT) end_thought(thoughts, is_folded);
    if (delta->kind == LIPC_PART_THOUGHT) {
        if (delta->begins && thoughts->thought.n_bytes > 0) text_add(&thoughts->thought, "\n", 1);
        if (delta->begins) thoughts->began_ns = plat_clock_ns();
        text_add(&thoughts->thought, delta->text, delta->n_bytes);
        show_growing(thoughts);
    } else if (delta->kind == LIPC_PART_CALL) {
        if (delta->begins) {
            thoughts->n_calls++;
            snprintf(thoughts->call_id, sizeof thoughts->call_id, "%s", delta->call_id);
            text_add(&thoughts->call, delta->name, strlen(delta->name));
            text_add(&thoughts->call, " ", 1);
        }
        text_add(&thoughts->call, delta->text, delta->n_bytes);
    }
}

void thoughts_end(thoughts *thoughts, bool is_folded) {
    end_call(thoughts);
    end_thought(thoughts, is_folded);
}

void thoughts_free(thoughts *thoughts) {
    text_free(&thoughts->thought);
    text_free(&thoughts->call);
    *thoughts = (struct thoughts){0};
}
