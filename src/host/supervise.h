/* supervise.h - keeping a worker alive. The supervisor evaluates nothing and reads nothing that clients write. */
#ifndef HOST_SUPERVISE_H
#define HOST_SUPERVISE_H

#include "worker.h"

#include <signal.h>

/* Starts a worker, and another whenever one is killed, until one ends by itself; returns its code. In the worker the
 * signals of `ending` are ignored: it learns of them from the journal. One thread. */
host_exit supervise(host_parts *parts, const sigset_t *ending);

#endif
