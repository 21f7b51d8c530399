/* network.c - the network of the tutor model; see network.h.
 *
 * Sources of the parts: RMSNorm (Zhang, Sennrich 2019), rotary positions (Su et al. 2021), attention (Vaswani et al.
 * 2017), SwiGLU (Shazeer 2020), AdamW (Loshchilov, Hutter 2019), put together as in LLaMA (Touvron et al. 2023). Rotary
 * positions turn neighbouring pairs (2i, 2i + 1), which is what llama.cpp expects of this architecture. */
#include "network.h"

#include "matrix.h"

#include <stdlib.h>
#include <string.h>

enum { HEAD = NETWORK_HEAD_SIZE, LANES = MATRIX_LANES, HEAD_LANES = HEAD / LANES };

/* Attention of so many tokens is reversed at once, as keys and values have to be read and written for each of them. */
enum { N_REVERSED = 4 };

typedef matrix_lanes lanes;

struct layer_work {
    float *in;            /* [n][embd] input of the layer */
    float *attn_in;       /* [n][embd] normalised */
    float *attn_scale;    /* [n] 1 / root mean square */
    float *qkv;           /* [n][3 embd] after rotation */
    float *probabilities; /* per sequence and head: [length][padded length] */
    float *attn;          /* [n][embd] mixture of values */
    float *middle;        /* [n][embd] after attention */
    float *ffn_in;        /* [n][embd] normalised */
    float *ffn_scale;     /* [n] */
    float *gate_up;       /* [n][2 ff] */
    float *ffn;           /* [n][ff] silu(gate) * up */
};

struct network_work {
    int max_tokens;
    long max_probabilities; /* floats in each layer's probabilities */
    float *memory;
    float *rotation; /* [max_tokens][HEAD] pairs of cosine and sine */
    struct layer_work layers[NETWORK_LAYERS_MAX];
    float *out, *final, *final_scale;  /* last layer's output, normalised */
    float *picked, *d_picked, *logits; /* rows with a target: [n][embd], [n][embd], [n][vocab] */
    float *d_stream, *d_norm, *d_wide,
        *d_ff; /* gradients of activations: [n][embd], [n][embd], [n][max(3 embd, 2 ff)], [n][ff] */
    float *head_a, *head_b, *head_rows; /* [HEAD][padded length], twice [N_REVERSED][padded length], three times [n][HEAD] */
    int *rows;                       /* [n] rows with a target */
};

static int padded(int length) { return (length + LANES - 1) / LANES * LANES; }

static struct network_map map_of(const struct network_shape *shape) {
    struct network_map map = {0};
    long embd = shape->n_embd, ff = shape->n_ff, at = 0;
    map.embedding = at;
    at += shape->n_vocab * embd;
    for (int i = 0; i < shape->n_layers; ++i) {
        struct network_layer_map *layer = &map.layers[i];
        layer->attn_norm = at;
        layer->qkv = layer->attn_norm + embd;
        layer->attn_out = layer->qkv + embd * 3 * embd;
        layer->ffn_norm = layer->attn_out + embd * embd;
        layer->gate_up = layer->ffn_norm + embd;
        layer->down = layer->gate_up + embd * 2 * ff;
        at = layer->down + ff * embd;
    }
    map.output_norm = at;
    map.size = at + embd;
    return map;
}

static void fill_normal(float *weights, long n, double deviation, struct random_source *random) {
    for (long i = 0; i < n; ++i) weights[i] = (float)(deviation * random_normal(random));
}

static void fill_one(float *weights, long n) {
    for (long i = 0; i < n; ++i) weights[i] = 1.0f;
}

