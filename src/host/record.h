/* record.h - keeps what answers showed, as a script that --replay plays (engine/replay_tape.h): text, thoughts, calls, the
 * prompt's progress, the times between them, ends and failures.
 *
 * An answer is written to the file when it has ended, in one piece and behind those that are there already. One that goes
 * on after the death of a worker is in it as a whole, with "crash" where that was. NULL is a recorder that keeps nothing.
 * One thread.
 */
#ifndef HOST_RECORD_H
#define HOST_RECORD_H

#include "answer.h"

typedef struct recorder recorder;

/* Makes the file if it is not there; only its owner can read it. Returns 0, or an errno. */
int recorder_open(const char *path, recorder **recorder);

/* An answer begins in a sequence of the engine. */
void recorder_begin(recorder *recorder, int sequence);

/* What a step made of it: progress in the prompt, or a token with what was shown of it (`added`). */
void recorder_prompt(recorder *recorder, int sequence, const engine_progress *progress, uint64_t now_ns);
void recorder_token(recorder *recorder, int sequence, const engine_progress *progress, const answer_addition *added,
                    uint64_t now_ns);

/* Text and parts that came without a token, behind the last. */
void recorder_rest(recorder *recorder, int sequence, const answer_addition *added);

/* Its end. Returns 0, or an errno: then it is not in the file. */
int recorder_end(recorder *recorder, int sequence, lipc_end end, const char *reason, uint64_t now_ns);

void recorder_close(recorder *recorder);

#endif
