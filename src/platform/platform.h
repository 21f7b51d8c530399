/* platform.h - what the project asks of an operating system, and nothing else.
 *
 * The files of one port lie in one folder (linux/, windows/) and are named after the parts below. Code above this line of the
 * house contains no system call and no #ifdef for a system.
 *
 * Errors: functions that can fail return 0 or a negative plat_error; plat_os_error() tells the calling thread the
 * system's own reason for the last failure. Nothing here prints, exits or installs signal handlers.
 * Threads: different objects may be used from different threads freely; for one object see each function.
 */
#ifndef PLAT_PLATFORM_H
#define PLAT_PLATFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#define PLAT_NORETURN [[noreturn]]
#else
#define PLAT_NORETURN _Noreturn
#endif

typedef enum plat_error {
    PLAT_OK = 0,
    PLAT_E_NOT_FOUND = -1,     /* no object of that name */
    PLAT_E_OWNED = -2,         /* a live process owns the object */
    PLAT_E_FOREIGN_USER = -3,  /* the object belongs to another user */
    PLAT_E_NO_SPACE = -4,      /* the system has no room for the object (a full /dev/shm) */
    PLAT_E_READ_ONLY = -5,     /* the place of the objects cannot be written */
    PLAT_E_NO_MEMORY = -6,     /* no memory for the process itself */
    PLAT_E_UNEXPECTED = -7,    /* the object is not what it should be (a wrong size, not a semaphore) */
    PLAT_E_SYSTEM = -8,        /* anything else: see plat_os_error */
    PLAT_E_TIMEOUT = -9,       /* the deadline passed */
    PLAT_E_CONFINED = -10,     /* it is refused although its owner and mode allow it: a sandbox or a security module */
    PLAT_E_FILE_LIMIT = -11    /* larger than files of this process may be (ulimit -f) */
} plat_error;

/* The system's reason for the last failed plat_ call of this thread, e.g. "No space left on device"; "" if none. */
const char *plat_os_error(void);

/* ---- clock ---------------------------------------------------------------------------------------------------------
 * Monotonic nanoseconds since an arbitrary start; never jumps with the wall clock. */
uint64_t plat_clock_ns(void);

/* A deadline `timeout_ms` from now; negative: PLAT_NEVER. */
#define PLAT_NEVER UINT64_MAX
uint64_t plat_deadline_ns(int timeout_ms);

/* Processor time that the calling thread has used: what work costs, however busy the machine is. */
uint64_t plat_thread_ns(void);

/* Sleeps so long, or less if a signal comes. For looks at what nobody rings for. */
void plat_pause_ms(int ms);

/* What stands for the pid of a process that lives in another pid namespace, where its number means nothing. */
#define PLAT_PID_ELSEWHERE (-1)

/* ---- segment -------------------------------------------------------------------------------------------------------
 * A named piece of shared memory with at most one owner. Ownership ends with the process, at whatever instruction it
 * dies, and is never inherited by a child. Names are POSIX ones: "/llama_cpp_shared_mem". On Windows that is
 * "Local\\llama_cpp_shared_mem", and lives only as long as somebody has it open: see windows/segment.c. */
typedef struct plat_segment plat_segment;

/* Creates the segment, or adopts one whose owner is dead, and becomes its owner. A new one is complete the moment
 * others can open it: full size, zeroed, memory reserved, owned. An adopted one is the same object, grown to
 * `size_bytes` if it is shorter (UNEXPECTED where the system cannot do that), its memory reserved, its content untouched
 * (*adopted is set). A worker of the dead
 * owner that is still on its way out is waited for, some seconds at most.
 * Errors: OWNED (*owner_pid tells by whom), FOREIGN_USER, NO_SPACE, READ_ONLY, CONFINED, FILE_LIMIT, UNEXPECTED,
 * NO_MEMORY, SYSTEM. */
int plat_segment_own(const char *name, size_t size_bytes, plat_segment **segment, bool *adopted, int *owner_pid);

/* Opens an existing segment for reading and writing, as a client does. Maps `size_bytes`; 0: all of it.
 * Errors: NOT_FOUND, FOREIGN_USER, CONFINED, UNEXPECTED (shorter than size_bytes), NO_MEMORY, SYSTEM. */
int plat_segment_open(const char *name, size_t size_bytes, plat_segment **segment);

/* The same for all of it and for reading only: whoever looks on can neither harm nor hold anybody up. A store into it
 * ends the process. */