int network_new(struct network *network, struct network_shape shape, struct random_source *random) {
    *network = (struct network){.shape = shape, .map = map_of(&shape)};
    size_t size_bytes = (size_t)network->map.size * sizeof(float);
    network->weights = malloc(size_bytes);
    network->transposed = malloc(size_bytes);
    network->mean = calloc(1, size_bytes);
    network->variance = calloc(1, size_bytes);
    if (!network->weights || !network->transposed || !network->mean || !network->variance) {
        network_free(network);
        return -1;
    }
    long embd = shape.n_embd, ff = shape.n_ff;
    double deviation = 0.02, residual = 0.02 / sqrt(2.0 * shape.n_layers); /* as in GPT-2 (Radford et al. 2019) */
    fill_normal(network->weights + network->map.embedding, shape.n_vocab * embd, deviation, random);
    for (int i = 0; i < shape.n_layers; ++i) {
        const struct network_layer_map *layer = &network->map.layers[i];
        fill_one(network->weights + layer->attn_norm, embd);
        fill_normal(network->weights + layer->qkv, embd * 3 * embd, 2 * deviation, random);
        fill_normal(network->weights + layer->attn_out, embd * embd, residual, random);
        fill_one(network->weights + layer->ffn_norm, embd);
        fill_normal(network->weights + layer->gate_up, embd * 2 * ff, 2 * deviation, random);
        fill_normal(network->weights + layer->down, ff * embd, residual, random);
    }
    fill_one(network->weights + network->map.output_norm, embd);
    return 0;
}

void network_free(struct network *network) {
    free(network->weights);
    free(network->transposed);
    free(network->mean);
    free(network->variance);
    *network = (struct network){0};
}

/* Lays out the working memory. With memory == NULL it only counts; returns the number of floats. */
static long lay_out(struct network_work *work, const struct network_shape *shape, float *memory) {
    long n = work->max_tokens, embd = shape->n_embd, ff = shape->n_ff, at = 0;
    long wide = 3 * embd > 2 * ff ? 3 * embd : 2 * ff;
#define PLACE(pointer, size) (work->pointer = memory ? memory + at : NULL, at += ((size) + LANES - 1) / LANES * LANES)
    for (int i = 0; i < shape->n_layers; ++i) {
        PLACE(layers[i].in, n * embd);
        PLACE(layers[i].attn_in, n * embd);
        PLACE(layers[i].attn_scale, n);
        PLACE(layers[i].qkv, n * 3 * embd);
        PLACE(layers[i].probabilities, work->max_probabilities);
        PLACE(layers[i].attn, n * embd);
        PLACE(layers[i].middle, n * embd);
        PLACE(layers[i].ffn_in, n * embd);
        PLACE(layers[i].ffn_scale, n);
        PLACE(layers[i].gate_up, n * 2 * ff);
        PLACE(layers[i].ffn, n * ff);
    }
    PLACE(out, n * embd);
    PLACE(final, n * embd);
    PLACE(final_scale, n);
    PLACE(picked, n * embd);
    PLACE(d_picked, n * embd);
    PLACE(logits, n * shape->n_vocab);
    PLACE(d_stream, n * embd);
    PLACE(d_norm, n * embd);
    PLACE(d_wide, n * wide);
    PLACE(d_ff, n * ff);
    PLACE(head_a, HEAD * (long)padded((int)n));
    PLACE(head_b, 2 * N_REVERSED * (long)padded((int)n));
    PLACE(head_rows, 3 * n * HEAD);
    PLACE(rotation, n * HEAD);
#undef PLACE
    return at;
}

static void fill_rotation(float *rotation, int n) {
    for (int position = 0; position < n; ++position) {
        for (int i = 0; i < HEAD / 2; ++i) {
            double angle = position * pow(NETWORK_ROPE_BASE, -2.0 * i / HEAD);
            rotation[position * HEAD + 2 * i] = (float)cos(angle);
            rotation[position * HEAD + 2 * i + 1] = (float)sin(angle);
        }
    }
}

struct network_work *network_work_new(const struct network_shape *shape, int max_tokens) {
    struct network_work *work = calloc(1, sizeof *work);
    if (!work) return NULL;
    work->max_tokens = max_tokens;
    work->max_probabilities = (long)max_tokens * padded(max_tokens) * (shape->n_embd / HEAD);
    long n_floats = lay_out(work, shape, NULL);
    work->memory = calloc((size_t)n_floats, sizeof(float));
    work->rows = malloc((size_t)max_tokens * sizeof *work->rows);
    if (!work->memory || !work->rows) {
        network_work_free(work);
        return NULL;
    }
    lay_out(work, shape, work->memory);
    fill_rotation(work->rotation, max_tokens);
    return work;
}

void network_work_free(struct network_work *work) {
    if (!work) return;
    free(work->memory);
    free(work->rows);
    free(work);
}

int network_n_matrices(const struct network *network) { return 1 + 4 * network->shape.n_layers; }

