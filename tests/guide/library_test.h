/* library_test.h - checks of what liblipc returns. */
#ifndef LIPC_TESTS_LIBRARY_TEST_H
#define LIPC_TESTS_LIBRARY_TEST_H

#include "guide_test.h"

#include "lipc/lipc.h"

/* The call gives this code; a failure never comes without a message. */
#define CHECK_LIPC(call, expected)                                                                                     \
    do {                                                                                                               \
        int got_ = (call);                                                                                             \
        CHECK_SAY(got_ == (int)(expected), "%s gave %s (%s), expected %s", #call, lipc_error_name(got_),               \
                  lipc_error_message(), lipc_error_name(expected));                                                    \
        CHECK_SAY(got_ == 0 || lipc_error_message()[0] != 0, "%s failed without a message", #call);                    \
    } while (0)

#endif
