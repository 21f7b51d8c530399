/* supervise.h - keeping a worker alive. The supervisor evaluates nothing and reads nothing that clients write. */
#ifndef HOST_SUPERVISE_H
#define HOST_SUPERVISE_H

#include "worker.h"

/* Starts a worker, and another whenever one is killed, until one ends by itself; returns its code. A worker takes no notice
 * of what asks a program to end: it learns of that from the journal. One thread. */
host_exit supervise(host_parts *parts);

/* A worker's whole life. */
_Noreturn void supervised_work(host_parts *parts);

#endif