int plat_segment_look(const char *name, plat_segment **segment);

/* Becomes the owner of what a dead owner left, as it is: nothing is made, grown or waited for. Errors: NOT_FOUND, OWNED (a
 * live owner's, or a worker outlives the dead one; *owner_pid tells which), FOREIGN_USER, UNEXPECTED (empty, or no
 * object), NO_MEMORY, SYSTEM. */
int plat_segment_take(const char *name, plat_segment **segment, int *owner_pid);

/* In a worker of the owner (see below): as long as this process lives, whoever wants to own the segment waits for it,
 * also when the owner is dead. Errors: OWNED (another worker still lives). */
int plat_segment_work(plat_segment *segment);

void *plat_segment_base(const plat_segment *segment);
size_t plat_segment_size(const plat_segment *segment);

/* The pid of the segment's owner now; 0 if nobody owns it, PLAT_PID_ELSEWHERE if the owner lives in another pid
 * namespace. No blocking. Any thread. Not for the owner itself. */
int plat_segment_owner_pid(const plat_segment *segment);

/* The pid of the owner's worker now; 0 if there is none. Otherwise as above. */
int plat_segment_worker_pid(const plat_segment *segment);

/* Whether the name still leads to this very object. Any thread. */
bool plat_segment_is_current(const plat_segment *segment);

/* Whether the object is still as long as it was mapped: another program of the user may truncate it, and a look at what
 * is gone ends the process. Any thread; async-signal-safe. */
bool plat_segment_is_whole(const plat_segment *segment);

/* How long a truncated object is: at most as long as it was mapped. Any thread. */
size_t plat_segment_length(const plat_segment *segment);

/* Writes into a truncated object, which becomes as long as that needs: nobody sees the bytes as zeroes before. In the order of
 * their offsets. Errors: as plat_segment_own. Owner. */
int plat_segment_write(plat_segment *segment, size_t offset, const void *bytes, size_t n_bytes);

/* Makes a truncated object as long as it was again: what is new of it is zero. Errors: as plat_segment_own. Owner. */
int plat_segment_mend(plat_segment *segment);

/* Whether a process has the segment mapped: OK, NOT_FOUND (it has not), SYSTEM (this user may not know). Takes longer the
 * more that process has mapped: some milliseconds at most. Any thread. */
int plat_segment_is_used_by(const plat_segment *segment, int pid);

/* Takes the name away if it still leads to this object (somebody may have put another in its place). Where a name stays as
 * long as somebody holds it, nobody finds it any more through this contract. Owner and its worker only. */
void plat_segment_remove(plat_segment *segment);

/* Unmaps; an owner also gives up its ownership. NULL allowed. Does not remove the name. */
void plat_segment_close(plat_segment *segment);

/* Waits until something was created among the named objects, since the watch was opened, or the deadline passes.
 * plat_namespace_wait returns PLAT_OK (look again) or TIMEOUT or SYSTEM. One thread at a time. */
typedef struct plat_namespace_watch plat_namespace_watch;
int plat_namespace_watch_open(plat_namespace_watch **watch);
int plat_namespace_wait(plat_namespace_watch *watch, uint64_t deadline_ns);
void plat_namespace_watch_close(plat_namespace_watch *watch);

/* ---- semaphore -----------------------------------------------------------------------------------------------------
 * A named counting semaphore, the system's own kind, so that other programs can open it. */
typedef struct plat_semaphore plat_semaphore;

/* Creates the semaphore with value 0, or opens the one that is there; a file that is no semaphore, or a damaged one, is
 * replaced. It holds `most` permits where the system has such a limit (Windows). A new one is complete the moment others
 * can open it, and a death in between leaves nothing behind. Errors:
 * FOREIGN_USER, NO_SPACE, READ_ONLY, CONFINED, FILE_LIMIT, UNEXPECTED, NO_MEMORY, SYSTEM. */
int plat_semaphore_own(const char *name, int most, plat_semaphore **semaphore);

/* Opens an existing semaphore. Errors: NOT_FOUND, FOREIGN_USER, UNEXPECTED, NO_MEMORY, SYSTEM. */
int plat_semaphore_open(const char *name, plat_semaphore **semaphore);

/* Adds one permit; a semaphore that is full stays full. Any thread; async-signal-safe. */
void plat_semaphore_post(plat_semaphore *semaphore);

