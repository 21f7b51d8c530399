/* habits.c - see habits.h. */
#include "habits.h"

#include <stdlib.h>

/* Tokens that a habit goes by, at most. With two in place of three one guess in a hundred more is wrong for the embedded
 * model; four bring nothing. */
#define ORDER_MOST 3
#define N_PLACES (1u << 14)
/* How often a habit must fail in a row to be given up, at most. */
#define COUNT_MOST 4

/* One habit; places are shared by whatever has the same hash. */
typedef struct place {
    uint32_t key;
    int32_t next;
    int32_t count; /* right guesses it has in hand; 0: free */
} place;

struct habits {
    place places[ORDER_MOST][N_PLACES];
};

habits *habits_new(void) {
    habits *habits = malloc(sizeof *habits);
    if (!habits) return NULL;
    for (int order = 0; order < ORDER_MOST; order++)
        for (uint32_t i = 0; i < N_PLACES; i++) habits->places[order][i] = (place){0, HABITS_NOTHING, 0};
    return habits;
}

void habits_free(habits *habits) {
    free(habits);
}

/* Of the last n tokens. Multiplier: 2^32 divided by the golden ratio (Knuth, The Art of Computer Programming, 6.4). */
static uint32_t key_of(const int32_t *text, int32_t n_text, int32_t n) {
    uint32_t key = 0;
    for (int32_t i = n_text - n; i < n_text; i++) {
        key = (key ^ (uint32_t)text[i]) * 2654435769u;
        key ^= key >> 15;
    }
    return key;
}

static place *place_of(place places[N_PLACES], uint32_t key) {
    return &places[key % N_PLACES];
}

static void learn_one(place *place, uint32_t key, int32_t next) {
    if (place->count > 0 && place->key == key && place->next == next) {
        if (place->count < COUNT_MOST) place->count++;
    } else if (--place->count <= 0) {
        *place = (struct place){key, next, 1};
    }
}

void habits_learn(habits *habits, const int32_t *text, int32_t n_text, int32_t next) {
    for (int32_t n = 1; n <= ORDER_MOST && n <= n_text; n++) {
        uint32_t key = key_of(text, n_text, n);
        learn_one(place_of(habits->places[n - 1], key), key, next);
    }
}

int32_t habits_guess(const habits *habits, const int32_t *text, int32_t n_text) {
    for (int32_t n = ORDER_MOST; n > 0; n--) {
        if (n > n_text) continue;
        uint32_t key = key_of(text, n_text, n);
        const place *place = &habits->places[n - 1][key % N_PLACES];
        if (place->count > 0 && place->key == key) return place->next;
    }
    return HABITS_NOTHING;
}