void network_prepare(struct network *network, int matrix) {
    const struct network_map *map = &network->map;
    const int embd = network->shape.n_embd, ff = network->shape.n_ff;
    const struct network_layer_map *layer = &map->layers[matrix > 0 ? (matrix - 1) / 4 : 0];
    const struct {
        long at;
        int n_in, n_out;
    } matrices[] = {{layer->qkv, embd, 3 * embd},
                    {layer->attn_out, embd, embd},
                    {layer->gate_up, embd, 2 * ff},
                    {layer->down, ff, embd},
                    {map->embedding, network->shape.n_vocab, embd}};
    int i = matrix > 0 ? (matrix - 1) % 4 : 4;
    matrix_transpose(network->transposed + matrices[i].at, network->weights + matrices[i].at, matrices[i].n_in, matrices[i].n_out);
}

/* y = x * w, and the two halves of its gradient: dx = dy * w^T, dw += x^T * dy. */
static void linear(float *y, const float *x, const float *w, int n, int in, int out) {
    matrix_multiply(y, out, x, in, 1, w, out, n, out, in, 0);
}

static void linear_backward(float *dx, float *dw, const float *dy, const float *x, const float *w_transposed, int n,
                            int in, int out) {
    matrix_multiply(dx, in, dy, out, 1, w_transposed, in, n, in, out, 0);
    matrix_multiply(dw, out, x, 1, in, dy, out, in, out, n, 1);
}

/* RMSNorm: y = x / rms(x) * weight; scale keeps 1 / rms(x) of each row. */
static void norm(float *y, float *scale, const float *x, const float *weight, int n, int embd) {
    for (int t = 0; t < n; ++t) {
        const float *row = x + (long)t * embd;
        float sum = 0;
        for (int i = 0; i < embd; ++i) sum += row[i] * row[i];
        float s = scale[t] = 1.0f / sqrtf(sum / (float)embd + NETWORK_NORM_EPSILON);
        for (int i = 0; i < embd; ++i) y[(long)t * embd + i] = row[i] * s * weight[i];
    }
}

/* dx += gradient through the norm, dweight += that of its weight. */
static void norm_backward(float *dx, float *dweight, const float *dy, const float *x, const float *scale,
                          const float *weight, int n, int embd) {
    for (int t = 0; t < n; ++t) {
        const float *row = x + (long)t * embd, *d = dy + (long)t * embd;
        float *to = dx + (long)t * embd;
        float s = scale[t], dot = 0;
        for (int i = 0; i < embd; ++i) {
            dweight[i] += d[i] * row[i] * s;
            dot += d[i] * weight[i] * row[i];
        }
        float shrink = dot * s * s * s / (float)embd;
        for (int i = 0; i < embd; ++i) to[i] += d[i] * weight[i] * s - row[i] * shrink;
    }
}

/* Turns the pairs of a query or key by the angles of its position; direction -1 turns back, which is the gradient. */
static void rotate(float *vector, const float *rotation, int n_heads, float direction) {
    for (int h = 0; h < n_heads; ++h) {
        for (int i = 0; i < HEAD; i += 2) {
            float c = rotation[i], s = direction * rotation[i + 1];
            float x = vector[h * HEAD + i], y = vector[h * HEAD + i + 1];
            vector[h * HEAD + i] = x * c - y * s;
            vector[h * HEAD + i + 1] = x * s + y * c;
        }
    }
}

/* to[HEAD][padded length] = the vectors of one head, transposed; the padding is zero. */
static void transpose_head(float *to, const float *vectors, int stride, int length) {
    int width = padded(length);
    for (int i = 0; i < HEAD; ++i) {
        for (int j = 0; j < length; ++j) to[i * width + j] = vectors[(long)j * stride + i];
        for (int j = length; j < width; ++j) to[i * width + j] = 0;
    }
}

/* The vectors of one head side by side, [length][HEAD]: with the others between them they would share a few lines of the cache. */
static void gather_head(float *to, const float *vectors, int stride, int length) {
    for (int j = 0; j < length; ++j) memcpy(to + j * HEAD, vectors + (long)j * stride, HEAD * sizeof *to);
}

static void scatter_head(float *to, const float *vectors, int stride, int length) {
    for (int j = 0; j < length; ++j) memcpy(to + (long)j * stride, vectors + j * HEAD, HEAD * sizeof *to);
}

/* scores[j] = sum over i of vector[i] * transposed[i][j], for the first n (rounded up to LANES) columns. Sums of four blocks are made
 * side by side, as each addition waits for the one before it. */
