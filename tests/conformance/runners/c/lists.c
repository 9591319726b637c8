#include "lists.h"

#include <math.h>

int append_at(mlx_vector_array to, const mlx_vector_array from, size_t place) {
  mlx_array one = mlx_array_new();
  int status = mlx_vector_array_get(&one, from, place) || mlx_vector_array_append_value(to, one);
  mlx_array_free(one);
  return status;
}

int append_all(mlx_vector_array to, const mlx_vector_array from) {
  int status = 0;
  for (size_t i = 0; i < mlx_vector_array_size(from) && status == 0; i++) {
    status = append_at(to, from, i);
  }
  return status;
}

int append_places(mlx_vector_array to, const mlx_vector_array from, const json *places) {
  int status = 0;
  for (const json *place = places->first; place != NULL && status == 0; place = place->next) {
    status = append_at(to, from, (size_t)place->number);
  }
  return status;
}

mlx_vector_array list_of(mlx_array one) {
  mlx_vector_array list = mlx_vector_array_new_value(one);
  mlx_array_free(one);
  return list;
}

mlx_vector_array pair_of(mlx_array one, mlx_array other) {
  mlx_vector_array pair = list_of(one);
  mlx_vector_array_append_value(pair, other);
  mlx_array_free(other);
  return pair;
}

mlx_array floats_of(const float *numbers, const int *shape, int dims) {
  return mlx_array_new_data(numbers, shape, dims, MLX_FLOAT32);
}

double number_at(const mlx_vector_array from, size_t place) {
  double number = NAN;
  mlx_array one = mlx_array_new();
  if (mlx_vector_array_get(&one, from, place) != 0 || mlx_array_item_float64(&number, one) != 0) {
    number = NAN;
  }
  mlx_array_free(one);
  return number;
}
