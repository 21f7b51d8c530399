/* backends.h - the library's parts for the processor and for devices, which are graphics cards and other computers.
 *
 * Loading a part for devices starts their driver, which does not survive a fork and may crash: only a worker does that.
 */
#ifndef LLAMA_COMMON_BACKENDS_H
#define LLAMA_COMMON_BACKENDS_H

#include <llama.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Loads the one for this processor, and those for devices, once. False: there is none for this processor. */
bool backends_load(bool with_devices);

/* Loads the one for other computers (RPC), which is no driver. False: it is not there. */
bool backends_load_rpc(void);

/* The devices that a server at HOST:PORT lends are devices from then on. False: it lends none, or there is no RPC. Where there is no
 * server, the library ends this process: only a worker asks. */
bool backends_add_server(const char *address);

/* Lends this computer's devices, or its processor with so many threads, to whoever connects to HOST:PORT, for good. Returns false
 * if that cannot be, with a sentence. */
bool backends_serve(const char *address, int n_threads, char *message, size_t message_size);

/* Whether a device for layers is among what was loaded. */
bool backends_have_devices(void);

/* Loads all. The devices besides the processor, one a line, with their memory; then what is there and does not work, one a line
 * that begins with "unusable: "; if there are no devices at all, "no devices besides the processor" and what is known of why. */
void backends_list_devices(FILE *file);

/* Evaluates, and waits for the end. Returns what llama_decode does; where a driver gives up in its own way, BACKENDS_DRIVER_FAILED,
 * with its words in `reason`, which is empty otherwise. */
#define BACKENDS_DRIVER_FAILED (-100)
int32_t backends_decode(struct llama_context *context, struct llama_batch batch, char *reason, size_t reason_size);

/* Why there are no devices, in a sentence without its period. */
void backends_explain(char *text, size_t size);

#ifdef __cplusplus
}
#endif

#endif
