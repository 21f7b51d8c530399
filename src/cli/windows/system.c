/* system.c - see ../system.h. */
#include "../system.h"

#include "console.h"

#include "../../platform/platform.h"
#include "../../text/utf8.h"

#include <errno.h>
#include <io.h>
#include <process.h>
#include <stdlib.h>
#include <string.h>

#define HUNDRED_NS_PER_S 1e7
#define WRITE_MOST 16384 /* a console takes no more at once on older systems */

/* The console's Ctrl-C comes to both; it is the other's. */
int system_become(const char *path, const char *const *arguments) {
    return (int)_spawnv(_P_WAIT, path, arguments);
}

/* ---- the terminal -------------------------------------------------------------------------------------------------- */

static bool has_sequences;

/* Colours and places are sequences of characters here, too, if they are asked for. */
void system_begin(int *argc, char ***argv) {
    plat_streams_ensure();
    plat_arguments(argc, argv);
    for (int stream = 1; stream <= 2; stream++) {
        DWORD mode;
        if (!GetConsoleMode(console_stream(stream), &mode)) continue;
        if (SetConsoleMode(console_stream(stream), mode | ENABLE_PROCESSED_OUTPUT | ENABLE_VIRTUAL_TERMINAL_PROCESSING))
            has_sequences = true;
    }
}

bool system_is_terminal(int stream) {
    DWORD mode;
    return GetConsoleMode(console_stream(stream), &mode) != 0;
}

bool system_has_sequences(void) {
    const char *term = getenv("TERM");
    return has_sequences && (!term || strcmp(term, "dumb") != 0);
}

bool system_size(int stream, int *n_columns, int *n_rows) {
    CONSOLE_SCREEN_BUFFER_INFO about;
    if (!GetConsoleScreenBufferInfo(console_stream(stream), &about)) return false;
    *n_columns = about.srWindow.Right - about.srWindow.Left + 1;
    *n_rows = about.srWindow.Bottom - about.srWindow.Top + 1;
    return *n_columns > 0 && *n_rows > 0;
}

/* ---- characters ---------------------------------------------------------------------------------------------------- */

typedef struct range {
    unsigned first, last;
} range;

/* Marks that stand on the character before them, and characters without a place; the larger blocks. */
static const range without_columns[] = {
    {0x0300, 0x036F}, {0x0483, 0x0489}, {0x0591, 0x05BD}, {0x0610, 0x061A}, {0x064B, 0x065F}, {0x06D6, 0x06DC},
    {0x093C, 0x093C}, {0x0941, 0x0948}, {0x094D, 0x094D}, {0x0E31, 0x0E31}, {0x0E34, 0x0E3A}, {0x0E47, 0x0E4E},
    {0x1AB0, 0x1AFF}, {0x1DC0, 0x1DFF}, {0x200B, 0x200F}, {0x202A, 0x202E}, {0x2060, 0x2064}, {0x20D0, 0x20FF},
    {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F}, {0xFEFF, 0xFEFF}, {0xE0100, 0xE01EF},
};
/* Those of East Asia, and pictures: of Unicode's EastAsianWidth.txt the blocks that are W or F. */
static const range with_two[] = {
    {0x1100, 0x115F}, {0x231A, 0x231B}, {0x23E9, 0x23EC}, {0x25FD, 0x25FE}, {0x2614, 0x2615}, {0x2648, 0x2653},
    {0x26AA, 0x26AB}, {0x26BD, 0x26BE}, {0x26C4, 0x26C5}, {0x2705, 0x2705}, {0x270A, 0x270B}, {0x2728, 0x2728},
    {0x274C, 0x274C}, {0x2753, 0x2755}, {0x2795, 0x2797}, {0x2B1B, 0x2B1C}, {0x2B50, 0x2B50}, {0x2E80, 0x303E},
    {0x3041, 0x33FF}, {0x3400, 0x4DBF}, {0x4E00, 0x9FFF}, {0xA000, 0xA4CF}, {0xA960, 0xA97F}, {0xAC00, 0xD7A3},
    {0xF900, 0xFAFF}, {0xFE30, 0xFE6F}, {0xFF00, 0xFF60}, {0xFFE0, 0xFFE6}, {0x1F300, 0x1F64F}, {0x1F680, 0x1F6FF},
    {0x1F900, 0x1F9FF}, {0x1FA70, 0x1FAFF}, {0x20000, 0x3FFFD},
};

