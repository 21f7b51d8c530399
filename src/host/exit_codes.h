/* exit_codes.h - how chatbot ends. The table makes the enum, the manual page and the documentation's list. */
#ifndef HOST_EXIT_CODES_H
#define HOST_EXIT_CODES_H

#define HOST_EXIT_MAP(X)                                                                                               \
    X(0, OK, "shut down as requested: by a client, SIGTERM, SIGINT or --exit-with-parent")                             \
    X(1, FAILURE, "an unexpected failure, or workers that die before they can serve; the message explains it")             \
    X(2, USAGE, "an unknown option or a bad value")                                                                    \
    X(3, MODEL_MISSING, "the model file does not exist, or cannot be read or fetched")                                            \
    X(4, MODEL_BAD, "the model file is damaged, truncated or not a GGUF model")                                        \
    X(5, CONTEXT, "the context does not fit into memory")                                                              \
    X(6, NO_OBJECTS, "the shared objects cannot be created: /dev/shm is full, read-only or closed to this process")        \
    X(7, NAME_OWNED, "another running host owns the name; the message has its process id")                               \
    X(8, NAME_FOREIGN, "the name belongs to another user")

typedef enum host_exit {
#define HOST_EXIT_ENUM(number, name, text) HOST_EXIT_##name = (number),
    HOST_EXIT_MAP(HOST_EXIT_ENUM)
#undef HOST_EXIT_ENUM
} host_exit;

#endif
