/* journal_rules.c - who is blamed for the deaths of workers: the request that brings them down, and nobody who makes
 * tokens beside it, however many such requests come. */
#include "../support/harness.h"

#include "host/journal.h"

#include <signal.h>

enum { INNOCENT = 0, GUILTY = 1 };

static journal book;

static journal_entry *entry_of(uint32_t place, uint32_t generation) {
    return journal_entry_of(&book, place, generation);
}

/* A request that no worker survives, beside one that makes tokens: both are quarantined, the innocent makes a token, the
 * other is tried and found out. */
static void one_guilty_request(uint32_t generation) {
    journal_entry *innocent = entry_of(INNOCENT, 1), *guilty = entry_of(GUILTY, generation);
    book.is_ready = true;
    journal_entry_begin(innocent);
    journal_entry_begin(guilty);
    journal_blame(&book, SIGSEGV, true);
    CHECK(innocent->is_quarantined && guilty->is_quarantined);
    book.is_ready = true;
    journal_entry_begin(innocent);
    journal_progress(&book, innocent);
    journal_entry_begin(guilty);
    journal_blame(&book, SIGSEGV, true);
    CHECK(guilty->is_rejected);
    CHECK_SAY(!innocent->is_rejected, "after %u such requests the one that makes tokens is rejected", generation);
    journal_entry_end(guilty);
    book.is_ready = true;
    journal_entry_begin(innocent);
    journal_progress(&book, innocent);
    CHECK(!innocent->is_quarantined);
}

int main(void) {
    test_begin("journal_rules", 10);
    test_step("many guilty requests beside one that makes tokens");
    for (uint32_t generation = 1; generation <= 50; generation++)
        one_guilty_request(generation);

    test_step("who makes none is rejected at last, whoever else was there");
    journal_entry *stuck = entry_of(2, 1);
    for (int i = 0; i < JOURNAL_CRASHES_MOST; i++) {
        CHECK(!stuck->is_rejected);
        stuck->is_quarantined = false; /* as if others had been tried each time */
        journal_entry_begin(stuck);
        journal_blame(&book, SIGSEGV, true);
    }
    CHECK(stuck->is_rejected);
    return test_end();
}