static void dot_with_all(float *scores, const float *vector, const float *transposed, int width, int n) {
    int j = 0;
    for (; j + 3 * LANES < n; j += 4 * LANES) {
        lanes sums[4] = {{0}};
        for (int i = 0; i < HEAD; ++i) {
            for (int b = 0; b < 4; ++b) sums[b] += vector[i] * *(const lanes *)(transposed + i * width + j + b * LANES);
        }
        for (int b = 0; b < 4; ++b) *(lanes *)(scores + j + b * LANES) = sums[b];
    }
    for (; j < n; j += LANES) {
        lanes sums = {0};
        for (int i = 0; i < HEAD; ++i) sums += vector[i] * *(const lanes *)(transposed + i * width + j);
        *(lanes *)(scores + j) = sums;
    }
}

/* to = sum over j < n of weights[j] * vectors[j], in four sums. */
static void mix(float *to, const float *weights, const float *vectors, int n) {
    lanes sums[4][HEAD_LANES] = {{{0}}};
    for (int j = 0; j < n; ++j) {
        for (int i = 0; i < HEAD_LANES; ++i) sums[j & 3][i] += weights[j] * *(const lanes *)(vectors + j * HEAD + i * LANES);
    }
    for (int i = 0; i < HEAD_LANES; ++i) *(lanes *)(to + i * LANES) = sums[0][i] + sums[1][i] + (sums[2][i] + sums[3][i]);
}

static void softmax(float *values, int n) {
    float max = values[0], sum = 0;
    for (int j = 1; j < n; ++j) max = values[j] > max ? values[j] : max;
    for (int j = 0; j < n; ++j) {
        values[j] = expf(values[j] - max);
        sum += values[j];
    }
    float scale = 1.0f / sum;
    for (int j = 0; j < n; ++j) values[j] *= scale;
}

/* Causal attention of one head over one sequence. qkv and out point to the first token's part of this head. */
static void attend(float *out, float *probabilities, const float *qkv, float *keys, float *values, int length, int embd) {
    int width = padded(length), stride = 3 * embd;
    const float scale = 1.0f / sqrtf(HEAD);
    transpose_head(keys, qkv + embd, stride, length);
    gather_head(values, qkv + 2 * embd, stride, length);
    for (int t = 0; t < length; ++t) {
        float *p = probabilities + (long)t * width;
        dot_with_all(p, qkv + (long)t * stride, keys, width, t + 1);
        for (int j = 0; j <= t; ++j) p[j] *= scale;
        softmax(p, t + 1);
        mix(out + (long)t * embd, p, values, t + 1);
    }
}

struct reversed {
    float *p, *d_p;                                   /* [N_REVERSED][padded length], zero behind the token itself */
    const lanes *query[N_REVERSED], *d[N_REVERSED];   /* of each */
    lanes d_query[N_REVERSED][HEAD_LANES];
};

/* For the keys and values before `end`: adds to their gradients, and to the queries'. */
static void reverse_mixture(struct reversed *at, const float *keys, float *d_keys, float *d_values, int end, int width) {
    for (int j = 0; j < end; ++j) {
        const lanes *key = (const lanes *)(keys + j * HEAD);
        lanes *d_key = (lanes *)(d_keys + j * HEAD), *d_value = (lanes *)(d_values + j * HEAD);
        for (int i = 0; i < HEAD_LANES; ++i) {
            lanes k = key[i], dk = d_key[i], dv = d_value[i];
            for (int r = 0; r < N_REVERSED; ++r) {
                at->d_query[r][i] += at->d_p[r * width + j] * k;
                dk += at->d_p[r * width + j] * at->query[r][i];
                dv += at->p[r * width + j] * at->d[r][i];
            }
            d_key[i] = dk;
            d_value[i] = dv;
        }
    }
}

/* Its gradient: writes d_qkv from d_out. values: [HEAD][padded length]; rows: room for twice [N_REVERSED][padded length]; keys: room
 * for three times [length][HEAD]. */
