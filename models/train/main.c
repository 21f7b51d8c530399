/* main.c - tutor_train: trains the tutor model on the corpus and writes it as a GGUF file.
 *
 * The work of a step is divided into a fixed number of packs, whose gradients are added in a fixed order; so the result
 * depends on the seed and the options, but not on the number of threads. */
#include "gguf_writer.h"
#include "lessons.h"
#include "network.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { N_SHARDS = 2, N_CONTEXT = 2048 };

struct options {
    const char *corpus;
    const char *out;
    int seed;
    int n_threads;
    int n_steps;
    int n_warmup_steps;
    int pack_tokens;     /* size of a pack */
    int packs_per_shard; /* packs that each shard learns from in one step */
    float learning_rate;
    float weight_decay;
    struct network_shape shape;
};

static const struct options DEFAULTS = {
    .corpus = "models/corpus",
    .out = "models/tutor.gguf",
    .seed = 1,
    .n_threads = 2,
    .n_steps = 3000,
    .n_warmup_steps = 100,
    .pack_tokens = LESSON_PACK_TOKENS_MIN,
    .packs_per_shard = 1,
    .learning_rate = 2e-3f,
    .weight_decay = 0.1f,
    .shape = {.n_vocab = 1280, .n_embd = 128, .n_layers = 4, .n_ff = 384},
};

