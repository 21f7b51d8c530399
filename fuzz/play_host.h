/* play_host.h - a host's worker without processes, semaphores and a model's time: the services, the serving loop and an
 * engine on a segment in memory, for the fuzz targets that are its clients. In every turn of the loop the target gets
 * control; time passes only there. */
#ifndef FUZZ_PLAY_HOST_H
#define FUZZ_PLAY_HOST_H

#include "fake_platform.h"

#include "engine/engine.h"
#include "host/journal.h"
#include "host/options.h"

typedef struct host_play {
    hub_view view;
    lipc_hub hub; /* as the host wrote it */
    journal *journal;
    engine *engine; /* the real one */
    void *user_data;
    /* Between two steps, or before the host would sleep: `is_idle`. It is rung afterwards, and does not sleep for long. */
    void (*on_turn)(void *user_data, bool is_idle);
    /* What reaches the engine; NULL: nobody looks. */
    void (*on_admit)(void *user_data, const engine_request *request);
} host_play;

/* The next worker on the segment: takes up what is there and serves until it is asked to stop. */
void play_host(const host_play *play);

/* An engine that plays a text, without a file of its own. */
engine *play_text(const char *text, int32_t n_sequences);

/* The options that a host has without arguments. */
extern const host_options play_options;

#endif
