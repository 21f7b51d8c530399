/* doctor_program.c - whether a host could run: the program, its library, the processor, the model, room in /dev/shm.
 *
 * `chatbot --check` looks at library and model itself, so that what is found is what a host would find; here is only what
 * keeps it from saying so.
 */
#include "doctor.h"

#include "format.h"
#include "system.h"

#include "../channel/hub.h"
#include "../channel/names.h"
#include "../host/exit_codes.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROGRAM "chatbot"
#define CHECK_MS 60000
#define SAID_SIZE 1024

/* Waits for its end and collects the last line that it wrote. */
static bool wait_for(plat_child *child, int *code, char said[SAID_SIZE]) {
    uint64_t deadline_ns = plat_deadline_ns(CHECK_MS);
    size_t n_said = 0;
    bool has_ended = false;
    while (!has_ended && plat_clock_ns() < deadline_ns) {
        has_ended = plat_child_ended(child, code); /* before the reading: nothing comes after it */
        n_said += plat_child_read(child, said + n_said, SAID_SIZE - 1 - n_said);
        if (!has_ended) plat_pause_ms(2);
    }
    said[n_said] = 0;
    while (n_said > 0 && said[n_said - 1] == '\n') said[--n_said] = 0;
    return has_ended;
}

/* What the program said, without its own name before it. */
static const char *reason_in(const char *said) {
    const char *line = strrchr(said, '\n'), *error;
    line = line ? line + 1 : said;
    error = strstr(line, "error: ");
    if (error) return error + strlen("error: ");
    return line[0] ? line : "it gives no reason";
}

static void say_runs(doctor *doctor, const char *path) {
    doctor_good(doctor, "program", "%s runs here, and so does its library", path);
}

static void judge(doctor *doctor, const char *path, int code, const char *said) {
    const char *reason = reason_in(said);
    doctor_finding *finding;
    switch (code) {
    case HOST_EXIT_OK:
        say_runs(doctor, path);
        doctor_good(doctor, "model", "%s is whole",
                    doctor->options->model_path ? doctor->options->model_path : "the one that a host would load");
        return;
    case HOST_EXIT_MODEL_MISSING:
        say_runs(doctor, path);
        finding = doctor_wrong(doctor, DOCTOR_MODEL_MISSING, "model", "%s", reason);
        doctor_advise(finding, "give the path of a GGUF file with -m FILE or LLAMA_ARG_MODEL; without either the "
                               "embedded demonstration is loaded, which 'make install' puts in its place");
        return;
    case HOST_EXIT_MODEL_BAD:
        say_runs(doctor, path);
        finding = doctor_wrong(doctor, DOCTOR_MODEL_DAMAGED, "model", "%s", reason);
        doctor_advise(finding, "download or convert it again, and compare its size and checksum with the source's");
        return;
    case 128 + SIGILL:
        finding = doctor_wrong(doctor, DOCTOR_PROCESSOR, "program", "%s was ended by an instruction that this processor "
                                                                    "does not have", path);
        doctor_advise(finding, "build on this machine, with -DLIPC_LLAMA=source for the library");
        return;
    default:
        finding = doctor_wrong(doctor, DOCTOR_LIBRARY, "program", "%s does not run (exit code %d): %s", path, code,
                               reason);
        doctor_advise(finding, "build or install again on this system; ldd %s shows what is missing", path);
    }
}

void doctor_check_program(doctor *doctor) {
    char path[4096], said[SAID_SIZE] = "";
    const char *arguments[] = {PROGRAM, "--check", "--log-level", "error", "--model", doctor->options->model_path, NULL};
    plat_child *child;
    int code;
    if (!doctor->options->model_path) arguments[4] = NULL;
    if (plat_program_find(PROGRAM, path, sizeof path) < 0) {
        doctor_advise(doctor_wrong(doctor, DOCTOR_NO_CHATBOT, "program", "there is no %s beside llamaipc or on the PATH",
                                   PROGRAM),
                      "install it (make install), or add its folder to PATH");
        return;
    }
    if (plat_child_start(path, arguments, PLAT_CHILD_UNHEARD, &child) < 0) {
        doctor_advise(doctor_wrong(doctor, DOCTOR_NO_CHATBOT, "program", "%s cannot be started: %s", path,
                                   plat_os_error()),
                      "install it again");
        return;
    }
    if (wait_for(child, &code, said)) {
        judge(doctor, path, code, said);
    } else {
        plat_child_stop(child);
        doctor_advise(doctor_wrong(doctor, DOCTOR_MODEL_DAMAGED, "model", "it could not be looked at within %d s",
                                   CHECK_MS / 1000),
                      "look at the disk or the network that it lies on");
    }
    plat_child_close(child);
}

/* ---- devices -------------------------------------------------------------------------------------------------------- */

