#!/bin/sh
# failpoints.sh [check] - lists all failpoints (src/platform/failpoint.h) that stand in the code: "file:line name". With `check`: fails
# if a name is not well-formed or stands twice, or if a store to shared memory has no FAILPOINT between it and the next.
#
# A store to shared memory, in the files below, is
#   - __atomic_store, _exchange, _compare_exchange, _fetch_...; plat_semaphore_post, _wait, _try_wait, _drain;
#     but not on a member of what is private to a process: handle->, client->, ... (PRIVATE below);
#   - an assignment, memcpy, memset, snprintf, strcpy or the like through a pointer into the segment. Those are known by
#     their types (TYPES), by the functions that give them (GIVERS), or, if untyped, by their names (UNTYPED);
#   - a call of a function or macro in which a store is marked with the comment "callers name it".
set -eu
cd "$(dirname "$0")/.."
exec awk -v mode="${1:-list}" '
BEGIN {
    PRIVATE = "^&(handle|client|stream|service|registry|server|host|journal|worker|parts|n_dropped)" \
              "((->|\\.)[a-z_]+|\\[[^]]*\\])*$"
    TYPES = "(lipc_(hub|client_record|stream_header|classic_block|token_record|doorbell)|plat_doorbell|" \
            "classic_record)" # the last one is of the journal, which a dead worker leaves to the next
    GIVERS = "(plat_segment_base|hub_of|hub_client|hub_stream|hub_bell|stream_request|stream_log|stream_index|" \
             "header_of|record_of|bell_of)[(]"
    UNTYPED = "(view->base|writer->log|prompt_field)"
    STORES = "(__atomic_(store_n|exchange_n|compare_exchange_n|fetch_[a-z]+|[a-z]+_fetch)|" \
             "plat_semaphore_(post|wait|try_wait|drain))"
    COPIES = "(memcpy|memmove|memset|v?sn?printf|st[rp]n?cpy|strn?cat)"
}

function fail(where, text) { print where ": " text > "/dev/stderr"; n_failed++ }

# ---- reading: each file without comments, cut into statements at ; { and }

function without_comments(text,    begin, end) {
    for (;;) {
        if (in_comment) {
            end = index(text, "*/")
            if (!end) return ""
            text = substr(text, end + 2)
            in_comment = 0
        }
        begin = index(text, "/*")
        if (!begin) return text
        end = index(substr(text, begin + 2), "*/")
        in_comment = !end
        text = substr(text, 1, begin - 1) (end ? " " substr(text, begin + end + 3) : "")
    }
}

function end_statement(mark) {
    gsub(/^[ \t]+|[ \t]+$/, "", code)
    gsub(/[ \t]+/, " ", code)
    n++
    kind[n] = mark
    statement[n] = code
    place[n] = first_line ? first_line : FILENAME ":" FNR
    is_exempt[n] = exempt
    code = first_line = exempt = ""
}

function read_code(text,    i, c) {
    for (i = 1; i <= length(text); i++) {
        c = substr(text, i, 1)
        if (c == "(") parentheses++
        if (c == ")") parentheses--
        if (parentheses == 0 && (c == ";" || c == "{" || c == "}")) end_statement(c)
        else {
            if (first_line == "" && c != " ") first_line = FILENAME ":" FNR
            code = code c
        }
    }
    code = code " "
}