/* Takes a permit if there is one. Any thread. */
bool plat_semaphore_try_wait(plat_semaphore *semaphore);

/* Takes a permit, waiting for it until the deadline. Signals do not end the wait. PLAT_OK or TIMEOUT. Any thread. */
int plat_semaphore_wait(plat_semaphore *semaphore, uint64_t deadline_ns);

/* Permits there are now. Any thread. */
int plat_semaphore_value(plat_semaphore *semaphore);

/* Whether somebody may be waiting for a permit now: false only where the system shows that nobody is. A waiter that was
 * killed may count for good. Any thread. */
bool plat_semaphore_may_have_waiter(plat_semaphore *semaphore);

/* Adds one permit for somebody who waits for it. False: nobody waits, and none was added. As exact as above, or more: where
 * the system tells whether a permit found a taker, one that found none is taken back at once. Any thread. */
bool plat_semaphore_hand_over(plat_semaphore *semaphore);

/* The processes that have the semaphore open, as far as this user may know, without this one and the one that started it.
 * At most n_most are written; returns how many there are. Looks at all processes: some 10 ms. Any thread. */
size_t plat_semaphore_users(const plat_semaphore *semaphore, int *pids, size_t n_most);

/* Whether this process has it open. Any thread. */
bool plat_semaphore_is_used_by(const plat_semaphore *semaphore, int pid);

/* Threads that sleep for a permit now, without those that were killed or are stopped; negative where the system does not
 * tell. Any thread. */
int plat_semaphore_n_asleep(const plat_semaphore *semaphore);

/* Whether each process that plat_semaphore_users finds for `used` has one thread alone, which sleeps for a permit of
 * `awaited` now; false if there is none, or where that is not known. Looks at all processes twice. Any thread. */
bool plat_semaphore_users_all_wait(const plat_semaphore *used, const plat_semaphore *awaited);

/* Takes all permits back. Ends also if somebody posts without a pause. Any thread. */
void plat_semaphore_drain(plat_semaphore *semaphore);

/* Takes the name away if it still leads to this object. */
void plat_semaphore_remove(plat_semaphore *semaphore);

/* Closes; NULL allowed. Does not remove the name. */
void plat_semaphore_close(plat_semaphore *semaphore);

/* ---- housekeeping --------------------------------------------------------------------------------------------------
 * For a program that looks after what others left. */

/* Calls `visit` with each named object, "/name", of whatever user and kind. Errors: SYSTEM (there is no place of the
 * objects). */
int plat_objects_visit(void (*visit)(void *user_data, const char *name, bool is_semaphore), void *user_data);

/* A process other than this one that has the object mapped, as far as this user may know; 0 if there is none. */
int plat_object_user_pid(const char *name, bool is_semaphore);

/* A process that owns a segment of this name to which the name does not lead here; 0: none that this user may know of.
 * *is_nameless: the name was taken away; otherwise the segment lies in another place of objects, as in a container. Looks
 * at all processes: some 10 ms. */
int plat_segment_stray_owner(const char *name, bool *is_nameless);

/* Takes the name away of a plain object of this user's. Errors: NOT_FOUND, FOREIGN_USER, READ_ONLY, UNEXPECTED, SYSTEM. */
int plat_object_discard(const char *name, bool is_semaphore);

/* Room in the place of the objects. Errors: SYSTEM (there is none), READ_ONLY. */
int plat_objects_space(uint64_t *free_bytes, uint64_t *total_bytes);

/* Whether a process has been stopped (Ctrl-Z, a debugger). */
bool plat_process_is_stopped(int pid);

/* Kills a process of this user's at once, if it is still the one that began then; `start_time` as elsewhere. Errors:
 * NOT_FOUND, FOREIGN_USER, SYSTEM. */
int plat_process_kill(int pid, uint64_t start_time);

/* ---- doorbell ------------------------------------------------------------------------------------------------------
 * A hint "look again" from any number of ringers to any number of sleepers, also in other processes. State is
 * elsewhere; rings are not counted. Two words of memory: zero is their initial state, and they need no destroying.
 *
 *     sleeper: look at the state; nothing to do: seen = plat_doorbell_arm(&bell, PLAT_BELL_ALL); look once more;
 *              still nothing: plat_doorbell_wait(&bell, seen, deadline)
 *     ringer:  change the state; plat_doorbell_ring(&bell, PLAT_BELL_ALL)
 *
 * No wake-up is lost, whoever is killed where: doorbell.c says why. */
