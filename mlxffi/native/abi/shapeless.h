// Traces that are made for inputs of any shape.
#pragma once

#include "transforms.h"

namespace mlxc {

// While it lives, this thread makes a trace for any shape, in which lookups must not keep the sizes that they see.
class ShapelessTrace {
 public:
  explicit ShapelessTrace(bool shapeless);
  ~ShapelessTrace();
  ShapelessTrace(const ShapelessTrace&) = delete;
  ShapelessTrace& operator=(const ShapelessTrace&) = delete;

 private:
  const bool outer_;
};

// Slices at indices along an axis, which inside such a trace follow the sizes of the array.
mx::array take(const mx::array& a, const mx::array& indices, int axis, mx::StreamOrDevice s);

} // namespace mlxc
