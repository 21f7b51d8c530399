/* chat_commands.h - what can be typed in a chat besides messages. The table makes the dispatch, /help and the
 * manual page.
 *
 * X(name, another spelling or NULL, words behind it, what it does, function in chat.c)
 */
#ifndef CLI_CHAT_COMMANDS_H
#define CLI_CHAT_COMMANDS_H

/* "ollama run" has /clear, /bye and /?, too. */
#define CHAT_COMMAND_MAP(X)                                                                                            \
    X("/system", NULL, " [TEXT]", "what the model is told first: shows or sets it, or \"none\"", do_system)            \
    X("/reset", "/clear", "", "forgets what was said", do_reset)                                                       \
    X("/save", NULL, " FILE", "writes the conversation to FILE, the model's memory to FILE.state", do_save)             \
    X("/load", NULL, " FILE", "goes on with the conversation in FILE", do_load)                                        \
    X("/thoughts", NULL, "", "what the model thought before its last answer", do_thoughts)                             \
    X("/stats", NULL, "", "numbers of the last answer, the talk and the host", do_stats)                               \
    X("/help", "/?", "", "this list", do_help)                                                                         \
    X("/quit", "/bye", "", "leaves, as Ctrl-D does", do_quit)

/* X(key, what it does) */
#define CHAT_KEY_MAP(X)                                                                                                \
    X("Ctrl-C", "stops the answer; at an empty prompt it leaves")                                                      \
    X("Alt-Enter", "begins a new line in your message, as pasted lines do")

#endif