typedef struct plat_doorbell {
    uint32_t rings;
    uint32_t armed;
} plat_doorbell;

/* What a ring is about, and what a sleeper wants to be woken for: they must have a bit in common. */
#define PLAT_BELL_NEWS 1u
#define PLAT_BELL_ENDS 2u
#define PLAT_BELL_ALL (PLAT_BELL_NEWS | PLAT_BELL_ENDS)

/* Announces a sleeper, before it looks for the last time. No system call. */
uint32_t plat_doorbell_arm(plat_doorbell *bell, uint32_t wanted);
/* Whether it has rung since then: also a way to learn of rings without sleeping. */
bool plat_doorbell_has_rung(const plat_doorbell *bell, uint32_t seen);
/* Wakes the sleepers who want it. No system call if there are none. Any thread; async-signal-safe. */
void plat_doorbell_ring(plat_doorbell *bell, uint32_t about);
/* Sleeps until the bell has rung since `seen`, or until the deadline. May return early. */
void plat_doorbell_wait(plat_doorbell *bell, uint32_t seen, uint64_t deadline_ns);

/* ---- thread --------------------------------------------------------------------------------------------------------
 * A thread of this process that takes no signals: they are for those who expect them. `stack_bytes` 0: as the system has
 * it. Errors: NO_MEMORY, SYSTEM. */
typedef struct plat_thread plat_thread;
int plat_thread_start(void (*run)(void *argument), void *argument, size_t stack_bytes, plat_thread **thread);
/* The calling thread gets little of a processor that others want: they hardly notice it. */
void plat_thread_give_way(void);
/* Waits until it has returned. NULL allowed. */
void plat_thread_join(plat_thread *thread);
/* In a copy of the process that started it, which has no such thread: gives the memory back. NULL allowed. */
void plat_thread_forget(plat_thread *thread);

/* ---- process -------------------------------------------------------------------------------------------------------
 * When a process began, in the system's own measure; with the pid it names a process for good. Errors: NOT_FOUND,
 * SYSTEM (it cannot be told, for want of a descriptor). */
int plat_process_start_time(int pid, uint64_t *start_time);
int plat_process_own_pid(void);

/* The name of a process's program, cut to what has room, perhaps inside a character. Returns its bytes, 0 if it has none. */
size_t plat_process_name(int pid, char *name, size_t size_bytes);

/* Watches processes: `on_death(user_data, tag)` is called once for each that ends, in a thread of the watch's own,
 * which sleeps otherwise and takes no signals. It must be quick and must not use the watch. Errors: NO_MEMORY,
 * SYSTEM. */
typedef struct plat_process_watch plat_process_watch;
int plat_process_watch_open(void (*on_death)(void *user_data, uint32_t tag), void *user_data, plat_process_watch **watch);

/* Adds a process under a tag that is not in use. `start_time` 0: whichever has the pid now. Any thread.
 * Errors: NOT_FOUND (it has ended: on_death is not called), NO_MEMORY, SYSTEM (it cannot be watched). */
int plat_process_watch_add(plat_process_watch *watch, int pid, uint64_t start_time, uint32_t tag);

/* Takes it out: when it returns, on_death is not running for this tag and will not be called. Any thread. */
void plat_process_watch_remove(plat_process_watch *watch, uint32_t tag);

/* Ends the watch: when it returns, on_death is not running and will not be called. Not from on_death. In a child of the
 * process that opened it, which has no such thread, it only gives the memory back. NULL allowed. */
void plat_process_watch_close(plat_process_watch *watch);

/* A program started by this process, in a session of its own (no key of a terminal reaches it), its standard input and
 * output leading nowhere. Its end raises SIGCHLD, as that of any child; an application that then waits for all its
 * children, or ignores the signal, only takes the exit code away. One thread at a time. */
typedef struct plat_child plat_child;

/* In the child's environment: the pid of the process that started it. By the time the child asks for its parent, that
 * may have died and somebody else be its parent. */
#define PLAT_PARENT_VARIABLE "LIPC_PARENT_PID"

/* `arguments` up to NULL, the program's name first. PLAT_CHILD_HEARD: what it writes to its standard output is read as its errors are.
 * Errors: NOT_FOUND (no such program), NO_MEMORY, SYSTEM. */
