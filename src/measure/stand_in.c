/* stand_in.c - see stand_in.h. */
#define _GNU_SOURCE
#include "stand_in.h"

#include "../channel/names.h"
#include "measure.h"

#include <lipc/lipc.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define TAKE_NS 10000000000LL

static char *make_memory(stand_in *host, bool has_name) {
    static int n_made;
    char object[NAMES_OBJECT_SIZE];
    bool adopted;
    int owner;
    if (!has_name) {
        char *base = mmap(NULL, host->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        return base == MAP_FAILED ? NULL : base;
    }
    snprintf(host->name, sizeof host->name, "bench_%ld_s%d", (long)getpid(), n_made++);
    names_object(object, host->name, LIPC_SUFFIX_SEGMENT);
    if (plat_segment_own(object, host->size, &host->segment, &adopted, &owner) < 0)
        return NULL;
    return plat_segment_base(host->segment);
}

static void begin_answer(stand_in *host, uint32_t generation) {
    stream_writer_begin(&host->writer, &host->view, 0, generation, plat_clock_ns());
    stream_writer_start(&host->writer, 1, 0, plat_clock_ns());
}

void stand_in_open(stand_in *host, bool has_name, uint32_t log_size) {
    uint64_t start_time = 0;
    *host = (stand_in){0};
    hub_plan(&host->view.at, 1, HUB_REQUEST_SIZE_MIN, log_size);
    host->size = host->view.at.segment_size;
    host->view.base = make_memory(host, has_name);
    if (host->view.base == NULL)
        fail("cannot make shared memory: %s", plat_os_error());
    plat_process_start_time(plat_process_own_pid(), &start_time);
    hub_clear(&host->view);
    hub_begin(&host->view, plat_process_own_pid(), start_time, "bench");
    __atomic_store_n(&hub_of(&host->view)->state, LIPC_HUB_READY, __ATOMIC_RELEASE);
    if (has_name)
        return;
    stream_watch(hub_stream(&host->view, 0), 0);
    begin_answer(host, stream_claim_generation(stream_claim_now(hub_stream(&host->view, 0))));
}

void stand_in_take(stand_in *host) {
    const int64_t deadline = now_ns() + TAKE_NS;
    uint64_t claim;
    while (claim = stream_claim_now(hub_stream(&host->view, 0)), stream_claim_phase(claim) != LIPC_CLAIM_SUBMITTED) {
        if (now_ns() > deadline)
            fail("no client came");
        sleep_ns(100000);
    }
    /* Its client has found it: from here on a program that is killed leaves nothing behind. */
    plat_segment_remove(host->segment);
    begin_answer(host, stream_claim_generation(claim));
}

/* The host's own is ring_watchers in ../host/stream_service.c. */
static void ring_watchers(stand_in *host, uint32_t about) {
    const lipc_stream_header *header = host->writer.header;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    for (uint32_t word = 0; word < LIPC_CLIENTS_MAX / 64; word++) {
        uint64_t bits = __atomic_load_n(&header->watchers[word], __ATOMIC_RELAXED);
        for (; bits != 0; bits &= bits - 1) {
            const uint32_t client = word * 64 + (uint32_t)__builtin_ctzll(bits);
            plat_doorbell_ring(hub_bell(&hub_client(&host->view, client)->bell), about);
        }
    }
}

void stand_in_publish(stand_in *host, const char *text, size_t n_bytes) {
    const bool is_first = host->writer.n_bytes == 0;
    const stream_token token = {.id = (int32_t)host->writer.n_tokens};
    if (stream_writer_append(&host->writer, text, n_bytes, &token, plat_clock_ns()) != STREAM_FITS)
        fail("the log is full");
    ring_watchers(host, is_first ? PLAT_BELL_ALL : PLAT_BELL_NEWS);
}

void stand_in_end(stand_in *host) {
    stream_writer_end(&host->writer, LIPC_END_TURN, 0, "", plat_clock_ns());
    ring_watchers(host, PLAT_BELL_ALL);
}

void stand_in_close(stand_in *host) {
    if (host->segment == NULL) {
        munmap(host->view.base, host->size);
        return;
    }
    plat_segment_remove(host->segment);
    plat_segment_close(host->segment);
}
