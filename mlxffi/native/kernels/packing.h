// How numbers are packed, and matrices of such numbers as a kernel reads them.
#pragma once

#include <optional>
#include <string>

#include <mlx/mlx.h>
#include <mlx/primitives.h>

#include "ranges.h"
#include "row_access.h"

namespace mlxffi {

// As mlx::core::quantize packs: each group of numbers beside each other has a scale and, in affine mode, a bias.
struct Packing {
  int group_size, bits;
  mx::QuantizationMode mode;

  bool operator==(const Packing&) const = default;
  // What the name of a mode says, with MLX's defaults; nothing for a name that is none.
  static std::optional<Packing> find(const std::string& mode, std::optional<int> group_size, std::optional<int> bits);
  // The same, but throws for such a name.
  static Packing of(const std::string& mode, std::optional<int> group_size, std::optional<int> bits);
  bool affine() const {
    return mode == mx::QuantizationMode::Affine;
  }
  // The mode's name in MLX.
  std::string name() const;
  Codes codes() const;
  // Of the inputs of an operation that begin with others, packed numbers and scales: the biases after them.
  std::optional<mx::array> biases(const std::vector<mx::array>& inputs, size_t place = 3) const {
    return affine() ? std::optional(inputs[place]) : std::nullopt;
  }
};

// Packed matrices (..., rows, columns), of any strides.
class PackedMatrices {
 public:
  // Packed numbers, scales and, in affine mode, biases.
  PackedMatrices(const mx::array& numbers, const mx::array& scales, const std::optional<mx::array>& biases, Packing packing);

  int64_t rows() const {
    return rows_;
  }
  int64_t columns() const {
    return groups_ * packing_.group_size;
  }
  int64_t count() const {
    return numbers_.count() / rows_;
  }
  const Packing& packing() const {
    return packing_;
  }
  // Some rows of one matrix, of these some columns (whole groups), side by side in float32.
  void unpack(int64_t matrix, Range rows, Range columns, float* out) const;
  // The dot products of rows x (float32, or bfloat16 in truth) with some rows of one matrix, which is unpacked into registers
  // alone: for a few x.
  void dots(int64_t matrix, Range rows, RowBlock x, bool of_bfloat16, float* out, int64_t out_stride) const;

 private:
  // Groups that lie side by side from one of a row on, with their scales and biases in this thread's scratch.
  PackedGroups groups_at(int64_t row, int64_t first_group, int64_t count) const;
  // Whether the numbers are multiplied as they are by rows of bfloat16.
  bool by_pairs() const;
  void dots_of_pairs(int64_t row, int64_t count, RowBlock x, float* out, int64_t out_stride) const;
  // Whether rows are multiplied by the words that hold codes: the kernels, NULL where they are not.
  const WordKernels* words() const;
  void dots_of_words(const WordKernels& kernels, int64_t row, int64_t count, RowBlock x, float* out, int64_t out_stride) const;
  // Asks for the scales and biases of rows that come next.
  void fetch_groups(int64_t row, int64_t count) const;
  void dots_of_floats(int64_t row, int64_t count, RowBlock x, float* out, int64_t out_stride) const;

  Packing packing_;
  RowsOf numbers_, scales_;
  std::optional<RowsOf> biases_;
  mx::Dtype dtype_;
  int64_t rows_, groups_;
  bool dense_;
};

} // namespace mlxffi