typedef enum plat_child_output { PLAT_CHILD_UNHEARD, PLAT_CHILD_HEARD } plat_child_output;
int plat_child_start(const char *path, const char *const *arguments, plat_child_output output, plat_child **child);
int plat_child_pid(const plat_child *child);
/* Reads what it wrote to standard error, without waiting; 0 if there is nothing now. */
size_t plat_child_read(plat_child *child, char *text, size_t size_bytes);
/* Whether it has ended; *exit_code is then its code, or 128 + n if signal n ended it, or that the application took
 * it. */
#define PLAT_EXIT_UNKNOWN (-1)
bool plat_child_ended(plat_child *child, int *exit_code);
/* Asks it to end. */
void plat_child_stop(plat_child *child);
/* Ends it. It is gone when plat_child_ended says so. */
void plat_child_kill(plat_child *child);
/* Lets go: it goes on. NULL allowed. */
void plat_child_close(plat_child *child);

/* A process that works for this one, which must have one thread only, and dies at once if this one dies. It takes no
 * notice of what asks a program to end. `title` is its name for people (at most 15 bytes).
 *
 * Linux: a copy, with everything that this one has at that moment but for the ownership of segments; 0 is returned in it.
 * Windows: the same program, started with the same arguments. plat_worker_began is true there, plat_memory_shared gives it
 * the same pieces if asked in the same order, and objects it opens by their names.
 *
 * Returns its pid. Errors: NO_MEMORY, SYSTEM. */
int plat_worker_start(const char *title);
/* Whether this is a worker that began in main. */
bool plat_worker_began(void);
/* How a worker ends by itself. */
PLAT_NORETURN void plat_worker_end(int exit_code);
/* Waits until it has ended. Returns 0 if it ended by itself, with *exit_code, or a positive number that says how it was
 * killed. Errors: SYSTEM. */
int plat_worker_wait(int pid, int *exit_code);
/* Whether a process that was killed in this way has probably itself to blame. */
bool plat_death_is_crash(int death);
/* In words that go on behind "the process": "was killed by signal 9 (Killed)". */
void plat_death_words(int death, char *words, size_t size_bytes);

/* Zeroed memory that the owner of the segment `segment_name`, or who is going to be, shares with its workers; NULL if there
 * is none. Never given back. By its label plat_segment_stray_owner knows whose segment a process has. */
void *plat_memory_shared(const char *segment_name, size_t size_bytes);

/* Where the program `name` is: beside the running one, or on the PATH. Errors: NOT_FOUND. */
int plat_program_find(const char *name, char *path, size_t size_bytes);

/* The process that started this one, or whoever took its place after its end. */
int plat_parent_pid(void);

/* ---- program and machine -------------------------------------------------------------------------------------------
 * All of this is for programs at their start; not for libraries. */

/* Replaces the arguments of main by UTF-8 ones, for good. First thing in main. */
void plat_arguments(int *argc, char ***argv);

/* A variable of the environment, as UTF-8; NULL if there is none. Valid for good. */
const char *plat_environment(const char *name);

/* Calls `on_stop` whenever this program is asked to end, with the exit code that says so: by a signal (INT, TERM, HUP unless
 * they are ignored), or by the console, plat_child_stop or the end of the session. It may run at any instruction of any
 * thread: only what is async-signal-safe. In a worker it is not called. Nothing else that comes to a program by itself ends
 * it from then on (a pipe that nobody reads). Once. */
void plat_stop_watch(void (*on_stop)(int exit_code));

/* Ends the process at once. Async-signal-safe. */
PLAT_NORETURN void plat_exit_now(int exit_code);

/* fopen for a UTF-8 path of any length, in binary; no child inherits it, and a file that it makes is the user's alone. "wx" opens only what was
 * not there. NULL: errno says why. */
FILE *plat_file_open(const char *path, const char *mode);

/* The size of a plain file. Looked at before it is opened: opening a pipe would wait for its other end. `n_bytes` may be
 * NULL. Errors: NOT_FOUND, UNEXPECTED (no plain file), FOREIGN_USER, SYSTEM. */
int plat_file_size(const char *path, uint64_t *n_bytes);

/* Puts a file in the place of another one, or where there is none: whoever opens that name sees one of the two whole. Errors:
 * SYSTEM, and errno says why. */
int plat_file_replace(const char *path, const char *replaced);

/* Where named objects take their memory from, for people: "/dev/shm", "the page file". */
const char *plat_objects_place(void);

