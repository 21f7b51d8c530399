/* top_rows.h - what llamaipc top shows, collected from a look at a host: one row for each stream in use, for each client
 * that has none, and for the classic channel while it is at work. */
#ifndef CLI_TOP_ROWS_H
#define CLI_TOP_ROWS_H

#include "inspect.h"

typedef struct top_row {
    int pid;           /* of the client; 0: none, or not known */
    int stream;        /* 1, 2, ...; 0: none */
    char state[16];
    int queue;         /* place in the queue, the next one is 1; 0: it does not wait */
    int n_prompt;      /* tokens; negative: there is no such thing in this row, as for all below */
    int n_cached;
    int n_tokens;
    double rate;       /* tokens per second: since the last look, or of the whole answer if it has ended */
    double first_s;    /* from the request to its first token */
    bool is_at_work;   /* tokens are being made or read */
    char program[INSPECT_PROGRAM_SIZE];
} top_row;

/* What a stream had at the last look. */
typedef struct top_mark {
    uint32_t generation;
    int n_tokens;
    uint64_t at_ns;
} top_mark;

typedef struct top_rows {
    inspected_host host;
    uint32_t n_records;
    int n_detached;
    double rate;       /* of all together */
    top_row *rows;     /* in the order of their streams, clients without one behind them */
    size_t n_rows;
    uint64_t host_start_time;
    top_mark *marks;   /* the last look's, by stream, the classic channel's behind them */
    size_t n_marks;
} top_rows;

/* Zero is the empty state. Looks again; what was there is replaced. False: not enough memory. */
bool top_rows_look(top_rows *rows, const inspection *inspection);
void top_rows_free(top_rows *rows);

typedef enum top_column {
    TOP_PID, TOP_STREAM, TOP_STATE, TOP_QUEUE, TOP_PROMPT, TOP_CACHED, TOP_TOKENS, TOP_RATE, TOP_FIRST, TOP_PROGRAM,
    TOP_N_COLUMNS
} top_column;

/* Numbers the larger first but for pid and stream, texts by the alphabet; `is_reversed` the other way round. */
void top_rows_sort(top_rows *rows, top_column column, bool is_reversed);

#endif
