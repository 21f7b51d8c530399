/* line.c - see ../line.h.
 *
 * libedit asks us for each character (get_character), which is where signals are let in: SIGINT, SIGWINCH and SIGCONT are
 * blocked but while we wait there, so that none can slip in between a look and the wait.
 *
 * A paste comes between two marks of the terminal's ("bracketed paste"): it goes into the line as a whole, newlines
 * included, and only Enter sends it.
 */
#define _GNU_SOURCE
#include "../line.h"

#include "../interrupt.h"
#include "../terminal.h"

#include <errno.h>
#include <histedit.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>
#include <wchar.h>

#define HISTORY_LINES 1000
#define PATH_SIZE 4096
#define PROMPT_COLUMNS 4 /* ">>> " */
#define PASTE_ON "\033[?2004h"
#define PASTE_OFF "\033[?2004l"
#define PASTE_END L"\033[201~"

static struct {
    EditLine *edit;
    History *history;
    char history_path[PATH_SIZE];
    const char *prompt;
    const char *const *words;
    struct termios cooked;
    bool is_interactive, had_text, has_ended;
    char bytes[512]; /* that were read and are not taken yet */
    size_t n_bytes, n_taken;
} state;

/* A signal handler has no argument. */
static volatile sig_atomic_t is_resized, is_continued;

/* ---- signals ------------------------------------------------------------------------------------------------------- */

static void on_resize(int number) {
    is_resized = 1;
    if (number == SIGCONT) is_continued = 1;
}

/* Whatever ends us, the terminal is given back as it was. */
static void restore_terminal(void) {
    tcsetattr(STDIN_FILENO, TCSANOW, &state.cooked);
    if (write(STDOUT_FILENO, PASTE_OFF, strlen(PASTE_OFF)) < 0) return; /* it is gone, then */
}

static void on_end(int number) {
    restore_terminal();
    signal(number, SIG_DFL);
    raise(number);
}

static void catch_signals(void) {
    static const int ends[] = {SIGTERM, SIGHUP, SIGQUIT};
    struct sigaction resize = {.sa_handler = on_resize}, end = {.sa_handler = on_end, .sa_flags = SA_NODEFER};
    sigaction(SIGWINCH, &resize, NULL);
    sigaction(SIGCONT, &resize, NULL);
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) sigaction(ends[i], &end, NULL);
    interrupt_last_words(restore_terminal);
}

static void listed_signals(sigset_t *signals) {
    sigemptyset(signals);
    sigaddset(signals, SIGINT);
    sigaddset(signals, SIGWINCH);
    sigaddset(signals, SIGCONT);
}

/* ---- characters ---------------------------------------------------------------------------------------------------- */

/* On which row of the line, as it is shown, the cursor is. */
static int cursor_row(void) {
    const LineInfoW *line = el_wline(state.edit);
    int row = 0, column = PROMPT_COLUMNS, width = terminal_width();
    for (const wchar_t *at = line->buffer; at < line->cursor; at++) {
        int columns = wcwidth(*at);
        bool is_newline = *at == L'\n';
        if (!is_newline && columns > 0) column += columns;
        if (!is_newline && column < width) continue;
        row++;
        column = is_newline || column == width ? 0 : columns;
    }
    return row;
}

/* Shows the line anew where it is, with the cursor so many characters further on. */
static void redraw_at(int n_further) {
    char up[32] = "";
    int row = cursor_row();
    if (row > 0) snprintf(up, sizeof up, "\033[%dA", row);
    terminal_write_raw(up);
    terminal_write_raw("\r\033[J");
    if (n_further > 0) el_cursor(state.edit, n_further);
    el_resize(state.edit);
    el_set(state.edit, EL_REFRESH);
    is_resized = 0;
}

/* Waits until there is something to read. False: the line is not wanted any more. */
static bool wait_for_input(void) {
    sigset_t none;
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    pthread_sigmask(SIG_SETMASK, NULL, &none);
    sigdelset(&none, SIGINT);
    sigdelset(&none, SIGWINCH);
    sigdelset(&none, SIGCONT);
    for (;;) {
        int n = ppoll(&input, 1, NULL, &none);
        if (interrupt_is_there()) {
            const LineInfoW *line = el_wline(state.edit);
            state.had_text = line->lastchar > line->buffer;
            int n_behind = (int)(line->lastchar - line->cursor);
            redraw_at(n_behind);
            return false;
        }
        if (is_continued) { /* the shell has set the terminal as it likes it */
            el_set(state.edit, EL_PREP_TERM, 0);
            el_set(state.edit, EL_PREP_TERM, 1);
            is_continued = 0;
        }
        if (is_resized) redraw_at(0);
        if (n > 0) return true;
        if (n < 0 && errno != EINTR) return false;
    }
}