/* Makes sure that descriptors 0 to 2 are open, so that no object gets one of them and with it the program's output,
 * and that bytes pass through them as they are. First thing in main. */
void plat_streams_ensure(void);

/* Takes back what the program that started this one may have left in force, and what would change how this one works:
 * blocked signals, and ignored ones (whoever ignores SIGCHLD cannot wait for its children). Those by which people and
 * shells end or stop programs stay as they are, as nohup means it. A write beyond a limit on the size of files is an error
 * from then on, and no signal. Early in main. */
void plat_signals_ensure(void);

/* If memory that this program has mapped turns out to be gone (another program has truncated the file behind it) it says
 * this line to standard error and ends with the code, instead of being killed without a word. `line` is static. */
void plat_faults_say(const char *line, int exit_code);

/* Bytes that nobody can guess. */
void plat_random(void *bytes, size_t size_bytes);

/* Physical cores that this process may use, at least 1: no more than its affinity allows, and no more than a quota of its
 * control group pays for, which a container may have. */
int plat_core_count(void);

/* What the processors that this process may use have done since some time in the past. */
typedef struct plat_load {
    int n_processors;  /* hardware threads */
    uint64_t busy_ns;  /* of all of them: worked for programs that are no less urgent than this one, and the system */
    uint64_t own_ns;   /* of that, for this process */
} plat_load;

/* Errors: SYSTEM (it does not say). */
int plat_load_look(plat_load *load);

/* A shared library by its name, as the system finds it, or its path; NULL: there is none, or it lacks another one. It stays loaded until
 * it is closed as often as it was opened. A symbol of it, or NULL. */
void *plat_library_open(const char *name);
void *plat_library_symbol(void *library, const char *symbol);
void plat_library_close(void *library);
/* The system's words for why the last one could not be opened; any thread's. */
void plat_library_reason(char *reason, size_t reason_size);

/* What was written to the file, and flushed, is on the disk from here on. Errors: SYSTEM. */
int plat_file_sync(FILE *file);

/* Whether a server takes connections over TCP at that address of this or another machine, within the time; true where the system
 * is not asked (Windows). Waits for it. */
bool plat_server_answers(const char *host, const char *port, int timeout_ms);

/* Locks a file, which is made if it is not there and stays, for this process; without waiting. The lock ends with the process, at
 * whatever instruction. Errors: OWNED (another process, or another lock of this one, has it), NO_MEMORY, SYSTEM. */
typedef struct plat_file_lock plat_file_lock;
int plat_file_lock_take(const char *path, plat_file_lock **lock);
void plat_file_lock_release(plat_file_lock *lock); /* NULL allowed */

/* Memory that processes could still obtain without swapping, in bytes; 0 if the system does not say. */
uint64_t plat_memory_available_bytes(void);

/* Gives memory that was freed back to the system, as far as that is possible. May take milliseconds. */
void plat_memory_trim(void);

/* Folder of the running program, without a slash at its end, into `path`. Errors: SYSTEM (also if too long). */
int plat_program_folder(char *path, size_t size_bytes);

/* The folder of the library that holds a symbol, likewise. Errors: SYSTEM. */
int plat_library_folder(const void *symbol, char *path, size_t size_bytes);

/* The graphics cards of this machine as far as the system shows them, in words: "NVIDIA, Intel"; empty if there is none, or it is
 * not known. `obstacle`: what keeps this process from all of them; empty if nothing is known to. */
void plat_graphics_cards(char *names, size_t names_size, char *obstacle, size_t obstacle_size);

/* A path that does not depend on this process's current folder, into `absolute`. Errors: SYSTEM (the folder is not there
 * any more, or the result too long). */
int plat_path_absolute(const char *path, char *absolute, size_t size_bytes);

/* What a symbolic link leads to, one step of it, seen from where the path is seen from, into `target`. Errors: NOT_FOUND (it
 * is no link), SYSTEM (too long). */
int plat_path_follow(const char *path, char *target, size_t size_bytes);

/* Login name (or number, if it has none) of the user who owns the named object, into `user`; "?" if there is none. */
void plat_object_user(const char *name, char *user, size_t size_bytes);

/* Writes a text to a standard stream (1 or 2) if that needs no waiting; returns false, having written nothing, if the
 * other end does not read. At most 4,096 bytes at once. Any thread. */
bool plat_stream_try_write(int stream, const char *text, size_t n_bytes);

#ifdef __cplusplus
}
#endif

#endif