FNR == 1 { in_comment = parentheses = 0; end_statement("file") }
{
    is_marked = $0 ~ /callers name it/
    text = without_comments($0)
    if (match(text, /FAILPOINT(_TEXT)?\("[^"]*"/) && text !~ /^#/) {
        name = substr(text, RSTART, RLENGTH)
        gsub(/^[^"]*"|"$/, "", name)
        failpoints[++n_failpoints] = name
        failpoint_place[n_failpoints] = FILENAME ":" FNR
        is_about_text[n_failpoints] = text ~ /FAILPOINT_TEXT/
    }
    gsub(/"([^"\\]|\\.)*"/, "\"\"", text)
    gsub(/\047([^\047\\]|\\.)\047/, "0", text)
    if (text ~ /^#/ || is_continued) {
        if (match(text, /^#define [A-Za-z_]+/)) macro = substr(text, 9, RLENGTH - 8)
        if (is_marked) callers_name_in[FILENAME, macro] = 1
        is_continued = text ~ /\\[ \t]*$/
        next
    }
    if (is_marked) exempt = 1
    read_code(text)
}

# ---- what is a store

function is_shared(target,    name) {
    while (sub(/^[(][a-z_0-9 ]+[*]+[)]/, "", target) || sub(/^[(&*]/, "", target)) {
    }
    if (match(target, "^(" GIVERS ")|^" UNTYPED "($|[^a-z_(])")) return 1
    if (match(target, /^[a-z_]+/)) {
        name = substr(target, 1, RLENGTH)
        if (name in is_local && substr(target, RLENGTH + 1) ~ /^(->|\[|$|[ ),+])/) return 1
    }
    while (match(target, /(->|[.])[a-z_]+(->|\[)/)) {
        name = substr(target, RSTART, RLENGTH)
        gsub(/->|[.]|\[/, "", name)
        if (name in is_member) return 1
        target = substr(target, RSTART + 2)
    }
    return 0
}

# The first argument of the call that begins at `from` in the text.
function first_argument(text, from,    i, c, depth) {
    text = substr(text, from)
    text = substr(text, index(text, "(") + 1)
    for (i = 1; i <= length(text); i++) {
        c = substr(text, i, 1)
        if (c == "(" || c == "[") depth++
        if (c == ")" || c == "]") depth--
        if (depth < 0 || (depth == 0 && c == ",")) break
    }
    return substr(text, 1, i - 1)
}

function count_calls(text, pattern, rule,    n_found, at, argument, begin) {
    at = 1
    while (match(substr(text, at), "(^|[^a-zA-Z_])(" pattern ")[(]")) {
        begin = at + RSTART - 1
        at = begin + RLENGTH
        if (substr(text, begin, 1) !~ /[a-zA-Z_]/) begin++
        argument = first_argument(text, begin)
        if (rule == "any" || (rule == "shared" ? is_shared(argument) : argument !~ PRIVATE)) n_found++
    }
    return n_found + 0
}

function is_assignment(text,    target) {
    while (sub(/^(else|do) /, "", text) || sub(/^(if|while|for|switch) \(.*\) /, "", text) ||
           sub(/^case [^:]*: /, "", text)) {
    }
    target = text
    if (match(target, /( [-+*\/%&|^]?= |\+\+|--|<<= |>>= )/) && RSTART > 1) target = substr(target, 1, RSTART - 1)
    else if (!sub(/^(\+\+|--)/, "", target)) return 0
    if (target ~ /^[(]?[a-z_]+ [*a-z]/ || target !~ /(->|\[|^\*)/ || target ~ "^" UNTYPED "$") return 0
    return is_shared(target)
}

function n_stores(text, file,    name, sum, part) {
    sum = count_calls(text, STORES, "not private") + count_calls(text, COPIES, "shared") + is_assignment(text)
    for (name in callers_name) sum += count_calls(text, name, "any")
    for (name in callers_name_in) {
        split(name, part, SUBSEP)
        if (part[1] == file) sum += count_calls(text, part[2], "any")
    }
    return sum
}

# Names that pointers into the segment get in a declaration.
function note_declarations(text, into,    name, before) {
    while (match(text, "(^|[^a-z_])" TYPES " [*][a-z_]+")) {
        name = substr(text, RSTART, RLENGTH)
        before = substr(text, 1, RSTART - 1)
        text = substr(text, RSTART + RLENGTH)
        sub(/^.*[*]/, "", name)
        if (before ~ /const (volatile )?$/) continue
        if (into == "members") is_member[name] = 1
        else is_local[name] = 1
    }
    if (into == "locals" && match(text, /^char [*][a-z_]+ = /)) {
        name = substr(text, 7, RLENGTH - 9)
        if (is_shared(substr(text, RLENGTH + 1))) is_local[name] = 1
    }
}

# ---- checking

function forget_locals() { split("", is_local) }

function file_of(where) { sub(/:.*/, "", where); return where }

function begin_function(text) {
    forget_locals()
    is_static = text ~ /^static /
    note_declarations(text, "locals")
    sub(/\(.*/, "", text)
    sub(/.*[ *]/, "", text)
    function_name = text
}

# Twice: first finds members of structures and whose callers name the step, then checks.
function walk(is_check,    i, depth, in_function, pending) {
    for (i = 1; i <= n; i++) {
        if (kind[i] == "file") { depth = in_function = 0; pending = ""; continue }
        if (kind[i] == "{" && depth++ == 0) {
            in_function = statement[i] ~ /[)]$/
            if (in_function) { begin_function(statement[i]); continue }
        }
        if (kind[i] == "}") {
            depth--
            if (depth == 0 && in_function && pending != "")
                fail(pending, "no FAILPOINT behind this store, in " function_name "()")
            if (depth == 0) { pending = ""; in_function = 0 }
        }
        if (!in_function) {
            if (depth > 0) note_declarations(statement[i], "members")
            continue
        }
        note_declarations(statement[i], "locals")
        if (is_exempt[i]) {
            if (is_static) callers_name_in[file_of(place[i]), function_name] = 1
            else callers_name[function_name] = 1
            continue
        }
        if (!is_check) continue
        n_here = n_stores(statement[i], file_of(place[i]))
        if (n_here && pending != "") fail(pending, "no FAILPOINT between this store and the next, at " place[i])
        if (n_here > 1) fail(place[i], "more than one store in one statement")
        if (n_here) { pending = place[i]; n_found++ }
        if (statement[i] ~ /(^|[^A-Z_])FAILPOINT(_TEXT)?\(/) pending = ""
    }
}

END {
    if (mode == "list") for (i = 1; i <= n_failpoints; i++) if (!is_about_text[i]) print failpoint_place[i], failpoints[i]
    if (mode == "list") exit
    for (i = 1; i <= n_failpoints; i++) {
        if (failpoints[i] !~ /^[a-z0-9_]+[.][a-z0-9_]+[.][a-z0-9_]+$/)
            fail(failpoint_place[i], "the failpoint \"" failpoints[i] "\" is not named <file>.<action>.<what>")
        if (failpoints[i] in failpoint_at) fail(failpoint_place[i], "the failpoint \"" failpoints[i] "\" stands also at " failpoint_at[failpoints[i]])
        failpoint_at[failpoints[i]] = failpoint_place[i]
    }
    walk(0)
    walk(1)
    if (!n_found) fail("failpoints.sh", "found no store at all")
    if (n_failed) { print n_failed " faults: see the head of scripts/failpoints.sh for the rules" > "/dev/stderr"; exit 1 }
    print n_found " stores, " n_failpoints " failpoints"
}
' src/channel/*.[ch] src/client/*.[ch] src/platform/doorbell.c src/host/*.[ch]
