/* internal.h - what the files of the Windows port share.
 *
 * Named objects live in the session's own namespace, "Local\". A name is there as long as somebody has a handle to its
 * object; a mapped view does not count. Nobody can take a name away from others, so "removing" is closing one's handle
 * and saying so (segment.c).
 *
 * Text is UTF-8 on our side and UTF-16 on the system's. No handle is ever inherited by accident: all are made without
 * that right, and a child gets a list of those meant for it.
 */
#ifndef PLAT_WINDOWS_INTERNAL_H
#define PLAT_WINDOWS_INTERNAL_H

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include "../platform.h"

/* Remembers the system's reason for plat_os_error and returns `error`. */
int plat_fail(int error);
/* The same with a reason of our own: text that lives for good. */
int plat_fail_because(int error, const char *reason);
/* Maps the last error of a call that makes or opens an object, remembers it, and returns the result. */
int plat_fail_object(void);

/* "/name" and a further part as the system's "Local\name..."; false if that is no valid name. */
#define PLAT_OBJECT_NAME_SIZE 192
bool plat_object_name(const char *name, const char *suffix, wchar_t object[PLAT_OBJECT_NAME_SIZE]);

/* Security for a new object: its owner is the user, only the user may use it, and at medium integrity, so that a host that
 * was started elevated serves ordinary clients. NULL if the system does not say who the user is (then the object has the
 * process's default). Made once; never freed. */
SECURITY_ATTRIBUTES *plat_object_security(void);

/* Whether the object behind the handle belongs to this process's user. */
bool plat_object_is_own(HANDLE object);

/* UTF-8 to UTF-16 in memory of the caller's, who frees it; NULL if memory ran out or the text is not UTF-8. */
wchar_t *plat_wide(const char *text);
/* The same for a path, made absolute and given the prefix that lifts the limit of 260 characters. */
wchar_t *plat_wide_path(const char *path);
/* UTF-16 to UTF-8; false if it does not fit. */
bool plat_narrow(const wchar_t *wide, char *text, size_t size_bytes);

/* Waits for the object until the deadline, more exactly than in the 15.6 ms of the system's clock when the deadline is
 * near. Returns whether it was signalled. NULL: merely waits. */
bool plat_wait(HANDLE object, uint64_t deadline_ns);

/* A process that is alive and began then (0: whenever); NULL with the plat_error in *error. */
HANDLE plat_process_open(int pid, uint64_t start_time, DWORD rights, int *error);

/* When a process began, in the system's 100 ns; 0 if it does not say. */
uint64_t plat_process_began(HANDLE process);

/* Segments that are mapped here, so that a bell in one of them has the same name in each process. */
void plat_bells_mapped(const void *base, size_t size_bytes, const wchar_t *object);
void plat_bells_unmapped(const void *base);

/* Where a program asked through plat_child_stop looks: the event of that process. */
#define PLAT_STOP_NAME_SIZE 64
/* What a process has for an exit code that was ended by force: what a shell on Linux shows of SIGKILL. */
#define PLAT_KILLED_CODE 137

void plat_stop_name(int pid, wchar_t name[PLAT_STOP_NAME_SIZE]);

#endif