/* One line of `chatbot --list-devices`: see backends.h. */
static void judge_device(doctor *doctor, const char *line) {
    static const char unusable[] = "unusable: ", none[] = "no devices besides the processor: ";
    if (strncmp(line, unusable, strlen(unusable)) == 0)
        doctor_advise(doctor_wrong(doctor, DOCTOR_DEVICE, "device", "%s", line + strlen(unusable)),
                      "install or update the card's driver and what the backend needs (docs/gpu.md), or remove the backend: "
                      "make gpu GPU=none");
    else if (strncmp(line, none, strlen(none)) == 0)
        doctor_good(doctor, "device", "the processor alone: %s", line + strlen(none));
    else
        doctor_good(doctor, "device", "%s", line);
}

/* In a process of its own: a driver may crash, or not come back. */
void doctor_check_devices(doctor *doctor) {
    char path[4096], said[SAID_SIZE] = "", *rest = said;
    const char *arguments[] = {PROGRAM, "--list-devices", NULL};
    plat_child *child;
    int code = 0;
    for (int i = 0; i < doctor->n_findings; i++) { /* it does not run at all */
        doctor_fault fault = doctor->findings[i].fault;
        if (fault == DOCTOR_NO_CHATBOT || fault == DOCTOR_LIBRARY || fault == DOCTOR_PROCESSOR) return;
    }
    if (plat_program_find(PROGRAM, path, sizeof path) < 0 ||
        plat_child_start(path, arguments, PLAT_CHILD_HEARD, &child) < 0) return; /* said already */
    bool has_ended = wait_for(child, &code, said);
    if (!has_ended) plat_child_stop(child);
    plat_child_close(child);
    if (!has_ended || code >= 128) {
        doctor_advise(doctor_wrong(doctor, DOCTOR_DEVICE, "device", "asking the drivers for their cards %s", has_ended ? "ends in a crash"
                                   : "does not come to an end"), "update the card's driver, or remove the backend: make gpu GPU=none");
        return;
    }
    while (code == 0 && *rest) {
        size_t n = strcspn(rest, "\n");
        char *next = rest + n + (rest[n] != 0);
        rest[n] = 0;
        judge_device(doctor, rest);
        rest = next;
    }
}

/* ---- room ---------------------------------------------------------------------------------------------------------- */

/* What the first look found, for the second. */
static doctor_finding *find_memory(doctor *doctor) {
    for (int i = 0; i < doctor->n_findings; i++)
        if (doctor->findings[i].fault == DOCTOR_MEMORY_FULL) return &doctor->findings[i];
    return NULL;
}

static bool is_taken(const char *name) {
    char object[NAMES_OBJECT_SIZE];
    plat_segment *segment;
    names_object(object, name, LIPC_SUFFIX_SEGMENT);
    if (plat_segment_look(object, &segment) < 0) return false;
    plat_segment_close(segment);
    return true;
}

void doctor_check_memory(doctor *doctor, bool is_after) {
    char room[FORMAT_SIZE], total[FORMAT_SIZE], need[FORMAT_SIZE];
    const char *place = plat_objects_place();
    uint64_t free_bytes, total_bytes;
    hub_geometry geometry;
    hub_plan(&geometry, HUB_STREAMS_DEFAULT, HUB_REQUEST_SIZE_DEFAULT, HUB_LOG_SIZE_DEFAULT);
    int error = plat_objects_space(&free_bytes, &total_bytes);
    format_amount(free_bytes, room);
    format_amount(total_bytes, total);
    format_amount(geometry.segment_size, need);
    /* One that is there, of a host alive or dead, has its memory. */
    bool is_full = error == PLAT_OK && free_bytes < geometry.segment_size && !is_taken(doctor->options->name);
    if (is_after) {
        doctor_finding *before = find_memory(doctor);
        if (before && error == PLAT_OK && !is_full) before->is_fixed = true;
    } else if (error < 0) {
        doctor_advise(doctor_wrong(doctor, DOCTOR_MEMORY_CLOSED, place, "it is missing or cannot be written: %s",
                                   plat_os_error()),
                      "mount a tmpfs there that this user may write: mount -t tmpfs -o mode=1777 tmpfs /dev/shm");
    } else if (is_full) {
        doctor_finding *finding = doctor_wrong(doctor, DOCTOR_MEMORY_FULL, place, "%sB of %sB are free, a host "
                                                                                       "reserves %sB", room, total, need);
        doctor_advise(finding, "%s, or start chatbot with fewer --streams", system_room_advice(true));
    } else if (free_bytes < geometry.segment_size) {
        doctor_finding *finding = doctor_good(doctor, place, "%sB of %sB are free: the host that is there has its memory; "
                                              "a second one reserves %sB, which it would not get", room, total, need);
        doctor_advise(finding, "for a second one %s, or start it with fewer --streams", system_room_advice(false));
    } else {
        doctor_good(doctor, place, "%sB of %sB are free; a host reserves %sB", room, total, need);
    }
}
