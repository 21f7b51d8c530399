/* main.c - tutor_train: trains the tutor model on the corpus and writes it as a GGUF file.
 *
 * The work of a step is divided into a fixed number of packs, whose gradients are added in a fixed order; so the result
 * depends on the seed and the options, but not on the number of threads. While they learn from some packs, one of them fills those
 * of the next step. */
#include "gguf_writer.h"
#include "lessons.h"
#include "network.h"
#include "pool.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Long conversations take long: there are some in every so many steps, and then all of the step's are long, so that no thread waits
 * for another. */
enum { LONG_STEP_EVERY = 20 };

enum { N_CONTEXT = 2048, THREADS_MAX = 256, N_BLOCKS = 64, SAVE_EVERY = 250 };

struct options {
    const char *corpus;
    const char *out;
    const char *from; /* NULL, or a model to go on with */
    int seed;
    int n_threads;
    int n_steps;
    int n_warmup_steps;
    int pack_tokens; /* size of a pack of short conversations */
    int n_packs;     /* packs in a step */
    float learning_rate;
    float weight_decay;
    float thoughts; /* share of conversations in which the model is to think */
    struct network_shape shape;
};

static const struct options DEFAULTS = {
    .corpus = "models/corpus",
    .out = "models/tutor.gguf",
    .seed = 1,
    .n_steps = 2409,
    .n_warmup_steps = 100,
    .pack_tokens = 512,
    .n_packs = 16,
    .learning_rate = 3e-3f,
    .weight_decay = 0.1f,
    .thoughts = 0.25f,
    .shape = {.n_vocab = 1376, .n_embd = 128, .n_layers = 4, .n_ff = 384},
};

static void print_usage(FILE *file) {
    fprintf(file,
            "usage: tutor_train [option value]...\n"
            "Trains the tutor model and writes it as a GGUF file. Options and their defaults:\n"
            "  --corpus DIR      folder with the corpus files (%s)\n"
            "  --out FILE        the model to write (%s)\n"
            "  --from FILE       a model that this program has made, to go on with instead of random weights\n"
            "  --seed N          same seed, same model (%d)\n"
            "  --threads N       does not change the result (as many as there are processors)\n"
            "  --steps N         steps of the optimiser (%d)\n"
            "  --pack-tokens N   tokens in a pack (%d)\n"
            "  --packs N         packs in a step (%d)\n"
            "  --rate X          greatest learning rate (%g)\n"
            "  --decay X         weight decay (%g)\n"
            "  --thoughts X      share of conversations in which the model is to think (%g)\n"
            "  --vocab N, --embd N, --layers N, --ff N   shape of the model (%d, %d, %d, %d)\n",
            DEFAULTS.corpus, DEFAULTS.out, DEFAULTS.seed, DEFAULTS.n_steps, DEFAULTS.pack_tokens, DEFAULTS.n_packs, (double)DEFAULTS.learning_rate, (double)DEFAULTS.weight_decay, (double)DEFAULTS.thoughts,
            DEFAULTS.shape.n_vocab, DEFAULTS.shape.n_embd, DEFAULTS.shape.n_layers, DEFAULTS.shape.n_ff);
}

/* Reads the whole text as a number in [low, high]. Returns 0, or -1 after a message. */
static int read_number(const char *name, const char *text, double low, double high, double *value) {
    char *end;
    *value = strtod(text, &end);
    if (end != text && *end == '\0' && *value >= low && *value <= high) return 0;
    fprintf(stderr, "tutor_train: %s is '%s', but must be a number from %g to %g\n", name, text, low, high);
    return -1;
}

