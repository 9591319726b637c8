/* Vectors of arrays. A vector has references of its own: what is put in and what is got out are freed by who put or got. */
#ifndef LISTS_H
#define LISTS_H

#include "json.h"
#include "mlx/c/mlx.h"

/* Add to a vector what another one has at a place, at all places, or at those of a list. */
int append_at(mlx_vector_array to, const mlx_vector_array from, size_t place);
int append_all(mlx_vector_array to, const mlx_vector_array from);
int append_places(mlx_vector_array to, const mlx_vector_array from, const json *places);

/* A new vector of one or two arrays, which it takes over. */
mlx_vector_array list_of(mlx_array one);
mlx_vector_array pair_of(mlx_array one, mlx_array other);

/* A new array of floats, which are copied: the caller's buffer may change at once. */
mlx_array floats_of(const float *numbers, const int *shape, int dims);

/* The number in a vector at a place, evaluated; NaN after an error. */
double number_at(const mlx_vector_array from, size_t place);

#endif
