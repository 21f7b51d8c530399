/* log.h - the host's log: one line for one event, on standard error.
 *
 * A client may start the host with its streams redirected into pipes and never read them. So nothing here waits: a line
 * that the other end does not take is dropped, and the next one that gets through says how many were. Any thread.
 */
#ifndef HOST_LOG_H
#define HOST_LOG_H

#include <stdbool.h>

typedef enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG } log_level;

/* The same, as an option says it. */
#define LOG_LEVEL_NAMES "error|warn|info|debug"

/* What is less important than `level` is not written. Before the first thread. */
void log_open(log_level level);

/* Writes "chatbot: ..." and a newline. Control characters in the text, which may come from a file name or an option's
 * value, are shown as '?': an event is one line, and no terminal is steered by it. */
__attribute__((format(printf, 2, 3))) void log_line(log_level level, const char *format, ...);

/* Writes a line to standard output, flushed: what the streaming guide says the host prints. */
void log_guide_line(const char *text);

#endif