static int parse_options(struct options *options, int argc, char **argv) {
    *options = DEFAULTS;
    options->n_threads = (int)sysconf(_SC_NPROCESSORS_ONLN);
    const struct {
        const char *name;
        const char **text;
        int *integer;
        float *real;
        double low, high;
    } table[] = {
        {"--corpus", &options->corpus, NULL, NULL, 0, 0},
        {"--out", &options->out, NULL, NULL, 0, 0},
        {"--from", &options->from, NULL, NULL, 0, 0},
        {"--seed", NULL, &options->seed, NULL, 0, 1e9},
        {"--threads", NULL, &options->n_threads, NULL, 1, THREADS_MAX},
        {"--steps", NULL, &options->n_steps, NULL, 1, 1e7},
        {"--pack-tokens", NULL, &options->pack_tokens, NULL, 512, LESSON_PACK_TOKENS_MAX},
        {"--packs", NULL, &options->n_packs, NULL, 1, 256},
        {"--rate", NULL, NULL, &options->learning_rate, 0, 1},
        {"--decay", NULL, NULL, &options->weight_decay, 0, 1},
        {"--thoughts", NULL, NULL, &options->thoughts, 0, 1},
        {"--vocab", NULL, &options->shape.n_vocab, NULL, 512, 32768},
        {"--embd", NULL, &options->shape.n_embd, NULL, 32, 2048},
        {"--layers", NULL, &options->shape.n_layers, NULL, 1, NETWORK_LAYERS_MAX},
        {"--ff", NULL, &options->shape.n_ff, NULL, 32, 8192},
    };
    for (int i = 1; i < argc; i += 2) {
        size_t o = 0;
        while (o < sizeof table / sizeof *table && strcmp(argv[i], table[o].name) != 0) ++o;
        if (o == sizeof table / sizeof *table || i + 1 == argc) {
            fprintf(stderr, "tutor_train: option '%s' is unknown or lacks its value\n", argv[i]);
            return -1;
        }
        double value = 0;
        if (table[o].text)
            *table[o].text = argv[i + 1];
        else if (read_number(argv[i], argv[i + 1], table[o].low, table[o].high, &value))
            return -1;
        if (table[o].integer) *table[o].integer = (int)value;
        if (table[o].real) *table[o].real = (float)value;
    }
    if (options->shape.n_vocab % 32 || options->shape.n_embd % 32 || options->shape.n_ff % 32) {
        fprintf(stderr, "tutor_train: --vocab, --embd and --ff must be multiples of 32\n");
        return -1;
    }
    return 0;
}

/* A pack, and what was learned from it. */
struct slot {
    struct lesson_pack pack, next; /* next: for the step behind this one */
    float *gradients;
    double loss;
};

struct training {
    const struct options *options;
    struct network *network;
    struct lessons *lessons;
    struct pool *pool;
    struct network_work *work[THREADS_MAX];
    struct slot *slots;       /* one for each pack of a step */
    double squares[N_BLOCKS]; /* of the gradients */
    struct network_pace pace;
    int step; /* counts from 0 */
};

static void fill_next(struct training *training, int step) {
    int is_long = step % LONG_STEP_EVERY == LONG_STEP_EVERY - 1;
    int max_tokens = is_long ? LESSON_PACK_TOKENS_MAX : training->options->pack_tokens;
    for (int p = 0; p < training->options->n_packs; ++p) lessons_fill(training->lessons, &training->slots[p].next, is_long, max_tokens);
}

/* The first item is the next step's packs, the others are this one's. */
static void learn_item(void *context, int item, int thread) {
    struct training *training = context;
    if (item == 0) {
        fill_next(training, training->step + 1);
        return;
    }
    struct slot *slot = &training->slots[item - 1];
    memset(slot->gradients, 0, (size_t)training->network->map.size * sizeof *slot->gradients);
    slot->loss = network_learn(training->network, training->work[thread], &slot->pack.batch, slot->gradients);
}

static long block_begin(const struct training *training, int block) { return training->network->map.size * block / N_BLOCKS; }