static void attend_backward(float *d_qkv, const float *d_out, const float *probabilities, const float *qkv, float *values,
                            float *rows, float *keys, int length, int embd) {
    float *d_keys = keys + (long)length * HEAD, *d_values = d_keys + (long)length * HEAD;
    int width = padded(length), stride = 3 * embd;
    const float scale = 1.0f / sqrtf(HEAD);
    transpose_head(values, qkv + 2 * embd, stride, length);
    gather_head(keys, qkv + embd, stride, length);
    memset(d_keys, 0, 2 * (size_t)length * HEAD * sizeof *d_keys);
    for (int first = 0; first < length; first += N_REVERSED) {
        int end = first + N_REVERSED < length ? first + N_REVERSED : length;
        struct reversed at = {.p = rows, .d_p = rows + N_REVERSED * width};
        for (int r = 0; r < N_REVERSED; ++r) {
            int t = first + r < end ? first + r : end - 1, n = first + r < end ? t + 1 : 0; /* the last ones may not be there */
            float *p = at.p + r * width, *d_p = at.d_p + r * width, dot = 0;
            at.d[r] = (const lanes *)(d_out + (long)t * embd);
            at.query[r] = (const lanes *)(qkv + (long)t * stride);
            memcpy(p, probabilities + (long)t * width, (size_t)n * sizeof *p);
            dot_with_all(d_p, d_out + (long)t * embd, values, width, n);
            for (int j = 0; j < n; ++j) dot += p[j] * d_p[j];
            for (int j = 0; j < n; ++j) d_p[j] = p[j] * (d_p[j] - dot) * scale;
            for (int j = n; j < end; ++j) p[j] = d_p[j] = 0;
        }
        reverse_mixture(&at, keys, d_keys, d_values, end, width);
        for (int r = 0; first + r < end; ++r) memcpy(d_qkv + (long)(first + r) * stride, at.d_query[r], sizeof at.d_query[r]);
    }
    scatter_head(d_qkv + embd, d_keys, stride, length);
    scatter_head(d_qkv + 2 * embd, d_values, stride, length);
}

/* SwiGLU: out = gate * sigmoid(gate) * up. */
static void swiglu(float *out, const float *gate_up, int n, int ff) {
    for (int t = 0; t < n; ++t) {
        const float *gate = gate_up + (long)t * 2 * ff, *up = gate + ff;
        float *to = out + (long)t * ff;
        for (int i = 0; i < ff; ++i) to[i] = gate[i] / (1.0f + expf(-gate[i])) * up[i];
    }
}

static void swiglu_backward(float *d_gate_up, const float *d_out, const float *gate_up, int n, int ff) {
    for (int t = 0; t < n; ++t) {
        const float *gate = gate_up + (long)t * 2 * ff, *up = gate + ff, *d = d_out + (long)t * ff;
        float *d_gate = d_gate_up + (long)t * 2 * ff, *d_up = d_gate + ff;
        for (int i = 0; i < ff; ++i) {
            float sigmoid = 1.0f / (1.0f + expf(-gate[i]));
            d_gate[i] = d[i] * up[i] * sigmoid * (1.0f + gate[i] * (1.0f - sigmoid));
            d_up[i] = d[i] * gate[i] * sigmoid;
        }
    }
}

static void add_rows(float *sum, const float *a, const float *b, long n) {
    for (long i = 0; i < n; ++i) sum[i] = a[i] + b[i];
}

static void layer_forward(const struct network *network, struct network_work *work, const struct network_batch *batch,
                          int at, float *out) {
    const struct network_layer_map *map = &network->map.layers[at];
    const float *weights = network->weights;
    struct layer_work *layer = &work->layers[at];
    int n = batch->n_tokens, embd = network->shape.n_embd, ff = network->shape.n_ff, n_heads = embd / HEAD;

    norm(layer->attn_in, layer->attn_scale, layer->in, weights + map->attn_norm, n, embd);
    linear(layer->qkv, layer->attn_in, weights + map->qkv, n, embd, 3 * embd);
    float *probabilities = layer->probabilities;
    for (int s = 0; s < batch->n_sequences; ++s) {
        int begin = batch->begins[s], length = batch->begins[s + 1] - begin;
        float *qkv = layer->qkv + (long)begin * 3 * embd;
        for (int t = 0; t < length; ++t) { /* query and key lie side by side: 2 * n_heads heads */
            for (int part = 0; part < 2; ++part) {
                rotate(qkv + (long)t * 3 * embd + part * embd, work->rotation + t * HEAD, n_heads, 1.0f);
            }
        }
        for (int h = 0; h < n_heads; ++h) {
            attend(layer->attn + (long)begin * embd + h * HEAD, probabilities, qkv + h * HEAD, work->head_a, work->head_rows,
                   length, embd);
            probabilities += (long)length * padded(length);
        }
    }
    linear(work->d_norm, layer->attn, weights + map->attn_out, n, embd, embd);
    add_rows(layer->middle, layer->in, work->d_norm, (long)n * embd);

    norm(layer->ffn_in, layer->ffn_scale, layer->middle, weights + map->ffn_norm, n, embd);
    linear(layer->gate_up, layer->ffn_in, weights + map->gate_up, n, embd, 2 * ff);
    swiglu(layer->ffn, layer->gate_up, n, ff);
    linear(work->d_norm, layer->ffn, weights + map->down, n, ff, embd);
    add_rows(out, layer->middle, work->d_norm, (long)n * embd);
}

