#include "fallible.h"

#include <mlx/backend/cpu/encoder.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "recycled.h"
#include "row_access.h"

namespace mlxffi {

namespace {

// --- Cholesky: LAPACK stops at the first number on the diagonal that is not positive, and MLX does not tell ---

// NaN is none of these: the matrix had one.
template <class Value>
bool has_positive_diagonal(const Value* matrix, int64_t size) {
  for (int64_t i = 0; i < size; i++) {
    if (matrix[i * size + i] <= 0) {
      return false;
    }
  }
  return true;
}

template <class Value>
void check_diagonals(const mx::array& factors) {
  int64_t size = factors.shape(-1), count = size ? factors.size() / (size * size) : 0;
  for (int64_t i = 0; i < count; i++) {
    if (!has_positive_diagonal(factors.data<Value>() + i * size * size, size)) {
      throw std::runtime_error("[cholesky] matrix " + std::to_string(i) + " of " + std::to_string(count) + " is not positive definite");
    }
  }
}

void positive_definite(mx::Primitive& operation, const Arrays& inputs, Arrays& outputs) {
  operation.eval_cpu(inputs, outputs);
  auto check = outputs[0].dtype() == mx::float64 ? check_diagonals<double> : check_diagonals<float>;
  on_stream(operation.stream(), [check, factors = mx::array::unsafe_weak_copy(outputs[0])] { check(factors); });
}

// --- iterations: with a NaN or an infinity in a matrix LAPACK may fail, or give whatever was in memory ---

template <class Value>
bool are_finite(const void* data, int64_t bytes) {
  auto values = static_cast<const Value*>(data);
  return std::all_of(values, values + bytes / sizeof(Value), [](Value value) { return std::isfinite(value); });
}

template <class Value>
void fill_with_nan(void* data, int64_t bytes) {
  std::fill_n(static_cast<Value*>(data), bytes / sizeof(Value), static_cast<Value>(NAN));
}

// What an operation reads of a matrix besides its diagonal.
struct Read {
  bool lower = true, upper = true;
};

// Which matrices of a batch are finite in what is read.
using Finite = std::shared_ptr<std::vector<char>>;

// A copy with zeros for the matrices that are not finite. A complex number is two floats.
mx::array finite_matrices(const mx::array& a, Read read, const Finite& finite, mx::Stream s) {
  mx::array result(a.shape(), a.dtype(), nullptr, {});
  allocate(result);
  mx::cpu::get_command_encoder(s).add_temporary(result);
  RowsOf rows(a);
  int64_t height = a.shape(-2), width = a.shape(-1), item = a.itemsize();
  auto are_finite = a.dtype() == mx::float64 ? mlxffi::are_finite<double> : mlxffi::are_finite<float>;
  over_rows(s, finite->size(), height * width, [=, out = result.data<char>()](int64_t begin, int64_t end) {
    std::vector<char> scratch;
    for (int64_t i = begin; i < end; i++) {
      auto matrix = out + i * height * width * item;
      for (int64_t j = 0; j < height; j++) {
        auto row = matrix + j * width * item;
        std::memcpy(row, rows.row(i * height + j, scratch), width * item);
        int64_t first = read.lower ? 0 : j, last = read.upper ? width : j + 1;
        (*finite)[i] &= are_finite(row + first * item, (last - first) * item);
      }
      std::fill_n(matrix, (*finite)[i] ? 0 : height * width * item, 0);
    }
  });
  return result;
}

// NaN for what was made of the matrices that were not finite.
void spoil(mx::array results, const Finite& finite) {
  int64_t bytes = results.nbytes() / finite->size();
  auto fill_with_nan = results.dtype() == mx::float64 ? mlxffi::fill_with_nan<double> : mlxffi::fill_with_nan<float>;
  for (size_t i = 0; i < finite->size(); i++) {
    if (!(*finite)[i]) {
      fill_with_nan(results.data<char>() + i * bytes, bytes);
    }
  }
}

void of_finite(Read read, mx::Primitive& operation, const Arrays& inputs, Arrays& outputs) {
  auto& a = inputs[0];
  if (a.size() == 0) {
    return operation.eval_cpu(inputs, outputs);
  }
  auto s = operation.stream();
  auto finite = std::make_shared<std::vector<char>>(a.size() / (int64_t(a.shape(-2)) * a.shape(-1)), true);
  operation.eval_cpu({finite_matrices(a, read, finite, s)}, outputs);
  for (auto& output : outputs) {
    on_stream(s, [finite, results = mx::array::unsafe_weak_copy(output)] { spoil(results, finite); });
  }
}

void of_finite_matrices(mx::Primitive& operation, const Arrays& inputs, Arrays& outputs) {
  of_finite({}, operation, inputs, outputs);
}

void of_finite_triangles(mx::Primitive& operation, const Arrays& inputs, Arrays& outputs) {
  bool upper = static_cast<mx::Eigh&>(operation).state().first != "L";
  of_finite({!upper, upper}, operation, inputs, outputs);
}

// --- LU: MLX takes the bytes of the factors for their count, and what goes over all of them would leave their memory ---

void with_size_of_factors(mx::Primitive& operation, const Arrays& inputs, Arrays& outputs) {
  operation.eval_cpu(inputs, outputs);
  auto& factors = outputs[0];
  factors.copy_shared_buffer(factors, mx::Strides(factors.strides()), factors.flags(), factors.size());
}

const Fallible all[] = {
    {"Cholesky", positive_definite},
    {"SVD", of_finite_matrices},
    {"QRF", of_finite_matrices},
    {"Eigh", of_finite_triangles},
    {"Eig", of_finite_matrices},
    {"Inverse", nullptr},
    {"LUF", with_size_of_factors},
    {"Checked", nullptr},
};

} // namespace

const Fallible* fallible(const mx::Primitive& operation) {
  std::string_view name = operation.name();
  // Every node that is evaluated comes by here: mostly a letter says enough.
  auto is_this = [name](auto& each) { return each.operation[0] == name[0] && each.operation == name; };
  auto found = std::find_if(std::begin(all), std::end(all), is_this);
  return found == std::end(all) ? nullptr : found;
}

} // namespace mlxffi