static bool is_in(const range *ranges, size_t n_ranges, unsigned character) {
    for (size_t i = 0; i < n_ranges; i++)
        if (character >= ranges[i].first && character <= ranges[i].last) return true;
    return false;
}

/* The bytes are a valid character. */
static unsigned decode(const unsigned char *bytes, size_t n_bytes) {
    unsigned character = n_bytes == 1 ? bytes[0] : bytes[0] & (0x7Fu >> n_bytes);
    for (size_t i = 1; i < n_bytes; i++) character = character << 6 | (bytes[i] & 0x3F);
    return character;
}

size_t system_character(const char *text, int *n_columns) {
    bool is_incomplete;
    *n_columns = 1;
    if (!text[0]) return 0;
    size_t n_bytes = utf8_character(text, strnlen(text, 4), &is_incomplete);
    if (n_bytes == 0) return 1;
    unsigned character = decode((const unsigned char *)text, n_bytes);
    if (character < 0x20 || (character >= 0x7F && character < 0xA0)) *n_columns = 0;
    else if (is_in(without_columns, sizeof without_columns / sizeof without_columns[0], character)) *n_columns = 0;
    else if (is_in(with_two, sizeof with_two / sizeof with_two[0], character)) *n_columns = 2;
    return n_bytes;
}

/* ---- reading and writing ------------------------------------------------------------------------------------------- */

ptrdiff_t system_read(int descriptor, char *bytes, size_t n_bytes) {
    if (descriptor == 0 && system_is_terminal(0)) return console_read(bytes, n_bytes);
    return _read(descriptor, bytes, (unsigned)n_bytes);
}

ptrdiff_t system_write(int stream, const char *bytes, size_t n_bytes) {
    size_t n_now = n_bytes < WRITE_MOST ? n_bytes : utf8_fit(bytes, n_bytes, WRITE_MOST);
    ptrdiff_t n = _write(stream, bytes, (unsigned)(n_now > 0 ? n_now : n_bytes));
    /* A pipe that nobody reads: programs here end with an error of their own choice. */
    if (n < 0 && (errno == EPIPE || GetLastError() == ERROR_NO_DATA || GetLastError() == ERROR_BROKEN_PIPE)) plat_exit_now(1);
    return n;
}

bool system_has_unread_input(void) {
    DWORD n_bytes = 0;
    return GetFileType(console_stream(0)) == FILE_TYPE_PIPE && PeekNamedPipe(console_stream(0), NULL, 0, NULL, &n_bytes, NULL) &&
           n_bytes > 0;
}

/* ---- processes and files ------------------------------------------------------------------------------------------- */

double system_uptime_s(uint64_t start_time) {
    FILETIME now;
    GetSystemTimeAsFileTime(&now);
    uint64_t now_time = (uint64_t)now.dwHighDateTime << 32 | now.dwLowDateTime;
    return start_time != 0 && now_time >= start_time ? (double)(now_time - start_time) / HUNDRED_NS_PER_S : -1;
}

/* The runtime's own way puts such files where users may not write. */
FILE *system_text_open(void) {
    wchar_t folder[MAX_PATH + 1], path[MAX_PATH];
    if (GetTempPathW(MAX_PATH + 1, folder) == 0 || GetTempFileNameW(folder, L"lip", 0, path) == 0) return NULL;
    return _wfopen(path, L"w+bD"); /* D: gone when it is closed */
}

bool system_text_close(FILE *file, char **text, size_t *n_bytes) {
    long n = fflush(file) == 0 ? ftell(file) : -1;
    *text = n >= 0 ? malloc((size_t)n + 1) : NULL;
    rewind(file);
    bool is_whole = *text && fread(*text, 1, (size_t)n, file) == (size_t)n;
    fclose(file);
    *n_bytes = is_whole ? (size_t)n : 0;
    if (is_whole) return true;
    free(*text);
    *text = NULL;
    return false;
}

const char *system_room_advice(bool is_full) {
    return is_full ? "end programs that need much of it, make it larger" : "make it larger";
}

bool system_is_there(const char *path) {
    return plat_file_size(path, NULL) != PLAT_E_NOT_FOUND;
}
