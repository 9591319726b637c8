// The copying of numbers from places of some strides to places of others.
#pragma once

#include <mlx/array.h>

#include <cstdint>
#include <vector>

namespace mlxffi {

namespace mx = mlx::core;

// Bytes from a row to the next, and from a number to the next.
struct RowSteps {
  int64_t row, number;
};

// Copies rows of `count` numbers of `item` bytes.
void copy_rows(const char* from, RowSteps from_steps, char* to, RowSteps to_steps, int64_t rows, int64_t count, int64_t item);

class StridedCopy {
 public:
  // Of numbers of `item` bytes; strides are in numbers.
  StridedCopy(const mx::Shape& shape, const mx::Strides& from_strides, const char* from, const mx::Strides& to_strides, char* to, int64_t item);

  // On all cores.
  void run() const;

 private:
  // What goes along an axis; steps are in bytes.
  struct Axis {
    int64_t size, from, to;
  };
  struct Offsets {
    int64_t from, to;
  };

  int64_t rows() const;
  Offsets offsets(int64_t row) const;
  template <class T>
  void copy_rows() const;
  template <class T>
  void copy_long_rows() const;
  template <class T>
  void copy_turned(Axis across) const;

  // Those before the last two come first.
  std::vector<Axis> axes_;
  const char* from_;
  char* to_;
  int64_t item_;
};

} // namespace mlxffi
