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

// Whether rows that multiply affine codes may be rounded to whole numbers of 8 bits: MLXFFI_INT8_ACTIVATIONS=1 asks for it.
// Throws std::invalid_argument where that is anything but 0 or 1.
bool rounds_rows();

// What float32 rows that multiply packed matrices are in truth, and what may become of them.
struct RowKind {
  bool of_bfloat16, rounded;
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
  // Whether such rows are rounded, and multiplied faster than numbers that are unpacked first.
  bool rounds(RowKind kind) const;
  // The dot products of rows x (of float32) with some rows of one matrix, which is unpacked into registers alone: for a few x.
  void dots(int64_t matrix, Range rows, RowBlock x, RowKind kind, float* out, int64_t out_stride) const;

 private:
  // Groups that lie side by side from one of a row on, with their scales and biases in this thread's scratch.
  PackedGroups groups_at(int64_t row, int64_t first_group, int64_t count) const;
  // Whether the numbers are multiplied as they are by rows of bfloat16.
  bool by_pairs() const;
  void dots_of_pairs(int64_t row, int64_t count, RowBlock x, float* out, int64_t out_stride) const;
  // The kernels of one kind, NULL where they do not take this matrix.
  const SplitKernels* fitting(const ByWidth& kernels) const;
  // Returns whether all rows could be split, else nothing was multiplied.
  bool dots_of_split(const SplitKernels& kernels, int64_t row, int64_t count, RowBlock x, float* out, int64_t out_stride) const;
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
