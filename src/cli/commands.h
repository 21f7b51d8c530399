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
    X(ASK, ask, "[TEXT ... | -]", 0, -1, "ask one question",                                                           \
      "Answers TEXT on standard output; everything else goes to standard error. Standard input is part of the question if "\
      "there is no TEXT, or where a TEXT is \"-\". If no host is running, one is started, which keeps running.",       \
      "llamaipc ask \"Sum this up:\" - < notes.txt", "asks about a file")                                              \
    X(CHAT, chat, "[TEXT ...]", 0, -1, "have a conversation",                                                          \
      "Talks to the model, beginning with TEXT. Ctrl-C stops an answer, and quits at an empty prompt; /help lists the "\
      "commands. If no host is running, one is started, which keeps running.",                                         \
      "llamaipc chat -m ~/models/your-model.gguf", "talks to your own model")                                          \
    X(PROMPT, prompt, "[TEXT ...]", 0, -1, "show the prompt that a conversation becomes",                              \
      "Prints the prompt that the model's template makes of TEXT or of --messages, without answering it. With --json also "\
      "its tokens: id, text, whether it is a control token, and whether a user, tool or document wrote it. If no host is "\
      "running, one is started, which keeps running.",                                                                 \
      "llamaipc prompt --messages conversation.json --json", "a conversation's tokens")                                \
    X(STATUS, status, "", 0, 0, "show what the host is doing",                                                         \
      "Shows the host's state, model, clients and streams, through a read-only mapping that disturbs nobody. With --wait, "\
      "it first waits until a host is running and has loaded its model.",                                              \
      "llamaipc status --wait --timeout 60", "waits until a model is loaded")                                          \
    X(TOP, top, "", 0, 0, "show clients and streams, live",                                                            \
      "Shows a table of clients and streams that is updated until q or Ctrl-C, through a read-only mapping that disturbs "\
      "nobody; it can also show what a dead host left. STR is the stream, QUEUE its position in the queue (1 is next), "\
      "CACHED how many tokens of the prompt came from the cache, FIRST the time from the request to its first token. Keys: "\
      "q quits; < and > choose the column to sort by, r reverses the order; + and - change the interval; space pauses; up "\
      "and down scroll.",                                                                                              \
      "llamaipc top --once --sort rate", "one table, fastest first")                                                   \
    X(LOAD, load, "FILE | -hf NAME", 0, 1, "switch a running host to another model",                                   \
      "Makes the host switch to the model in FILE, or to a model by its name, which the host fetches first if it is not in the "\
      "cache, while it goes on with its work. Earlier requests are answered first, later ones wait for the new model; "\
      "clients stay attached. If you press Ctrl-C, or FILE cannot be used, the host keeps its old model. Its other options, "\
      "such as -c and -np, do not change.",                                                                            \
      "llamaipc load ~/models/your-model.gguf", "switches models")                                                     \
    X(PULL, pull, "USER/MODEL[:QUANT] | URL", 0, 1, "fetch a model by its name",                                       \
      "Fetches a GGUF model from a hub (HF_ENDPOINT; HF_TOKEN says who asks) or an address into llama.cpp's cache, and prints "\
      "the path of its file. What is there already is not fetched again; after a break, or Ctrl-C, the next try goes on where "\
      "the last one was. No host has to run. The exit codes are those of chatbot.",                                    \
      "llamaipc pull ggml-org/gemma-3-1b-it-GGUF:Q8_0", "fetches a model of that quantization")                        \
    X(MODELS, models, "", 0, 0, "list the models in the cache",                                                        \
      "Lists the models that were fetched, by this program or by llama.cpp's: name, size and file.",                   \
      "llamaipc models", "what is there")                                                                              \
    X(RM, rm, "USER/MODEL[:QUANT] | URL", 0, 1, "remove a model from the cache",                                       \
      "Removes a model that was fetched; without QUANT, all that was fetched of that name. A host that has it loaded keeps it "\
      "until it loads another.",                                                                                       \
      "llamaipc rm ggml-org/gemma-3-1b-it-GGUF", "removes all quantizations")                                          \
    X(CANCEL, cancel, "STREAM", 1, 1, "cancel an answer, whoever asked for it",                                        \
      "Stops the work on one stream, given by its number or its id. Its client gets the text so far, and then the "    \
      "cancellation.",                                                                                                 \
      "llamaipc cancel 2", "cancels the answer in stream 2")                                                           \
    X(DOCTOR, doctor, "", 0, 0, "find problems, and say what to do",                                                   \
      "Checks the host program, its library, the processor, the model (-m, LLAMA_ARG_MODEL, or the embedded one), "    \
      "/dev/shm, the instance, and what dead hosts of any name have left, and says what is wrong and what to do. With "\
      "--fix, it removes what dead hosts left, and ends workers that outlived them. It never touches what belongs to a "\
      "live host, answers that the next host would continue, or anything that a program is still waiting for.",        \
      "llamaipc doctor --fix", "fixes what can be fixed safely")                                                       \
    X(BENCH, bench, "", 0, 0, "measure this machine",                                                                  \
      "Measures, in a few seconds: waking a sleeper with a bare futex and through the channel, publishing a token, and a "\
      "host of its own, on the embedded model or the one given by -m: its start, first token and speed, next to a loop that "\
      "calls the library without a host, if that program (bench/bare_loop) was built.",                                \
      "llamaipc bench -m model.gguf", "measures your own model")                                                       \
    X(STOP, stop, "", 0, 0, "stop the host",                                                                           \
      "Asks the host to exit and waits until it is gone. Answers in progress are finished first; waiting requests are not "\
      "started.",                                                                                                      \
      "llamaipc stop --name work", "stops the host named work")

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
