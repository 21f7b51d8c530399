/* journal.h - what the host must know when its worker has died, and what clients must not reach: memory that supervisor
 * and worker share, and nobody else.
 *
 * Word              written by             when the writer dies right after
 * stop              supervisor's signals,  the next worker sees it at its start
 *                   worker's watch
 * n_workers, last_* supervisor             no worker runs then
 * is_ready          worker                 false: this worker never served
 * n_fruitless       supervisor, worker     one death too many or too few is counted
 * entries             worker                 see journal_entry_begin
 * generations       worker                 the claim may be one ahead
 * models, model     worker                 models: the other one counts; model: the next worker loads it
 * facts_version     worker                 one number is left out
 * classic           worker                 classic_service.h
 * devices           n_layers, has_failed:  0, false: a death counts as one that no device had to do with
 *                   worker; rest: supervisor, and worker when a client loads a model
 */
#ifndef HOST_JOURNAL_H
#define HOST_JOURNAL_H

#include "../channel/classic_block.h"

#include <stdbool.h>
#include <stdint.h>

/* What may end the host from outside; set by signal handlers and watching threads, which then ring the bell. */
typedef struct stop_request {
    int drain; /* atomic: finish the answers at hand, then end */
    int now;   /* atomic: end the answers at hand where they are, then end */
} stop_request;

/* One request, as far as the deaths of workers go. */
typedef struct journal_entry {
    uint32_t generation; /* of the stream that it is in; whose entry this is */
    bool is_at_work;     /* it is being read, or the engine has it */
    bool is_quarantined;     /* it was at work when a worker crashed, and has made no token since */
    bool is_rejected;   /* it is not tried again */
    uint8_t n_crashes;   /* that it was there at since it last made a token */
    uint8_t n_alone;     /* that it was alone at, whatever it made in between */
    uint64_t file_sum;   /* of the model that it was begun with (engine_model_facts); 0: not known */
} journal_entry;

/* A process that the host ends with. */
typedef struct followed_process {
    int pid; /* 0: none */
    uint64_t start_time;
} followed_process;

typedef enum classic_phase {
    CLASSIC_IDLE,      /* no request */
    CLASSIC_ANSWERING, /* `request` is whole; its answer is being made */
    CLASSIC_COMPLETE   /* the answer is final in the block; perhaps not all permits were posted, or taken */
} classic_phase;

/* More tokens than an answer of 32,767 bytes has, unless most of them have no text. */
#define JOURNAL_CLASSIC_TOKENS 65536

typedef struct classic_record {
    int phase;         /* atomic: classic_phase */
    bool is_announced; /* sem_ready was posted for the first time */
    uint32_t abandoned_reader; /* of the last client that did not take its answer; it may still stand in the block */
    classic_request request;
    uint32_t seed;
    uint32_t n_tokens; /* made; each before it is shown */
    uint32_t n_shown;  /* whose text is in the block for sure */
    int32_t tokens[JOURNAL_CLASSIC_TOKENS];
} classic_record;

/* Layers on devices, whose drivers may take a worker with them. */
typedef struct device_record {
    int32_t n_layers;   /* that this worker has there; negative: not known, as it is loading */
    bool has_failed;    /* a driver said so, and the worker dies of it */
    bool is_limited;    /* the next worker puts at most `most` there */
    int32_t most;
    bool is_suspected;  /* limited because of crashes that may have another reason */
    unsigned n_deaths;  /* of workers with layers there, for no known reason, since a token was made */
} device_record;

typedef struct journal {
    stop_request stop;
    lipc_hub hub;        /* as the host wrote it when it began; before the first worker */
    unsigned n_workers;  /* started so far */
    int last_death;      /* how the last worker was killed (plat_worker_wait); 0: none was */
    bool is_ready;       /* this worker serves */
    unsigned n_unready;  /* workers in a row that were killed before they served */
    unsigned n_fruitless;/* workers in a row that were killed without having made a token */
    followed_process parent, starter;
    classic_record classic;
    journal_entry classic_entry;
    journal_entry entries[LIPC_STREAMS_MAX];
    uint32_t generations[LIPC_STREAMS_MAX]; /* of the streams, whatever their claims say */
    char models[2][LIPC_MODEL_PATH_MAX + 1];
    uint32_t model;         /* atomic: 1 + the place in `models` of the one that a client chose; 0: the options' */
    uint32_t facts_version; /* as the hub shows it */
    device_record devices;
} journal;

/* Workers in a row that may be killed before they serve. */
#define JOURNAL_UNREADY_MOST 10

/* The entry of a request in stream `index`; what was noted of another generation is forgotten. */
journal_entry *journal_entry_of(journal *journal, uint32_t index, uint32_t generation);

/* The file of the model that a client chose last and that could be opened; NULL: none, it is the options'. */
const char *journal_model(const journal *journal);
void journal_set_model(journal *journal, const char *path);

/* The request is read or given to the engine; nobody is at work on it for now; it is done with. A worker that dies
 * behind the first died with this request at work. */
void journal_entry_begin(journal_entry *entry);
void journal_entry_pause(journal_entry *entry);
void journal_entry_end(journal_entry *entry);

/* A new token was made: of the crashes at which others were at work, too, this request is acquitted. */
void journal_progress(journal *journal, journal_entry *entry);

/* Layers that a worker may put on devices; negative: any number. */
int32_t journal_device_layers_most(const journal *journal);

/* A client loads a model: devices are tried again. */
void journal_devices_forgive(journal *journal);

/* Supervisor, before journal_blame: whether the worker died of a device, and not of a request. The limit for the next one:
 *   - a driver said that it failed: half of the layers, and after the next such death none;
 *   - JOURNAL_DEVICE_DEATHS workers in a row that had layers there crashed without a token in between: none. If the next worker
 *     crashes as well, without a device and without a token, it was a request, and the limit is lifted;
 *   - a worker that the system kills again and again before it serves may want more memory than there is, and counts as well. */
#define JOURNAL_DEVICE_DEATHS 2
#define JOURNAL_DEVICE_UNREADY 3
bool journal_blame_devices(journal *journal, bool is_crash);

/* Supervisor: a worker was killed by this signal. Finds out who may be to blame:
 *   - a request that was quarantined and alone at work is rejected;
 *   - else all that were at work are in quarantine from now on;
 *   - who was there at JOURNAL_CRASHES_MOST crashes without having made a token in between, or was alone at as many, is
 *     rejected anyway.
 * A signal from outside is nobody's fault, unless JOURNAL_FRUITLESS_MOST workers in a row ended like that without a token:
 * then it is taken for a crash (a request that makes the system kill the worker for its memory). */
#define JOURNAL_CRASHES_MOST 8
#define JOURNAL_FRUITLESS_MOST 20
void journal_blame(journal *journal, int death, bool is_crash);

#endif
