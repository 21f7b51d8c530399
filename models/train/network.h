/* network.h - the network of the tutor model: a transformer of the llama architecture, with its gradients and its
 * optimiser.
 *
 * Everything is 32-bit floating point. Weight matrices are stored as [in][out]. */
#ifndef TUTOR_NETWORK_H
#define TUTOR_NETWORK_H

#include "random.h"

enum { NETWORK_HEAD_SIZE = 32, NETWORK_LAYERS_MAX = 16 };

static const float NETWORK_NORM_EPSILON = 1e-5f;
static const float NETWORK_ROPE_BASE = 10000.0f;

/* Sizes. n_vocab, n_embd and n_ff are multiples of 32; there are n_embd / NETWORK_HEAD_SIZE attention heads. */
struct network_shape {
    int n_vocab;
    int n_embd;
    int n_layers;
    int n_ff;
};

/* Where each tensor lies within an array of network_size floats. */
struct network_layer_map {
    long attn_norm; /* [n_embd] */
    long qkv;       /* [n_embd][3 * n_embd], the columns of query, key and value side by side */
    long attn_out;  /* [n_embd][n_embd] */
    long ffn_norm;  /* [n_embd] */
    long gate_up;   /* [n_embd][2 * n_ff], the columns of gate and up side by side */
    long down;      /* [n_ff][n_embd] */
};

struct network_map {
    long embedding; /* [n_vocab][n_embd], also used for the output */
    struct network_layer_map layers[NETWORK_LAYERS_MAX];
    long output_norm; /* [n_embd] */
    long size;        /* of all, in floats */
};

struct network {
    struct network_shape shape;
    struct network_map map;
    float *weights;
    float *transposed; /* the matrices of weights, each transposed in place of itself; see network_prepare */
    float *mean;       /* first and second moments for AdamW */
    float *variance;
};

/* Several token sequences, one behind the other, and what is to be learned from them. */
struct network_batch {
    int n_tokens;
    const int *tokens;         /* [n_tokens] */
    const int *targets;        /* [n_tokens] the token that should follow, or -1 where nothing is to be learned */
    const float *loss_weights; /* [n_tokens] how much each target counts */
    int n_sequences;
    const int *begins; /* [n_sequences + 1] index of the first token of each sequence, and n_tokens */
};

/* Working memory of one thread. */
struct network_work;

/* Makes a network with random weights. Returns 0, or -1 if out of memory. End it with network_free. */
int network_new(struct network *network, struct network_shape shape, struct random_source *random);
void network_free(struct network *network);

/* Working memory for batches of up to max_tokens tokens, or NULL. End it with network_work_free; NULL is allowed. */
struct network_work *network_work_new(const struct network_shape *shape, int max_tokens);
void network_work_free(struct network_work *work);

/* To be called for each matrix, 0 to network_n_matrices() - 1, after the weights have changed and before network_learn. Several
 * threads may do so, for different ones. */
int network_n_matrices(const struct network *network);
void network_prepare(struct network *network, int matrix);

/* Runs the batch forward and backward and adds the gradients of the weighted cross entropy to `gradients`, which are in the order
 * of the weights. Returns that weighted cross entropy, summed over all targets. Several threads may call it, each with its own work
 * and gradients. */
double network_learn(const struct network *network, struct network_work *work, const struct network_batch *batch,
                     float *gradients);

/* How a step goes. */
struct network_pace {
    float gradient_scale; /* the gradients are multiplied with this */
    float learning_rate;
    float weight_decay;
    int step; /* counts from 1 */
};

/* One step of AdamW for the weights from begin to end. Several threads may do so, for different ones. */
void network_step(struct network *network, const float *gradients, long begin, long end, const struct network_pace *pace);

#endif