/* For libedit: one character; 0 at the end of the input, -1 if there is to be no more. */
static int get_character(EditLine *edit, wchar_t *character) {
    (void)edit;
    mbstate_t shift = {0};
    for (;;) {
        if (state.n_taken == state.n_bytes) {
            if (!wait_for_input()) return -1;
            ssize_t n = read(STDIN_FILENO, state.bytes, sizeof state.bytes);
            if (n < 0 && errno == EINTR) continue;
            if (n <= 0) return n < 0 ? -1 : 0;
            state.n_taken = 0;
            state.n_bytes = (size_t)n;
        }
        size_t n = mbrtowc(character, state.bytes + state.n_taken, 1, &shift);
        state.n_taken++;
        if (n == 1 || n == 0) return 1;
        if (n == (size_t)-1) shift = (mbstate_t){0}; /* not of this locale: left out */
    }
}

/* ---- keys ---------------------------------------------------------------------------------------------------------- */

static bool add_character(wchar_t **text, size_t *n, size_t *room, wchar_t character) {
    if (*n + 2 > *room) {
        size_t larger_room = *room ? 2 * *room : 256;
        wchar_t *larger = realloc(*text, larger_room * sizeof *larger);
        if (!larger) return false;
        *text = larger;
        *room = larger_room;
    }
    (*text)[(*n)++] = character;
    (*text)[*n] = 0;
    return true;
}

/* As it is to stand in the line: lines end with a newline, and nothing else steers. 0: not at all. */
static wchar_t pasted(wchar_t character) {
    if (character == L'\r') return L'\n';
    if (character == L'\t') return L' ';
    return character == L'\n' || (character >= 0x20 && character != 0x7F) ? character : 0;
}

static unsigned char on_paste(EditLine *edit, int key) {
    const size_t n_end = wcslen(PASTE_END);
    wchar_t *text = NULL, character;
    size_t n = 0, n_kept = 0, room = 0;
    (void)key;
    bool is_whole = false;
    while (!is_whole && get_character(edit, &character) == 1 && add_character(&text, &n, &room, character))
        is_whole = n >= n_end && wmemcmp(text + n - n_end, PASTE_END, n_end) == 0;
    if (is_whole) n -= n_end;
    for (size_t i = 0; i < n; i++) {
        if (text[i] == L'\n' && i > 0 && text[i - 1] == L'\r') continue;
        wchar_t kept = pasted(text[i]);
        if (kept) text[n_kept++] = kept;
    }
    while (n_kept > 0 && text[n_kept - 1] == L'\n') n_kept--;
    if (text) text[n_kept] = 0;
    bool is_inserted = n_kept == 0 || el_winsertstr(edit, text) == 0;
    free(text);
    return is_inserted ? CC_REFRESH : CC_ERROR;
}

static unsigned char on_newline(EditLine *edit, int key) {
    (void)key;
    return el_winsertstr(edit, L"\n") == 0 ? CC_REFRESH : CC_ERROR;
}

/* Tab: a command at the beginning of the line, behind that a file name. */
static unsigned char on_tab(EditLine *edit, int key) {
    const LineInfo *line = el_line(edit);
    size_t n_typed = (size_t)(line->cursor - line->buffer), n_found = 0;
    const char *found = NULL;
    if (n_typed == 0 || line->buffer[0] != '/') return CC_ERROR;
    if (memchr(line->buffer, ' ', n_typed)) return _el_fn_complete(edit, key);
    for (size_t i = 0; state.words[i]; i++) {
        if (strncmp(state.words[i], line->buffer, n_typed) != 0) continue;
        found = state.words[i];
        n_found++;
    }
    if (n_found != 1 || el_insertstr(edit, found + n_typed) < 0 || el_insertstr(edit, " ") < 0) return CC_ERROR;
    return CC_REFRESH;
}

/* ---- history ------------------------------------------------------------------------------------------------------- */

/* Makes the folder of the path and those above it that are missing, for this user only. */
static void make_folders(char *path) {
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(path, 0700);
        *slash = '/';
    }
}

static void find_history(void) {
    const char *folder = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    int n = 0;
    if (folder && folder[0] == '/')
        n = snprintf(state.history_path, PATH_SIZE, "%s/llamaipc/history", folder);
    else if (home && home[0] == '/')
        n = snprintf(state.history_path, PATH_SIZE, "%s/.local/state/llamaipc/history", home);
    if (n <= 0 || n >= PATH_SIZE) state.history_path[0] = 0;
}

static void open_history(void) {
    HistEvent event;
    state.history = history_init();
    if (!state.history) return;
    history(state.history, &event, H_SETSIZE, HISTORY_LINES);
    history(state.history, &event, H_SETUNIQUE, 1);
    find_history();
    if (state.history_path[0]) history(state.history, &event, H_LOAD, state.history_path);
    /* The file has more than are kept: once in a while it is cut. */
    if (history(state.history, &event, H_GETSIZE) == 0 && event.num >= HISTORY_LINES)
        history(state.history, &event, H_SAVE, state.history_path);
    el_set(state.edit, EL_HIST, history, state.history);
}