/* Turns work->d_stream, the gradient of the layer's output, into that of its input. */
static void layer_backward(const struct network *network, struct network_work *work, const struct network_batch *batch,
                           int at, float *gradients) {
    const struct network_layer_map *map = &network->map.layers[at];
    const float *weights = network->weights, *transposed = network->transposed;
    struct layer_work *layer = &work->layers[at];
    int n = batch->n_tokens, embd = network->shape.n_embd, ff = network->shape.n_ff, n_heads = embd / HEAD;

    linear_backward(work->d_ff, gradients + map->down, work->d_stream, layer->ffn, transposed + map->down, n, ff, embd);
    swiglu_backward(work->d_wide, work->d_ff, layer->gate_up, n, ff);
    linear_backward(work->d_norm, gradients + map->gate_up, work->d_wide, layer->ffn_in, transposed + map->gate_up, n,
                    embd, 2 * ff);
    norm_backward(work->d_stream, gradients + map->ffn_norm, work->d_norm, layer->middle, layer->ffn_scale,
                  weights + map->ffn_norm, n, embd);

    linear_backward(work->d_norm, gradients + map->attn_out, work->d_stream, layer->attn, transposed + map->attn_out, n,
                    embd, embd);
    const float *probabilities = layer->probabilities;
    for (int s = 0; s < batch->n_sequences; ++s) {
        int begin = batch->begins[s], length = batch->begins[s + 1] - begin;
        const float *qkv = layer->qkv + (long)begin * 3 * embd;
        float *d_qkv = work->d_wide + (long)begin * 3 * embd;
        for (int h = 0; h < n_heads; ++h) {
            attend_backward(d_qkv + h * HEAD, work->d_norm + (long)begin * embd + h * HEAD, probabilities, qkv + h * HEAD,
                            work->head_a, work->head_b, work->head_rows, length, embd);
            probabilities += (long)length * padded(length);
        }
        for (int t = 0; t < length; ++t) {
            for (int part = 0; part < 2; ++part) {
                rotate(d_qkv + (long)t * 3 * embd + part * embd, work->rotation + t * HEAD, n_heads, -1.0f);
            }
        }
    }
    linear_backward(work->d_norm, gradients + map->qkv, work->d_wide, layer->attn_in, transposed + map->qkv, n, embd,
                    3 * embd);
    norm_backward(work->d_stream, gradients + map->attn_norm, work->d_norm, layer->in, layer->attn_scale,
                  weights + map->attn_norm, n, embd);
}

/* Cross entropy at the rows that have a target; leaves the gradient of the logits in their place. */
static double cross_entropy(float *logits, const int *rows, int n_rows, const struct network_batch *batch,
                            int n_vocab) {
    double loss = 0;
    for (int r = 0; r < n_rows; ++r) {
        float *row = logits + (long)r * n_vocab;
        float weight = batch->loss_weights[rows[r]];
        int target = batch->targets[rows[r]];
        softmax(row, n_vocab);
        loss -= weight * log((double)row[target] + 1e-30);
        for (int i = 0; i < n_vocab; ++i) row[i] *= weight;
        row[target] -= weight;
    }
    return loss;
}

