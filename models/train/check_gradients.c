/* check_gradients.c - tutor_check_gradients: compares the hand-written gradients of network.c with finite differences.
 *
 * Prints one line for each kind of weight. Exit code 0 if all agree, 1 if not. Takes a few seconds. */
#include "network.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { N_TOKENS = 40, N_WEIGHTS_EACH = 25 };

/* A difference in single precision is good for some three digits. */
static const double FAILPOINT = 4e-3, TOLERANCE = 1e-2;

static const struct network_shape SHAPE = {.n_vocab = 64, .n_embd = 64, .n_layers = 2, .n_ff = 96};

static void prepare(struct network *network) {
    for (int i = 0; i < network_n_matrices(network); ++i) network_prepare(network, i);
}

static double loss_at(struct network *network, struct network_work *work, const struct network_batch *batch, long at,
                      float change, float *unused) {
    float kept = network->weights[at];
    network->weights[at] += change;
    prepare(network);
    double loss = network_learn(network, work, batch, unused);
    network->weights[at] = kept;
    return loss;
}

/* Samples the tensor; returns the length of the error vector relative to that of the gradient. */
static double error_of(struct network *network, struct network_work *work, const struct network_batch *batch,
                       const float *gradients, long begin, long size, struct random_source *random, float *unused) {
    double error = 0, length = 1e-12;
    for (int i = 0; i < N_WEIGHTS_EACH; ++i) {
        long at = begin + random_below(random, (int)size);
        double up = loss_at(network, work, batch, at, (float)FAILPOINT, unused),
               down = loss_at(network, work, batch, at, (float)-FAILPOINT, unused);
        double difference = (up - down) / (2 * FAILPOINT);
        error += (difference - gradients[at]) * (difference - gradients[at]);
        length += difference * difference;
    }
    return sqrt(error / length);
}

int main(void) {
    struct random_source random = {3};
    struct network network;
    struct network_work *work = network_work_new(&SHAPE, N_TOKENS);
    if (!work || network_new(&network, SHAPE, &random)) return 1;
    for (long i = 0; i < network.map.size; ++i) network.weights[i] += (float)(0.1 * random_normal(&random));

    int tokens[N_TOKENS], targets[N_TOKENS], begins[] = {0, 17, N_TOKENS};
    float loss_weights[N_TOKENS];
    for (int t = 0; t < N_TOKENS; ++t) {
        tokens[t] = random_below(&random, SHAPE.n_vocab);
        targets[t] = t % 3 == 0 ? -1 : random_below(&random, SHAPE.n_vocab);
        loss_weights[t] = 1.0f + (float)(t % 2);
    }
    struct network_batch batch = {.n_tokens = N_TOKENS,
                                  .tokens = tokens,
                                  .targets = targets,
                                  .loss_weights = loss_weights,
                                  .n_sequences = 2,
                                  .begins = begins};
    float *gradients = calloc((size_t)network.map.size, sizeof *gradients), *unused = calloc((size_t)network.map.size, sizeof *unused);
    if (!gradients || !unused) return 1;
    prepare(&network);
    network_learn(&network, work, &batch, gradients);

    const struct network_map *map = &network.map;
    const struct network_layer_map *layer = &map->layers[0];
    long embd = SHAPE.n_embd, ff = SHAPE.n_ff;
    const struct {
        const char *name;
        long begin, size;
    } tensors[] = {{"embedding", map->embedding, SHAPE.n_vocab * embd},
                   {"attn_norm", layer->attn_norm, embd},
                   {"qkv", layer->qkv, embd * 3 * embd},
                   {"attn_out", layer->attn_out, embd * embd},
                   {"ffn_norm", layer->ffn_norm, embd},
                   {"gate_up", layer->gate_up, embd * 2 * ff},
                   {"down", layer->down, ff * embd},
                   {"output_norm", map->output_norm, embd}};
    int failed = 0;
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; ++i) {
        double error = error_of(&network, work, &batch, gradients, tensors[i].begin, tensors[i].size, &random, unused);
        printf("%-12s relative error %.5f\n", tensors[i].name, error);
        failed |= !(error < TOLERANCE);
    }
    free(gradients);
    free(unused);
    network_free(&network);
    network_work_free(work);
    return failed;
}
