/* doctor.h - what llamaipc doctor finds: its list, and those who look. */
#ifndef CLI_DOCTOR_H
#define CLI_DOCTOR_H

#include "commands.h"
#include "options.h"

#include "lipc/layout.h"

/* Name and what it is: the faults that are looked for. The names are for programs, and stay. */
#define DOCTOR_FAULT_MAP(X)                                                                                            \
    X(NO_CHATBOT, "no-chatbot", "there is no host program")                                                            \
    X(LIBRARY, "library", "the inference library is missing, incomplete, or does not fit this system")                 \
    X(PROCESSOR, "processor", "the processor lacks instructions that the program needs")                               \
    X(DEVICE, "device", "the backend for graphics cards is there and does not work, or its driver fails")                \
    X(MODEL_MISSING, "model-missing", "the model's file is not there, or cannot be read")                              \
    X(MODEL_DAMAGED, "model-damaged", "it is truncated, damaged or no model")                                          \
    X(MEMORY_FULL, "memory-full", "/dev/shm has no room for a host")                                                   \
    X(MEMORY_CLOSED, "memory-closed", "/dev/shm is missing or cannot be written")                                      \
    X(STALE_OBJECTS, "stale-objects", "a dead host's shared memory or semaphores")                                     \
    X(DEAD_CLIENTS, "dead-clients", "records of client processes that have ended")                                     \
    X(DEAD_WORKER, "dead-worker", "a worker that outlives its host")                                                   \
    X(WRONG_OWNER, "wrong-owner", "an object of the instance belongs to another user")                                 \
    X(OTHER_VERSION, "other-version", "shared memory of another version of the channel")                               \
    X(DAMAGED, "damaged", "shared memory that is no hub of ours, or has been written over")                            \
    X(NO_SEMAPHORES, "no-semaphores", "a running host's semaphores are gone or damaged")                               \
    X(STOPPED, "stopped", "a running host's process has been stopped")                                                 \
    X(ELSEWHERE, "elsewhere", "the host lives in another pid namespace")                                               \
    X(STRAY, "stray", "a host that cannot be found by its name: it lost it, or lies in another /dev/shm")               \
    X(FOREIGN_LOCK, "foreign-lock", "a process that is no host holds the lock of a host's shared memory")

typedef enum doctor_fault {
    DOCTOR_NONE,
#define DOCTOR_FAULT_ENUM(constant, name, text) DOCTOR_##constant,
    DOCTOR_FAULT_MAP(DOCTOR_FAULT_ENUM)
#undef DOCTOR_FAULT_ENUM
} doctor_fault;

/* Most are about one thing; a fault that was fixed stays in the list. */
typedef struct doctor_finding {
    doctor_fault fault;        /* NONE: this is in order */
    bool is_fixed;
    bool is_mendable;          /* --fix can do it */
    const char *subject;       /* "model", "host", ...; static */
    char instance[LIPC_NAME_MAX + 1];
    char text[640];
    char advice[320];          /* what to do; "" if nothing */
} doctor_finding;

#define DOCTOR_FINDINGS_MAX 256

typedef struct doctor {
    const cli_options *options;
    doctor_finding findings[DOCTOR_FINDINGS_MAX];
    int n_findings; /* further ones are left out */
} doctor;

/* Adds to the list; never NULL. */
__attribute__((format(printf, 3, 4))) doctor_finding *doctor_good(doctor *doctor, const char *subject,
                                                                  const char *format, ...);
__attribute__((format(printf, 4, 5))) doctor_finding *doctor_wrong(doctor *doctor, doctor_fault fault,
                                                                   const char *subject, const char *format, ...);
__attribute__((format(printf, 2, 3))) void doctor_advise(doctor_finding *finding, const char *format, ...);

/* The host program, its library and the model that it would load. */
void doctor_check_program(doctor *doctor);

/* Graphics cards and other devices that the host program finds. */
void doctor_check_devices(doctor *doctor);

/* Room for shared memory; `is_after`: once more, after things were fixed. */
void doctor_check_memory(doctor *doctor, bool is_after);

/* The instance of the options, and what dead hosts of others have left. With --fix fixes what it may: only what nobody
 * owns, which is made sure of by owning it. */
void doctor_check_instances(doctor *doctor);

#endif
