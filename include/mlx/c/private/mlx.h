/**
 * The C++ object behind a handle, for helpers in C++ that are built against the same libmlx.
 *
 * `mlx_array_get_(handle)` is the object, and an error where the handle is empty; `mlx_array_new_(object)` is a new handle
 * of it, which the caller frees; `mlx_array_set_(handle, object)` puts it under the handle that is there, or under a new
 * one; `mlx_array_free_(handle)` frees it. So for each type below. C programs cannot include this header.
 */
#ifndef MLX_C_PRIVATE_MLX_H
#define MLX_C_PRIVATE_MLX_H

#include <functional>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "mlx/c/mlx.h"
#include "mlx/mlx.h"

#define MLX_C_PRIVATE_(handle, make, ...)                                    \
  inline __VA_ARGS__ &handle##_get_(handle value) {                          \
    if (!value.ctx) {                                                        \
      throw std::invalid_argument("expected an " #handle ", got an empty handle"); \
    }                                                                        \
    return *static_cast<__VA_ARGS__ *>(value.ctx);                           \
  }                                                                          \
  inline handle &handle##_set_(handle &value, __VA_ARGS__ object) {          \
    if (!value.ctx) {                                                        \
      value = make;                                                          \
    }                                                                        \
    handle##_get_(value) = std::move(object);                                \
    return value;                                                            \
  }                                                                          \
  inline handle handle##_new_(__VA_ARGS__ object) {                          \
    handle value{nullptr};                                                   \
    return handle##_set_(value, std::move(object));                          \
  }                                                                          \
  inline void handle##_free_(handle value) {                                 \
    handle##_free(value);                                                    \
  }

/* A function to make a closure of before its own is put there. */
inline int mlx_c_private_nothing_(mlx_vector_array *, const mlx_vector_array) {
  return 1;
}

MLX_C_PRIVATE_(mlx_array, mlx_array_new_int(0), mlx::core::array)
MLX_C_PRIVATE_(mlx_string, mlx_string_new_data(""), std::string)
MLX_C_PRIVATE_(mlx_vector_array, mlx_vector_array_new(), std::vector<mlx::core::array>)
MLX_C_PRIVATE_(mlx_vector_vector_array, mlx_vector_vector_array_new(), std::vector<std::vector<mlx::core::array>>)
MLX_C_PRIVATE_(mlx_vector_int, mlx_vector_int_new(), std::vector<int>)
MLX_C_PRIVATE_(mlx_vector_string, mlx_vector_string_new(), std::vector<std::string>)
MLX_C_PRIVATE_(mlx_map_string_to_array, mlx_map_string_to_array_new(), std::unordered_map<std::string, mlx::core::array>)
MLX_C_PRIVATE_(mlx_map_string_to_string, mlx_map_string_to_string_new(), std::unordered_map<std::string, std::string>)
MLX_C_PRIVATE_(mlx_device, mlx_device_new_type(MLX_CPU, 0), mlx::core::Device)
MLX_C_PRIVATE_(mlx_stream, mlx_default_cpu_stream_new(), mlx::core::Stream)
MLX_C_PRIVATE_(
    mlx_closure, mlx_closure_new_func(mlx_c_private_nothing_),
    std::function<std::vector<mlx::core::array>(const std::vector<mlx::core::array> &)>)

#undef MLX_C_PRIVATE_

#endif /* MLX_C_PRIVATE_MLX_H */
