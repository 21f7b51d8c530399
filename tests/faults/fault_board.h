/* fault_board.h - what a test and the library it preloads (failing_calls.c) share: which call is to fail, and whether it
 * came to that. The memory is shared by all processes of a host, so that each call of each of them has its turn. */
#ifndef LIPC_TESTS_FAULT_BOARD_H
#define LIPC_TESTS_FAULT_BOARD_H

/* In the environment: where the board can be opened. */
#define FAULT_BOARD_VARIABLE "LIPC_TEST_FAULT_BOARD"

typedef enum fault_kind {
    FAULT_HEAP,  /* malloc, calloc, realloc, aligned_alloc, posix_memalign */
    FAULT_SYSTEM, /* mmap, fork, pthread_create */
    FAULT_SIGNAL  /* calls that a signal may interrupt: EINTR */
} fault_kind;

typedef struct fault_board {
    int kind;
    int is_program_only; /* only calls that the program's own code makes, not those of libraries */
    int first;           /* this call fails, and */
    int n_more;          /* so many behind it */
    int n_calls, n_failed; /* atomic */
} fault_board;

#endif
