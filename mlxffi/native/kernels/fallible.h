// MLX's operations that may fail in the course of their work, as factorisations of matrices do; and the failures and NaNs
// that these lack. They are told apart as they are evaluated: so it does not matter by what transform they were made.
#pragma once

#include <string_view>

#include "fused.h"

namespace mlxffi {

struct Fallible {
  std::string_view operation;
  // Computes the operation's outputs, in place of its own eval_cpu; NULL where that is right.
  void (*evaluate)(mx::Primitive& operation, const Arrays& inputs, Arrays& outputs);
};

// NULL of an operation that cannot fail once it has started.
const Fallible* fallible(const mx::Primitive& operation);

} // namespace mlxffi
