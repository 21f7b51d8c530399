/* events.c - see events.h. */
#include "events.h"

#include <stdlib.h>
#include <string.h>

/* Appends to a text that stays terminated. */
static events_found append(char **text, size_t *n, size_t *size, size_t most, const char *bytes, size_t n_bytes) {
    if (n_bytes > most - *n) return EVENTS_TOO_LONG;
    if (*n + n_bytes + 1 > *size) {
        size_t wanted = (*n + n_bytes + 1) * 2;
        char *larger = realloc(*text, wanted);
        if (!larger) return EVENTS_NO_MEMORY;
        *text = larger;
        *size = wanted;
    }
    memcpy(*text + *n, bytes, n_bytes);
    *n += n_bytes;
    (*text)[*n] = 0;
    return EVENTS_NOTHING;
}

static events_found add_data(events *events, const char *bytes, size_t n_bytes) {
    events_found found = EVENTS_NOTHING;
    if (events->has_data) found = append(&events->data, &events->n_data, &events->data_size, EVENTS_DATA_MAX, "\n", 1);
    events->has_data = true;
    if (found != EVENTS_NOTHING) return found;
    return append(&events->data, &events->n_data, &events->data_size, EVENTS_DATA_MAX, bytes, n_bytes);
}

/* A line is complete. */
static events_found take_line(events *events) {
    static const char mark[] = "\xEF\xBB\xBF", name[] = "data";
    const size_t n_name = sizeof name - 1;
    const char *line = events->line ? events->line : "";
    size_t n = events->n_line;
    events->n_line = 0;
    if (!events->has_begun && n >= 3 && memcmp(line, mark, 3) == 0) {
        line += 3;
        n -= 3;
    }
    events->has_begun = true;
    if (n == 0) {
        events->is_read = events->has_data;
        return events->has_data ? EVENTS_EVENT : EVENTS_NOTHING;
    }
    if (n < n_name || memcmp(line, name, n_name) != 0 || (n > n_name && line[n_name] != ':')) return EVENTS_NOTHING;
    size_t at = n > n_name ? n_name + 1 : n;
    if (at < n && line[at] == ' ') at++;
    return add_data(events, line + at, n - at);
}

static size_t line_length(const char *bytes, size_t n_bytes) {
    size_t n = 0;
    while (n < n_bytes && bytes[n] != '\n' && bytes[n] != '\r') n++;
    return n;
}

events_found events_read(events *events, const char *bytes, size_t n_bytes, size_t *n_used) {
    size_t at = 0;
    events_found found = EVENTS_NOTHING;
    if (events->is_read) {
        events->is_read = events->has_data = false;
        events->n_data = 0;
    }
    while (at < n_bytes && found == EVENTS_NOTHING) {
        bool was_return = events->was_return;
        events->was_return = false;
        if (was_return && bytes[at] == '\n') {
            at++;
            continue;
        }
        size_t n = line_length(bytes + at, n_bytes - at);
        found = append(&events->line, &events->n_line, &events->line_size, EVENTS_LINE_MAX, bytes + at, n);
        at += n;
        if (at == n_bytes || found != EVENTS_NOTHING) break;
        events->was_return = bytes[at++] == '\r';
        found = take_line(events);
    }
    *n_used = at;
    return found;
}

void events_free(events *events) {
    free(events->line);
    free(events->data);
    *events = (struct events){0};
}
