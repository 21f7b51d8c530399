/* ledger.c - see ledger.h. No system calls. */
#include "ledger.h"

#include "../platform/step.h"

#include <stdio.h>

request_note *ledger_note(ledger *ledger, uint32_t index, uint32_t generation) {
    request_note *note = &ledger->notes[index];
    if (note->generation != generation) {
        *note = (request_note){.generation = note->generation};
        STEP("ledger.note.forgotten");
        /* release: last, so that a worker that dies here leaves no request with the guilt of the one before. */
        __atomic_store_n(&note->generation, generation, __ATOMIC_RELEASE);
        STEP("ledger.note.generation");
    }
    return note;
}

const char *ledger_model(const ledger *ledger) {
    uint32_t model = __atomic_load_n(&ledger->model, __ATOMIC_ACQUIRE);
    return model == 0 ? NULL : ledger->models[model - 1];
}

void ledger_set_model(ledger *ledger, const char *path) {
    uint32_t place = ledger->model == 1 ? 1 : 0;
    snprintf(ledger->models[place], sizeof ledger->models[place], "%s", path);
    STEP("ledger.model.path");
    /* release: the path stands. */
    __atomic_store_n(&ledger->model, place + 1, __ATOMIC_RELEASE);
    STEP("ledger.model.chosen");
}

void note_begin(request_note *note) {
    note->is_at_work = true;
    STEP("ledger.begin.at_work");
}

void note_pause(request_note *note) {
    note->is_at_work = false;
    STEP("ledger.pause.at_work");
}

void note_end(request_note *note) {
    note->is_at_work = note->is_suspect = false;
    STEP("ledger.end.at_work");
}

void ledger_progress(ledger *ledger, request_note *note) {
    note->is_suspect = false;
    STEP("ledger.progress.suspect");
    ledger->n_fruitless = 0;
    STEP("ledger.progress.fruitless");
}

static request_note *note_at(ledger *ledger, uint32_t i) {
    return i < LIPC_STREAMS_MAX ? &ledger->notes[i] : &ledger->classic_note;
}

static bool has_suspect_at_work(ledger *ledger) {
    for (uint32_t i = 0; i <= LIPC_STREAMS_MAX; i++)
        if (note_at(ledger, i)->is_at_work && note_at(ledger, i)->is_suspect) return true;
    return false;
}

void ledger_blame(ledger *ledger, int signal, bool is_crash) {
    ledger->last_signal = signal;
    ledger->n_unready = ledger->is_ready ? 0 : ledger->n_unready + 1;
    ledger->is_ready = false;
    if (++ledger->n_fruitless >= LEDGER_FRUITLESS_MOST) is_crash = true;
    bool is_tried = has_suspect_at_work(ledger);
    for (uint32_t i = 0; i <= LIPC_STREAMS_MAX; i++) {
        request_note *note = note_at(ledger, i);
        if (!note->is_at_work) continue;
        note->is_at_work = false;
        if (!is_crash) continue;
        if (note->n_crashes < LEDGER_CRASHES_MOST) note->n_crashes++;
        if ((is_tried && note->is_suspect) || note->n_crashes == LEDGER_CRASHES_MOST) note->is_condemned = true;
        if (!is_tried) note->is_suspect = true;
    }
}
