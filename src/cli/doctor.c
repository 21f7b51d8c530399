/* doctor.c - llamaipc doctor: what is wrong on this machine, what to do about it, and, with --fix, doing it. */
#include "doctor.h"

#include "terminal.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* ---- the list ------------------------------------------------------------------------------------------------------ */

static doctor_finding *add(doctor *doctor, const char *subject) {
    static doctor_finding surplus;
    doctor_finding *finding = &surplus;
    if (doctor->n_findings < DOCTOR_FINDINGS_MAX) finding = &doctor->findings[doctor->n_findings++];
    *finding = (doctor_finding){.subject = subject};
    return finding;
}

doctor_finding *doctor_good(doctor *doctor, const char *subject, const char *format, ...) {
    va_list arguments;
    doctor_finding *finding = add(doctor, subject);
    va_start(arguments, format);
    vsnprintf(finding->text, sizeof finding->text, format, arguments);
    va_end(arguments);
    return finding;
}

doctor_finding *doctor_wrong(doctor *doctor, doctor_fault fault, const char *subject, const char *format, ...) {
    va_list arguments;
    doctor_finding *finding = add(doctor, subject);
    finding->fault = fault;
    va_start(arguments, format);
    vsnprintf(finding->text, sizeof finding->text, format, arguments);
    va_end(arguments);
    return finding;
}

void doctor_advise(doctor_finding *finding, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(finding->advice, sizeof finding->advice, format, arguments);
    va_end(arguments);
}

static const char *fault_name(doctor_fault fault) {
    switch (fault) {
#define FAULT_NAME(constant, name, text)                                                                               \
    case DOCTOR_##constant: return name;
        DOCTOR_FAULT_MAP(FAULT_NAME)
#undef FAULT_NAME
    default: return NULL;
    }
}

static const char *state_of(const doctor_finding *finding) {
    return finding->fault == DOCTOR_NONE ? "ok" : finding->is_fixed ? "fixed" : "wrong";
}

/* ---- printing ------------------------------------------------------------------------------------------------------ */

static void print_finding(const doctor_finding *finding) {
    terminal_style style = finding->fault == DOCTOR_NONE ? STYLE_GOOD : finding->is_fixed ? STYLE_WARN : STYLE_BAD;
    char text[sizeof finding->text + 32];
    const char *plain = terminal_style_on(stdout, STYLE_PLAIN), *name = fault_name(finding->fault);
    snprintf(text, sizeof text, name ? "%s [%s]" : "%s", finding->text, name);
    printf("%s%-7s%s %s%-9s%s ", terminal_style_on(stdout, style), state_of(finding), plain,
           terminal_style_on(stdout, STYLE_DIM), finding->subject, plain);
    options_print_wrapped(stdout, text, 18, 18);
    if (!finding->advice[0] || finding->is_fixed) return;
    printf("%16s%s%s ", "", terminal_style_on(stdout, STYLE_BOLD), "->");
    options_print_wrapped(stdout, finding->advice, 19, 19);
    printf("%s", terminal_style_on(stdout, STYLE_PLAIN));
}

static void print_text(const doctor *doctor, int n_wrong, int n_mendable) {
    for (int i = 0; i < doctor->n_findings; i++) print_finding(&doctor->findings[i]);
    if (n_wrong == 0)
        printf("%sNothing is wrong.%s\n", terminal_style_on(stdout, STYLE_GOOD), terminal_style_on(stdout, STYLE_PLAIN));
    else if (n_mendable == 0)
        printf("%d thing%s wrong.\n", n_wrong, n_wrong == 1 ? " is" : "s are");
    else
        printf("%d thing%s wrong; llamaipc doctor --fix can fix %d of them.\n", n_wrong, n_wrong == 1 ? " is" : "s are",
               n_mendable);
}

static bool print_json(const doctor *doctor, int n_wrong) {
    json_t *findings = json_array(), *json = json_pack("{s:b, s:o}", "ok", n_wrong == 0, "findings", findings);
    for (int i = 0; i < doctor->n_findings; i++) {
        const doctor_finding *finding = &doctor->findings[i];
        json_array_append_new(findings, json_pack("{s:s, s:s, s:s?, s:s?, s:s, s:s?, s:b}", "state", state_of(finding),
                                                  "subject", finding->subject, "fault", fault_name(finding->fault),
                                                  "instance", finding->instance[0] ? finding->instance : NULL, "text",
                                                  finding->text, "advice", finding->advice[0] ? finding->advice : NULL,
                                                  "mendable", finding->is_mendable));
    }
    bool is_printed = json && json_dumpf(json, stdout, JSON_INDENT(1)) == 0;
    json_decref(json);
    printf("\n");
    return is_printed;
}

/* ---- the command --------------------------------------------------------------------------------------------------- */

cli_exit cli_doctor(const cli_options *options) {
    int n_wrong = 0, n_mendable = 0;
    bool is_printed = true;
    doctor *doctor = calloc(1, sizeof *doctor);
    if (!doctor) {
        terminal_fail("not enough memory");
        return CLI_EXIT_FAILURE;
    }
    doctor->options = options;
    terminal_progress("looking at the host program and the model ...");
    doctor_check_program(doctor);
    doctor_check_devices(doctor);
    terminal_progress_clear();
    doctor_check_memory(doctor, false);
    doctor_check_instances(doctor);
    if (options->fix) doctor_check_memory(doctor, true);
    for (int i = 0; i < doctor->n_findings; i++) {
        bool is_wrong = doctor->findings[i].fault != DOCTOR_NONE && !doctor->findings[i].is_fixed;
        n_wrong += is_wrong;
        n_mendable += is_wrong && doctor->findings[i].is_mendable;
    }
    if (options->json) is_printed = print_json(doctor, n_wrong);
    else print_text(doctor, n_wrong, n_mendable);
    free(doctor);
    if (!is_printed || fflush(stdout) != 0) {
        terminal_fail("cannot write to standard output");
        return CLI_EXIT_FAILURE;
    }
    return n_wrong > 0 ? CLI_EXIT_WRONG : CLI_EXIT_OK;
}