static void print_usage(FILE *file) {
    fprintf(file,
            "usage: tutor_train [option value]...\n"
            "Trains the tutor model and writes it as a GGUF file. Options and their defaults:\n"
            "  --corpus DIR      folder with the corpus files (%s)\n"
            "  --out FILE        the model to write (%s)\n"
            "  --seed N          same seed, same model (%d)\n"
            "  --threads N       1 or 2; does not change the result (%d)\n"
            "  --steps N         steps of the optimiser (%d)\n"
            "  --pack-tokens N   tokens in a pack (%d)\n"
            "  --packs N         packs for each half of a step (%d)\n"
            "  --rate X          greatest learning rate (%g)\n"
            "  --decay X         weight decay (%g)\n"
            "  --vocab N, --embd N, --layers N, --ff N   shape of the model (%d, %d, %d, %d)\n",
            DEFAULTS.corpus, DEFAULTS.out, DEFAULTS.seed, DEFAULTS.n_threads, DEFAULTS.n_steps, DEFAULTS.pack_tokens,
            DEFAULTS.packs_per_shard, (double)DEFAULTS.learning_rate, (double)DEFAULTS.weight_decay,
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
    const struct {
        const char *name;
        const char **text;
        int *integer;
        float *real;
        double low, high;
    } table[] = {
        {"--corpus", &options->corpus, NULL, NULL, 0, 0},
        {"--out", &options->out, NULL, NULL, 0, 0},
        {"--seed", NULL, &options->seed, NULL, 0, 1e9},
        {"--threads", NULL, &options->n_threads, NULL, 1, N_SHARDS},
        {"--steps", NULL, &options->n_steps, NULL, 1, 1e7},
        {"--pack-tokens", NULL, &options->pack_tokens, NULL, LESSON_PACK_TOKENS_MIN, 8192},
        {"--packs", NULL, &options->packs_per_shard, NULL, 1, 64},
        {"--rate", NULL, NULL, &options->learning_rate, 0, 1},
        {"--decay", NULL, NULL, &options->weight_decay, 0, 1},
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

/* One half of every step: its packs, its working memory and its result. */
struct shard {
    const struct network *network;
    struct network_work *work;
    struct lesson_pack *packs;
    int n_packs;
    double loss;
};

static void *learn_shard(void *context) {
    struct shard *shard = context;
    float *gradients = network_work_gradients(shard->work);
    memset(gradients, 0, (size_t)shard->network->map.size * sizeof *gradients);
    shard->loss = 0;
    for (int i = 0; i < shard->n_packs; ++i)
        shard->loss += network_learn(shard->network, shard->work, &shard->packs[i].batch);
    return NULL;
}

static void learn_all(struct shard *shards, int n_threads) {
    pthread_t thread;
    int started = n_threads > 1 && pthread_create(&thread, NULL, learn_shard, &shards[1]) == 0;
    learn_shard(&shards[0]);
    if (started)
        pthread_join(thread, NULL);
    else
        learn_shard(&shards[1]);
}

/* Adds the gradients of all shards into the first one's, divides them by the sum of the loss weights and limits their
 * length to 1 (Pascanu, Mikolov, Bengio 2013). Returns them. */
static float *merge_gradients(struct shard *shards, long size, double weight_sum) {
    float *sum = network_work_gradients(shards[0].work);
    double square = 0;
    for (int s = 1; s < N_SHARDS; ++s) {
        const float *more = network_work_gradients(shards[s].work);
        for (long i = 0; i < size; ++i) sum[i] += more[i];
    }
    for (long i = 0; i < size; ++i) square += (double)sum[i] * sum[i];
    double length = sqrt(square) / weight_sum;
    float scale = (float)(1.0 / weight_sum / (length > 1.0 ? length : 1.0));
    for (long i = 0; i < size; ++i) sum[i] *= scale;
    return sum;
}

static double sum_weights(const struct shard *shards) {
    double sum = 0;
    for (int s = 0; s < N_SHARDS; ++s) {
        for (int p = 0; p < shards[s].n_packs; ++p) {
            const struct network_batch *batch = &shards[s].packs[p].batch;
            for (int t = 0; t < batch->n_tokens; ++t) sum += batch->loss_weights[t];
        }
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

static void train(const struct options *options, struct network *network, struct shard *shards,
                  struct lessons *lessons) {
    double begin = seconds_now(), loss = 0;
    long n_tokens = 0, n_conversations = 0;
    for (int step = 0; step < options->n_steps; ++step) {
        for (int s = 0; s < N_SHARDS; ++s) {
            for (int p = 0; p < shards[s].n_packs; ++p) {
                lessons_fill(lessons, &shards[s].packs[p]);
                n_tokens += shards[s].packs[p].batch.n_tokens;
                n_conversations += shards[s].packs[p].batch.n_sequences;
            }
        }
        network_prepare(network);
        learn_all(shards, options->n_threads);
        double weight_sum = sum_weights(shards);
        const float *gradients = merge_gradients(shards, network->map.size, weight_sum);
        network_step(network, gradients, learning_rate_at(options, step), options->weight_decay, step + 1);
        double step_loss = (shards[0].loss + shards[1].loss) / weight_sum;
        loss = step == 0 ? step_loss : 0.95 * loss + 0.05 * step_loss;
        if ((step + 1) % 50 && step + 1 < options->n_steps) continue;
        double seconds = seconds_now() - begin;
        fprintf(stderr, "step %5d of %d  loss %.5f  %.0f tokens/s  %ld conversations  %.0f s, %.0f s left\n", step + 1,
                options->n_steps, loss, (double)n_tokens / seconds, n_conversations, seconds,
                seconds / (step + 1) * (options->n_steps - step - 1));
    }
}

static int shards_new(struct shard *shards, const struct options *options, const struct network *network) {
    for (int s = 0; s < N_SHARDS; ++s) {
        shards[s].network = network;
        shards[s].work = network_work_new(&options->shape, options->pack_tokens);
        shards[s].packs = calloc((size_t)options->packs_per_shard, sizeof *shards[s].packs);
        if (!shards[s].work || !shards[s].packs) return -1;
        for (int p = 0; p < options->packs_per_shard; ++p) {
            if (lesson_pack_new(&shards[s].packs[p], options->pack_tokens)) return -1;
            ++shards[s].n_packs;
        }
    }
    return 0;
}

static void shards_free(struct shard *shards) {
    for (int s = 0; s < N_SHARDS; ++s) {
        for (int p = 0; p < shards[s].n_packs; ++p) lesson_pack_free(&shards[s].packs[p]);
        free(shards[s].packs);
        network_work_free(shards[s].work);
    }
}

/* Returns 0, or -1 with a message in error. */
static int run(const struct options *options, char *error, size_t error_size) {
    struct lesson_material material = {0};
    struct tokenizer tokenizer = {0};
    struct network network = {0};
    struct lessons lessons = {0};
    struct shard shards[N_SHARDS] = {0};
    struct random_source random = {(uint64_t)options->seed};
    int result = -1;

    if (lesson_material_load(&material, options->corpus, error, error_size)) goto done;
    snprintf(error, error_size, "out of memory");
    if (lesson_material_train_tokenizer(&material, &tokenizer, options->shape.n_vocab)) goto done;
    if (tokenizer.n_tokens < options->shape.n_vocab) {
        snprintf(error, error_size, "the corpus has only enough words for %d tokens; choose a smaller --vocab",
                 tokenizer.n_tokens);
        goto done;
    }
    if (network_new(&network, options->shape, &random)) goto done;
    if (lessons_new(&lessons, &material, &tokenizer, random)) goto done;
    if (shards_new(shards, options, &network)) goto done;
    fprintf(stderr, "%d questions in %d phrasings, %d tokens, %ld parameters\n",
            material.questions.n_entries + material.off_topic.n_entries, lessons.n_items, tokenizer.n_tokens,
            network.map.size);
    train(options, &network, shards, &lessons);
    result = gguf_write(options->out, &network, &tokenizer, N_CONTEXT, error, error_size);
done:
    shards_free(shards);
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