/* Kept after each line: whoever closes the window loses nothing. What is asked of a model is nobody else's business. */
static void remember(const char *line) {
    HistEvent event;
    if (!state.history || !line[0]) return;
    history(state.history, &event, H_ENTER, line);
    if (!state.history_path[0]) return;
    make_folders(state.history_path);
    mode_t mask = umask(0077);
    FILE *file = fopen(state.history_path, "ae");
    umask(mask);
    if (!file) return;
    fseek(file, 0, SEEK_END); /* libedit begins an empty file with a mark. 0 lines before the last one */
    history(state.history, &event, H_NSAVE_FP, (size_t)0, file);
    fclose(file);
}

/* ---- lines --------------------------------------------------------------------------------------------------------- */

static char *show_prompt(EditLine *edit) {
    (void)edit;
    return (char *)(uintptr_t)state.prompt;
}

void line_begin(const char *const *words) {
    memset(&state, 0, sizeof state);
    state.words = words;
    state.is_interactive = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && tcgetattr(STDIN_FILENO, &state.cooked) == 0;
    if (!state.is_interactive) return;
    state.edit = el_init("llamaipc", stdin, stdout, stderr);
    if (!state.edit) {
        state.is_interactive = false;
        return;
    }
    catch_signals();
    el_set(state.edit, EL_EDITOR, "emacs");
    el_set(state.edit, EL_PROMPT_ESC, show_prompt, '\1');
    el_set(state.edit, EL_GETCFN, get_character);
    /* Wide: of narrow ones libedit keeps copies that it never frees. */
    el_wset(state.edit, EL_ADDFN, L"chat-paste", L"insert what is pasted", on_paste);
    el_wset(state.edit, EL_ADDFN, L"chat-newline", L"insert a newline", on_newline);
    el_wset(state.edit, EL_ADDFN, L"chat-complete", L"complete a command", on_tab);
    open_history();
    el_source(state.edit, NULL); /* the user's own keys: ~/.editrc */
    el_set(state.edit, EL_BIND, "\\e[200~", "chat-paste", NULL);
    el_set(state.edit, EL_BIND, "\\e^M", "chat-newline", NULL);
    el_set(state.edit, EL_BIND, "\\e^J", "chat-newline", NULL);
    el_set(state.edit, EL_BIND, "^I", "chat-complete", NULL);
    el_set(state.edit, EL_BIND, "^R", "em-inc-search-prev", NULL);
    el_set(state.edit, EL_BIND, "\\e[1;5D", "ed-prev-word", NULL);
    el_set(state.edit, EL_BIND, "\\e[1;5C", "em-next-word", NULL);
    el_set(state.edit, EL_BIND, "\\e[3~", "ed-delete-next-char", NULL);
}

void line_end(void) {
    if (!state.is_interactive) return;
    line_hush(false);
    interrupt_last_words(NULL);
    if (state.history) history_end(state.history);
    el_end(state.edit);
    memset(&state, 0, sizeof state);
}

bool line_is_interactive(void) {
    return state.is_interactive;
}

void line_hush(bool is_hushed) {
    struct termios mode = state.cooked;
    if (!state.is_interactive) return;
    if (is_hushed) mode.c_lflag &= ~(tcflag_t)(ECHO | ICANON);
    tcsetattr(STDIN_FILENO, TCSADRAIN, &mode);
}

/* Lines of a pipe or file. */
static line_result read_plain(text *line) {
    char *bytes = NULL;
    size_t room = 0;
    ssize_t n = getline(&bytes, &room, stdin);
    if (n > 0) text_add(line, bytes, (size_t)n);
    free(bytes);
    if (interrupt_take()) return LINE_INTERRUPTED;
    return n < 0 ? LINE_CLOSED : LINE_GIVEN;
}

static line_result read_edited(const char *prompt, text *line) {
    sigset_t ours, before;
    int n = 0;
    state.prompt = prompt;
    state.had_text = false;
    listed_signals(&ours);
    pthread_sigmask(SIG_BLOCK, &ours, &before);
    terminal_write_raw(PASTE_ON);
    const char *bytes = el_gets(state.edit, &n);
    terminal_write_raw(PASTE_OFF);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (interrupt_take()) {
        terminal_write_raw("^C\r\n");
        return state.had_text ? LINE_DROPPED : LINE_INTERRUPTED;
    }
    if (!bytes || n <= 0) {
        terminal_write_raw("\r\n");
        return LINE_CLOSED;
    }
    text_add(line, bytes, (size_t)n);
    return LINE_GIVEN;
}

line_result line_read(const char *prompt, text *line) {
    text_free(line);
    line_result result = state.is_interactive ? read_edited(prompt, line) : read_plain(line);
    if (result != LINE_GIVEN) return result;
    text_trim(line);
    if (state.is_interactive && line->bytes) remember(line->bytes);
    return result;
}