/* Adds the gradients of all packs into the first one's. */
static void merge_block(void *context, int block, int thread) {
    (void)thread;
    struct training *training = context;
    float *sum = training->slots[0].gradients;
    long begin = block_begin(training, block), end = block_begin(training, block + 1);
    double square = 0;
    for (int p = 1; p < training->options->n_packs; ++p) {
        const float *more = training->slots[p].gradients;
        for (long i = begin; i < end; ++i) sum[i] += more[i];
    }
    for (long i = begin; i < end; ++i) square += (double)sum[i] * sum[i];
    training->squares[block] = square;
}

static void step_block(void *context, int block, int thread) {
    (void)thread;
    struct training *training = context;
    network_step(training->network, training->slots[0].gradients, block_begin(training, block), block_begin(training, block + 1),
                 &training->pace);
}

static void prepare_matrix(void *context, int matrix, int thread) {
    (void)thread;
    network_prepare(((struct training *)context)->network, matrix);
}

static double sum_weights(const struct training *training) {
    double sum = 0;
    for (int p = 0; p < training->options->n_packs; ++p) {
        const struct network_batch *batch = &training->slots[p].pack.batch;
        for (int t = 0; t < batch->n_tokens; ++t) sum += batch->loss_weights[t];
    }
    return sum;
}

/* Linear warm-up, then half a cosine down to 1 % (Loshchilov, Hutter: SGDR, 2017). */
static float learning_rate_at(const struct options *options, int step) {
    if (step < options->n_warmup_steps)
        return options->learning_rate * (float)(step + 1) / (float)options->n_warmup_steps;
    double done = (double)(step - options->n_warmup_steps) / (double)(options->n_steps - options->n_warmup_steps + 1);
    return options->learning_rate * (float)(0.01 + 0.99 * 0.5 * (1.0 + cos(3.141592653589793 * done)));
}

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* One step: learn, add up the gradients, divide them by the sum of the loss weights, limit their length to 1 (Pascanu, Mikolov,
 * Bengio 2013), and change the weights. Returns the loss. */
static double make_step(struct training *training) {
    const struct options *options = training->options;
    double loss = 0, square = 0, weight_sum;
    for (int p = 0; p < options->n_packs; ++p) {
        struct lesson_pack kept = training->slots[p].pack;
        training->slots[p].pack = training->slots[p].next;
        training->slots[p].next = kept;
    }
    pool_run(training->pool, prepare_matrix, training, network_n_matrices(training->network));
    pool_run(training->pool, learn_item, training, 1 + options->n_packs);
    pool_run(training->pool, merge_block, training, N_BLOCKS);
    weight_sum = sum_weights(training);
    for (int p = 0; p < options->n_packs; ++p) loss += training->slots[p].loss;
    for (int b = 0; b < N_BLOCKS; ++b) square += training->squares[b];
    double length = sqrt(square) / weight_sum;
    training->pace = (struct network_pace){.gradient_scale = (float)(1.0 / weight_sum / (length > 1.0 ? length : 1.0)),
                                           .learning_rate = learning_rate_at(options, training->step),
                                           .weight_decay = options->weight_decay,
                                           .step = training->step + 1};
    pool_run(training->pool, step_block, training, N_BLOCKS);
    return loss / weight_sum;
}

/* Returns 0, or -1 with a message in error. */
static int train(struct training *training, const struct tokenizer *tokenizer, char *error, size_t error_size) {
    const struct options *options = training->options;
    double begin = seconds_now(), loss = 0;
    long n_tokens = 0, n_conversations = 0;
    fill_next(training, 0);
    for (int step = 0; step < options->n_steps; ++step) {
        training->step = step;
        double step_loss = make_step(training);
        for (int p = 0; p < options->n_packs; ++p) {
            n_tokens += training->slots[p].pack.batch.n_tokens;
            n_conversations += training->slots[p].pack.batch.n_sequences;
        }
        loss = step == 0 ? step_loss : 0.95 * loss + 0.05 * step_loss;
        int is_end = step + 1 == options->n_steps;
        if ((step + 1) % 50 == 0 || is_end) {
            double seconds = seconds_now() - begin;
            fprintf(stderr, "step %5d of %d  loss %.5f  %.0f tokens/s  %ld conversations  %.0f s, %.0f s left\n", step + 1,
                    options->n_steps, loss, (double)n_tokens / seconds, n_conversations, seconds,
                    seconds / (step + 1) * (options->n_steps - step - 1));
        }
        if (!is_end && (step + 1) % SAVE_EVERY != 0) continue;
        if (gguf_write(options->out, training->network, tokenizer, training->lessons->material->chat_template, N_CONTEXT, error,
                       error_size))
            return -1;
    }
    return 0;
}

