/* matrix.c - matrix multiplication; see matrix.h.
 *
 * The usual scheme of Goto and van de Geijn (Anatomy of High-Performance Matrix Multiplication, 2008), kept small: a
 * panel of b is packed so that it stays in the first-level cache, and a tile of 8 x 32 sums stays in registers. */
#include "matrix.h"

#include <string.h>

enum { TILE_ROWS = 8, LANES = MATRIX_LANES, BLOCK_K = 256 };

/* One tile of TILE_ROWS rows: c += a * panel, with k steps. */
static void multiply_tile(float *c, int ldc, const float *a, int a_row, int a_column, const float *panel, int k) {
    matrix_lanes sums[TILE_ROWS][2];
    for (int i = 0; i < TILE_ROWS; ++i) {
        sums[i][0] = *(const matrix_lanes *)(c + i * ldc);
        sums[i][1] = *(const matrix_lanes *)(c + i * ldc + LANES);
    }
    for (int p = 0; p < k; ++p) {
        matrix_lanes b0 = *(const matrix_lanes *)(panel + p * MATRIX_COLUMNS);
        matrix_lanes b1 = *(const matrix_lanes *)(panel + p * MATRIX_COLUMNS + LANES);
        for (int i = 0; i < TILE_ROWS; ++i) {
            float value = a[i * a_row + p * a_column];
            sums[i][0] += value * b0;
            sums[i][1] += value * b1;
        }
    }
    for (int i = 0; i < TILE_ROWS; ++i) {
        *(matrix_lanes *)(c + i * ldc) = sums[i][0];
        *(matrix_lanes *)(c + i * ldc + LANES) = sums[i][1];
    }
}

/* The same for a single row, for what is left when m is not a multiple of TILE_ROWS. */
static void multiply_row(float *c, const float *a, int a_column, const float *panel, int k) {
    matrix_lanes sum0 = *(const matrix_lanes *)c;
    matrix_lanes sum1 = *(const matrix_lanes *)(c + LANES);
    for (int p = 0; p < k; ++p) {
        sum0 += a[p * a_column] * *(const matrix_lanes *)(panel + p * MATRIX_COLUMNS);
        sum1 += a[p * a_column] * *(const matrix_lanes *)(panel + p * MATRIX_COLUMNS + LANES);
    }
    *(matrix_lanes *)c = sum0;
    *(matrix_lanes *)(c + LANES) = sum1;
}

void matrix_multiply(float *c, int ldc, const float *a, int a_row, int a_column, const float *b, int ldb, int m, int n,
                     int k, int accumulate) {
    float panel[BLOCK_K * MATRIX_COLUMNS] __attribute__((aligned(64)));
    if (!accumulate) {
        for (int i = 0; i < m; ++i) memset(c + (long)i * ldc, 0, (unsigned)n * sizeof *c);
    }
    for (int k0 = 0; k0 < k; k0 += BLOCK_K) {
        int block = k - k0 < BLOCK_K ? k - k0 : BLOCK_K;
        for (int n0 = 0; n0 < n; n0 += MATRIX_COLUMNS) {
            for (int p = 0; p < block; ++p) {
                memcpy(panel + p * MATRIX_COLUMNS, b + (long)(k0 + p) * ldb + n0, MATRIX_COLUMNS * sizeof *b);
            }
            const float *a_block = a + (long)k0 * a_column;
            int i = 0;
            for (; i + TILE_ROWS <= m; i += TILE_ROWS) {
                multiply_tile(c + (long)i * ldc + n0, ldc, a_block + (long)i * a_row, a_row, a_column, panel, block);
            }
            for (; i < m; ++i) {
                multiply_row(c + (long)i * ldc + n0, a_block + (long)i * a_row, a_column, panel, block);
            }
        }
    }
}

void matrix_transpose(float *to, const float *from, int rows, int columns) {
    for (int i = 0; i < rows; ++i) {
        for (int j = 0; j < columns; ++j) to[(long)j * rows + i] = from[(long)i * columns + j];
    }
}