/* The output side: loss, gradient of the (tied) embedding, and work->d_stream. */
static double output_learn(const struct network *network, struct network_work *work, const struct network_batch *batch,
                           float *gradients) {
    const struct network_map *map = &network->map;
    int n = batch->n_tokens, embd = network->shape.n_embd, n_vocab = network->shape.n_vocab, n_rows = 0;
    norm(work->final, work->final_scale, work->out, network->weights + map->output_norm, n, embd);
    for (int t = 0; t < n; ++t) {
        if (batch->targets[t] < 0) continue;
        memcpy(work->picked + (long)n_rows * embd, work->final + (long)t * embd, (unsigned)embd * sizeof(float));
        work->rows[n_rows++] = t;
    }
    linear(work->logits, work->picked, network->transposed + map->embedding, n_rows, embd, n_vocab);
    double loss = cross_entropy(work->logits, work->rows, n_rows, batch, n_vocab);
    linear(work->d_picked, work->logits, network->weights + map->embedding, n_rows, n_vocab, embd);
    matrix_multiply(gradients + map->embedding, embd, work->logits, 1, n_vocab, work->picked, embd, n_vocab, embd,
                    n_rows, 1);
    memset(work->d_norm, 0, (size_t)n * (size_t)embd * sizeof(float));
    memset(work->d_stream, 0, (size_t)n * (size_t)embd * sizeof(float));
    for (int r = 0; r < n_rows; ++r) {
        memcpy(work->d_norm + (long)work->rows[r] * embd, work->d_picked + (long)r * embd,
               (unsigned)embd * sizeof(float));
    }
    norm_backward(work->d_stream, gradients + map->output_norm, work->d_norm, work->out, work->final_scale,
                  network->weights + map->output_norm, n, embd);
    return loss;
}

double network_learn(const struct network *network, struct network_work *work, const struct network_batch *batch,
                     float *gradients) {
    int n = batch->n_tokens, embd = network->shape.n_embd, n_layers = network->shape.n_layers;
    const float *embedding = network->weights + network->map.embedding;
    float *d_embedding = gradients + network->map.embedding;
    for (int t = 0; t < n; ++t) {
        memcpy(work->layers[0].in + (long)t * embd, embedding + (long)batch->tokens[t] * embd,
               (unsigned)embd * sizeof(float));
    }
    for (int i = 0; i < n_layers; ++i) {
        layer_forward(network, work, batch, i, i + 1 < n_layers ? work->layers[i + 1].in : work->out);
    }
    double loss = output_learn(network, work, batch, gradients);
    for (int i = n_layers - 1; i >= 0; --i) layer_backward(network, work, batch, i, gradients);
    for (int t = 0; t < n; ++t) {
        float *to = d_embedding + (long)batch->tokens[t] * embd;
        for (int i = 0; i < embd; ++i) to[i] += work->d_stream[(long)t * embd + i];
    }
    return loss;
}

/* AdamW on a stretch of the weights. */
static void step_range(struct network *network, const float *gradients, long begin, long end, const struct network_pace *pace,
                       float decay) {
    const float beta1 = 0.9f, beta2 = 0.98f, epsilon = 1e-8f, rate = pace->learning_rate;
    const float correct1 = 1.0f / (1.0f - powf(beta1, (float)pace->step)),
                correct2 = 1.0f / (1.0f - powf(beta2, (float)pace->step));
    float *weights = network->weights, *mean = network->mean, *variance = network->variance;
    for (long i = begin; i < end; ++i) {
        float g = gradients[i] * pace->gradient_scale;
        mean[i] = beta1 * mean[i] + (1.0f - beta1) * g;
        variance[i] = beta2 * variance[i] + (1.0f - beta2) * g * g;
        weights[i] -= rate * (mean[i] * correct1 / (sqrtf(variance[i] * correct2) + epsilon) + decay * weights[i]);
    }
}

static long least(long a, long b) { return a < b ? a : b; }
static long greatest(long a, long b) { return a > b ? a : b; }

void network_step(struct network *network, const float *gradients, long begin, long end, const struct network_pace *pace) {
    const struct network_map *map = &network->map;
    long embd = network->shape.n_embd, at = 0;
    /* The weights of norms are scales around one, so that they must not decay. */
    for (int i = 0; i <= 2 * network->shape.n_layers; ++i) {
        const struct network_layer_map *layer = &map->layers[i / 2];
        long norm = i == 2 * network->shape.n_layers ? map->output_norm : i % 2 == 0 ? layer->attn_norm : layer->ffn_norm;
        step_range(network, gradients, greatest(begin, at), least(end, norm), pace, pace->weight_decay);
        step_range(network, gradients, greatest(begin, norm), least(end, norm + embd), pace, 0);
        at = norm + embd;
    }
}
