/* matrix.h - matrix multiplication, the only part of the training that has to be fast. */
#ifndef TUTOR_MATRIX_H
#define TUTOR_MATRIX_H

/* The number of columns of every result must be a multiple of this. */
enum { MATRIX_COLUMNS = 32 };

/* GCC and Clang turn operations on this type into the vector instructions of the target, whatever their width. */
enum { MATRIX_LANES = 16 };
typedef float matrix_lanes __attribute__((vector_size(MATRIX_LANES * sizeof(float)), aligned(4), may_alias));

/* c[m][n] = a[m][k] * b[k][n], or c += a * b if accumulate is not 0.
 *
 * b and c are stored by rows, ldb and ldc floats apart. Element (i, j) of a is a[i * a_row + j * a_column], so that a
 * may be transposed. n is a multiple of MATRIX_COLUMNS; m and k are arbitrary. Sums are made in a fixed order, so equal
 * inputs give equal results. Thread-safe as long as the results do not overlap. */
void matrix_multiply(float *c, int ldc, const float *a, int a_row, int a_column, const float *b, int ldb, int m, int n,
                     int k, int accumulate);

/* to[columns][rows] = transpose of from[rows][columns]. */
void matrix_transpose(float *to, const float *from, int rows, int columns);

#endif
