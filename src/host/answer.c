/* answer.c - see answer.h. */
#include "answer.h"

#include "../platform/platform.h"

#include <stdio.h>

void answer_request_defaults(engine_request *request, const host_options *options) {
    *request = (engine_request){
        .n_predict = options->n_predict,
        .sampling = {
#define FROM_OPTIONS(name, ...) .name = options->name,
                     LIPC_SAMPLING_MAP(FROM_OPTIONS)
#undef FROM_OPTIONS
                     .seed = answer_seed(options->seed),
                     .is_seed_drawn = options->seed < 0,
                     .ignore_eos = options->ignore_eos},
    };
}

bool answer_is_rejected(const journal_entry *entry, int death, char *reason, size_t reason_size) {
    char words[128];
    if (!entry->is_rejected) return false;
    plat_death_words(death, words, sizeof words);
    snprintf(reason, reason_size, "the host's worker crashed %u times while it was at work on this request, the last time "
             "it %s: it is not tried again",
             entry->n_crashes > entry->n_alone ? entry->n_crashes : entry->n_alone, words);
    return true;
}

uint32_t answer_seed(int64_t wanted) {
    uint32_t seed = (uint32_t)wanted;
    if (wanted < 0) plat_random(&seed, sizeof seed);
    return seed;
}
