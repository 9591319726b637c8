// Transforms with the checks that MLX leaves out: what a function returns is counted before MLX indexes it.
#pragma once

#include "convert.h"

namespace mlxc {

// The function, which must take and return at least one array.
Function non_empty(Function fun);

Function vmap(const Function& fun, std::vector<int> in_axes, std::vector<int> out_axes);
std::pair<Arrays, Arrays> vmap_trace(const Function& fun, const Arrays& inputs, std::vector<int> in_axes);
Arrays vmap_replace(const Arrays& inputs, const Arrays& s_inputs, const Arrays& s_outputs, std::vector<int> in_axes, std::vector<int> out_axes);

} // namespace mlxc
