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

/* A worker with so many layers on devices dies, while the request is at work. */
static bool dies(int32_t n_layers, bool has_failed, journal_entry *entry) {
    book.is_ready = entry != NULL;
    book.devices.n_layers = n_layers;
    book.devices.has_failed = has_failed;
    if (entry) journal_entry_begin(entry);
    bool is_device = journal_blame_devices(&book, true);
    journal_blame(&book, SIGSEGV, !is_device);
    return is_device;
}

static void devices(void) {
    book = (journal){0};
    journal_entry *entry = entry_of(0, 1);
    test_step("a driver that says it failed: half of the layers, then none, and no request is blamed");
    CHECK_INT(journal_device_layers_most(&book), ==, -1);
    CHECK(dies(32, true, entry));
    CHECK_INT(journal_device_layers_most(&book), ==, 16);
    CHECK(dies(16, true, entry));
    CHECK_INT(journal_device_layers_most(&book), ==, 0);
    CHECK(!entry->is_quarantined && !entry->is_rejected);

    test_step("another model is loaded: all are tried again");
    journal_devices_forgive(&book);
    CHECK_INT(journal_device_layers_most(&book), ==, -1);

    test_step("crashes with a token between them say nothing about devices");
    for (int i = 0; i < 3; i++) {
        CHECK(!dies(32, false, entry));
        journal_progress(&book, entry);
    }
    test_step("two without a token are a device's, if the request then survives without");
    CHECK(!dies(32, false, entry));
    CHECK(dies(32, false, entry));
    CHECK_INT(journal_device_layers_most(&book), ==, 0);
    CHECK(!entry->is_rejected);
    journal_progress(&book, entry);
    CHECK(!dies(0, false, entry));
    CHECK_INT(journal_device_layers_most(&book), ==, 0);

    test_step("... and the request's, if it does not");
    journal_devices_forgive(&book);
    journal_progress(&book, entry);
    CHECK(!dies(32, false, entry));
    CHECK(dies(32, false, entry));
    CHECK(!dies(0, false, entry));
    CHECK_INT(journal_device_layers_most(&book), ==, -1);
    CHECK(entry->is_rejected);

    test_step("drivers that crash while they start");
    book = (journal){0};
    CHECK(!dies(-1, false, NULL));
    CHECK(dies(-1, false, NULL));
    CHECK_INT(journal_device_layers_most(&book), ==, 0);
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
    devices();
    return test_end();
}
