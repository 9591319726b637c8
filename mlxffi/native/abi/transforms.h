// Transforms with the checks that MLX leaves out: what a function returns is counted before MLX indexes it.
#pragma once

#include "convert.h"

namespace mlxc {

// What one level of a graph takes on the stack while MLX walks through it by recursion (bytes; a third on top of what
// was measured on x86-64). A compiled function's graph takes the most.
constexpr size_t vjp_frame = 112;
constexpr size_t jvp_frame = 176;
constexpr size_t compile_frame = 264;

// A function for lambdas to capture: MLX copies the functions that it is given more than once, and each copy would copy
// everything below it.
template <class Fun>
std::shared_ptr<const Fun> shared(Fun fun) {
  return std::make_shared<const Fun>(std::move(fun));
}

// The function, whose graph must not be so deep that a walk with frames of that size overflows the thread's stack.
Function shallow(Function fun, size_t frame);

// The function, which must take and return at least one array.
Function non_empty(Function fun);

// The function, traced once on each thread for each kind of inputs; its traces go with it, on whichever thread it dies.
Function compiled(Function fun, bool shapeless);

// The function as it is traced for inputs of any shape: then lookups must not keep the sizes that they see.
Function traced_for(bool shapeless, Function fun);

// Slices at indices along an axis, which inside such a trace follow the sizes of the array.
mx::array take(const mx::array& a, const mx::array& indices, int axis, mx::StreamOrDevice s);

// The function itself inside transforms, else what it was compiled to: a trace takes arrays that the function captures for
// constants, which inside a transform they may not be.
Function inlined(Function fun, Function compiled);

Function vmap(const Function& fun, std::vector<int> in_axes, std::vector<int> out_axes);
std::pair<Arrays, Arrays> vmap_trace(const Function& fun, const Arrays& inputs, std::vector<int> in_axes);
Arrays vmap_replace(const Arrays& inputs, const Arrays& s_inputs, const Arrays& s_outputs, std::vector<int> in_axes, std::vector<int> out_axes);

} // namespace mlxc
