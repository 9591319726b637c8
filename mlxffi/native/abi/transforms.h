// Transforms with the checks that MLX leaves out: what a function returns is counted before MLX indexes it.
#pragma once

#include "convert.h"

namespace mlxc {

// A function for lambdas to capture: MLX copies the functions that it is given more than once, and each copy would copy
// everything below it.
template <class Fun>
std::shared_ptr<const Fun> shared(Fun fun) {
  return std::make_shared<const Fun>(std::move(fun));
}

// The function, which must take and return at least one array.
Function non_empty(Function fun);

// The function, traced once on each thread for each kind of inputs; its traces go with it, on whichever thread it dies.
Function compiled(Function fun, bool shapeless);

// The same with traces under a number of the caller's, which stay until they are erased.
Function compiled(Function fun, std::uintptr_t id, bool shapeless, std::vector<uint64_t> constants);
void erase_traces(std::uintptr_t id);
void clear_traces();

Function vmap(const Function& fun, std::vector<int> in_axes, std::vector<int> out_axes);
std::pair<Arrays, Arrays> vmap_trace(const Function& fun, const Arrays& inputs, std::vector<int> in_axes);
Arrays vmap_replace(const Arrays& inputs, const Arrays& s_inputs, const Arrays& s_outputs, std::vector<int> in_axes, std::vector<int> out_axes);

} // namespace mlxc
