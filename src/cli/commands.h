/* commands.h - the commands of llamaipc. The table makes the dispatch, the help, the manual page and the completions;
 * each command is a function in a file of its name.
 *
 * X(CONSTANT, function, words it takes, least and most of them (-1: any), one line, what it does, an example and what
 * that is for)
 */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include "exit_codes.h"

#include <stdbool.h>

struct cli_options;

#define CLI_COMMAND_MAP(X)                                                                                             \
    X(ASK, ask, "[TEXT ... | -]", 0, -1, "one question, one answer",                                                   \
      "Answers TEXT, or standard input, which also goes where a TEXT is \"-\", on standard output; all else goes to "   \
      "standard error. If no host runs, one is started, which stays.",                                                 \
      "llamaipc ask \"Sum this up:\" - < notes.txt", "asks about a file")                                               \
    X(CHAT, chat, "[TEXT ...]", 0, -1, "a conversation",                                                                \
      "Talks with the model, TEXT being what is said first. Ctrl-C stops an answer and leaves at an empty prompt, "    \
      "/help lists the commands. If no host runs, one is started, which stays.",                                       \
      "llamaipc chat -m ~/models/your-model.gguf", "talks with a model of one's own")                                  \
    X(PROMPT, prompt, "[TEXT ...]", 0, -1, "what a conversation becomes for the model",                                 \
      "Prints the prompt that the model's template makes of TEXT or of --messages, without an answer to it. With "      \
      "--json also its tokens: id, text, whether it is a control token, and whether a user, tool or document wrote it. " \
      "If no host runs, one is started, which stays.",                                                                 \
      "llamaipc prompt --messages conversation.json --json", "a conversation's tokens")                                \
    X(STATUS, status, "", 0, 0, "what the host is doing",                                                              \
      "Shows the host's state, model, clients and streams. It only looks, at a read-only mapping, and disturbs nobody. " \
      "With --wait it first waits until the host is there and has loaded its model.",                                  \
      "llamaipc status --wait --timeout 60", "until a model is loaded")                                                \
    X(TOP, top, "", 0, 0, "who has the host do what, as it changes",                                                   \
      "A table of clients and streams that is drawn again and again, until q or Ctrl-C. It only looks, at a read-only " \
      "mapping, and disturbs nobody; it also shows what a dead host left. STR is the stream, QUEUE its place in the "  \
      "queue (1 is the next), CACHED how many tokens of the prompt needed no reading again, FIRST the time from the "  \
      "request to its first token. Keys: q ends; < and > choose the column to sort by, r the direction; + and - the "  \
      "interval; space pauses; up and down where there are more rows than lines.",                                     \
      "llamaipc top --once --sort rate", "one table, the fastest first")                                               \
    X(LOAD, load, "FILE", 1, 1, "another model for a host that runs",                                                  \
      "Has the host change its model for the one in FILE. Answers that had been asked for before are finished first, what " \
      "comes later waits for the new model; clients stay attached. Ctrl-C leaves the host the model that it had, and so " \
      "does a FILE that cannot be used. The host's other options, as -c and -np, stay what they are.",                 \
      "llamaipc load ~/models/your-model.gguf", "changes the model")                                                   \
    X(CANCEL, cancel, "STREAM", 1, 1, "ends an answer, whoever asked for it",                                          \
      "Ends the work on one stream, named by its number or by its id. Its client reads what there is of the answer, "  \
      "and that it was cancelled.",                                                                                    \
      "llamaipc cancel 2", "ends the answer in stream 2")                                                              \
    X(DOCTOR, doctor, "", 0, 0, "what is wrong here, and what to do",                                                  \
      "Looks at the host program, its library, the processor, the model (-m, LLAMA_ARG_MODEL, or the embedded one), "  \
      "/dev/shm, the instance, and at what dead hosts of any name have left; says what is wrong and what to do. With " \
      "--fix it removes what dead hosts left, and ends workers that outlived them. It never touches what belongs to a " \
      "live host, answers that the next host would go on with, or what a program still waits for.",                    \
      "llamaipc doctor --fix", "fixes what can be fixed safely")                                                      \
    X(BENCH, bench, "", 0, 0, "how fast this machine is",                                                              \
      "Measures, in a few seconds: waking a sleeper with a bare futex and through the channel, publishing a token, and a " \
      "host of its own, on the embedded model or the one of -m: its start, its first token, its speed, beside a loop "  \
      "that calls the library without a host, where that program (bench/bare_loop) was built.",                        \
      "llamaipc bench -m model.gguf", "what a model of one's own does here")                                           \
    X(STOP, stop, "", 0, 0, "ends the host",                                                                           \
      "Asks the host to end and waits until it is gone. Answers that are being made are finished first, those that "   \
      "wait are not begun.",                                                                                           \
      "llamaipc stop --name work", "ends the host named work")

/* A command's place in the table; its bit in the option table is 1 << place. */
typedef enum cli_command_place {
#define CLI_COMMAND_PLACE(constant, function, words, least, most, line, text, example, purpose) CLI_PLACE_##constant,
    CLI_COMMAND_MAP(CLI_COMMAND_PLACE)
#undef CLI_COMMAND_PLACE
    CLI_N_COMMANDS
} cli_command_place;

#define CLI_BIT(constant) (1u << CLI_PLACE_##constant)

typedef struct cli_command {
    const char *name;
    const char *words;
    int least, most;
    const char *line, *text;
    const char *example, *purpose;
    cli_exit (*run)(const struct cli_options *options);
} cli_command;

extern const cli_command cli_commands[CLI_N_COMMANDS];

#define CLI_COMMAND_FUNCTION(constant, function, ...) cli_exit cli_##function(const struct cli_options *options);
CLI_COMMAND_MAP(CLI_COMMAND_FUNCTION)
#undef CLI_COMMAND_FUNCTION

#endif
