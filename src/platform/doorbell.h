/* doorbell.h - what doorbell.c asks of a port. */
#ifndef PLAT_DOORBELL_H
#define PLAT_DOORBELL_H

#include "platform.h"

/* Wakes all who sleep in plat_doorbell_wait on this bell, in whatever process, or are about to: `rings` has changed. Leaves
 * errno as it is. Any thread; async-signal-safe. */
void plat_doorbell_wake(plat_doorbell *bell);

#endif
