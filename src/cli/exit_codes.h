/* exit_codes.h - how llamaipc ends. The table makes the enum, the manual page and the documentation's list. */
#ifndef CLI_EXIT_CODES_H
#define CLI_EXIT_CODES_H

#define CLI_EXIT_MAP(X)                                                                                                \
    X(0, OK, "success")                                                                                                \
    X(1, FAILURE, "an unexpected failure; the message explains it")                                                    \
    X(2, USAGE, "an unknown command or option, a bad value, or no question")                                           \
    X(3, REFUSED, "the host cannot serve the request: it is too long, or not valid")                                   \
    X(4, FAILED, "the model failed while answering, or could not be loaded")                                           \
    X(5, NO_HOST, "no host is running under the name, and none could be started")                                      \
    X(6, HOST_GONE, "the host exited or was killed in the meantime")                                                   \
    X(7, TIMEOUT, "the time-out passed")                                                                               \
    X(8, WRONG, "doctor found a problem that it did not fix")                                                         \
    X(130, CANCELLED, "cancelled: by Ctrl-C, or by llamaipc cancel")

typedef enum cli_exit {
#define CLI_EXIT_ENUM(number, name, text) CLI_EXIT_##name = (number),
    CLI_EXIT_MAP(CLI_EXIT_ENUM)
#undef CLI_EXIT_ENUM
} cli_exit;

/* The exit code for a lipc_error. */
cli_exit cli_exit_for(int error);

#endif