/* Returns 0, or -1 if out of memory. End it with training_free in any case. */
static int training_new(struct training *training) {
    const struct options *options = training->options;
    training->pool = pool_new(options->n_threads);
    training->slots = calloc((size_t)options->n_packs, sizeof *training->slots);
    if (!training->pool || !training->slots) return -1;
    for (int t = 0; t < options->n_threads; ++t) {
        training->work[t] = network_work_new(&options->shape, LESSON_PACK_TOKENS_MAX);
        if (!training->work[t]) return -1;
    }
    for (int p = 0; p < options->n_packs; ++p) {
        struct slot *slot = &training->slots[p];
        slot->gradients = malloc((size_t)training->network->map.size * sizeof *slot->gradients);
        if (!slot->gradients || lesson_pack_new(&slot->pack) || lesson_pack_new(&slot->next)) return -1;
    }
    return 0;
}

static void training_free(struct training *training) {
    for (int p = 0; training->slots && p < training->options->n_packs; ++p) {
        lesson_pack_free(&training->slots[p].pack);
        lesson_pack_free(&training->slots[p].next);
        free(training->slots[p].gradients);
    }
    free(training->slots);
    for (int t = 0; t < training->options->n_threads; ++t) network_work_free(training->work[t]);
    pool_free(training->pool);
}

/* Returns 0, or -1 with a message in error. */
static int run(const struct options *options, char *error, size_t error_size) {
    static struct training training;
    struct lesson_material material = {0};
    struct tokenizer tokenizer = {0};
    struct network network = {0};
    struct lessons lessons = {0};
    struct random_source random = {(uint64_t)options->seed};
    int result = -1;

    training = (struct training){.options = options, .network = &network, .lessons = &lessons};
    if (lesson_material_load(&material, options->corpus, error, error_size)) goto done;
    snprintf(error, error_size, "out of memory");
    if (lesson_material_train_tokenizer(&material, &tokenizer, options->shape.n_vocab)) goto done;
    if (tokenizer.n_tokens < options->shape.n_vocab) {
        snprintf(error, error_size, "the corpus has only enough words for %d tokens; choose a smaller --vocab",
                 tokenizer.n_tokens);
        goto done;
    }
    if (network_new(&network, options->shape, &random)) goto done;
    if (options->from && gguf_read_weights(options->from, &network, error, error_size)) goto done;
    if (lessons_new(&lessons, &material, &tokenizer, (double)options->thoughts, random)) goto done;
    if (training_new(&training)) goto done;
    fprintf(stderr, "%d questions in %d phrasings, %d tokens, %ld parameters, %d threads\n",
            material.questions.n_entries + material.off_topic.n_entries, lessons.n_items, tokenizer.n_tokens,
            network.map.size, options->n_threads);
    result = train(&training, &tokenizer, error, error_size);
done:
    training_free(&training);
    lessons_free(&lessons);
    network_free(&network);
    tokenizer_free(&tokenizer);
    lesson_material_free(&material);
    return result;
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        print_usage(stdout);
        return 0;
    }
    struct options options;
    char error[1200];
    if (parse_options(&options, argc, argv)) return 2;
    if (run(&options, error, sizeof error) == 0) return 0;
    fprintf(stderr, "tutor_train: %s\n", error);
    return 1;
}
