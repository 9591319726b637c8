// Derivatives and maps of functions, by walks over their graphs that ask rules.h for each operation.
//
// What they promise beyond MLX's: each result is right or an error; an array that a function returns twice gets both
// cotangents; nothing flows back through integers.
#pragma once

#include "convert.h"

namespace mlxc {

std::pair<Arrays, Arrays> vjp(const Function& fun, const Arrays& primals, const Arrays& cotangents);
std::pair<Arrays, Arrays> jvp(const Function& fun, const Arrays& primals, const Arrays& tangents);
mx::ValueAndGradFn value_and_grad(Function fun, std::vector<int> argnums);

// The same function, with the rules that are given; a map of it maps the rules.
Function with_rules(Function fun, std::optional<CustomVjp> reverse, std::optional<CustomJvp> forward, std::optional<CustomVmap> map);

// The same function, which is run again for its gradient, with the random numbers that it drew.
Function checkpoint(Function fun);

// The function, for inputs that are mapped over those axes (-1: whole); the mapped axis of each output is the first.
Function mapped(Function fun, std::vector<int> in_axes);

std::pair<Arrays, Arrays> traced_slices(const Function& fun, const Arrays& inputs, const std::vector<int>& in_axes);
Arrays replaced_slices(const Arrays& inputs, const Arrays& slices, const Arrays& outputs, const std::vector<int>& in_axes, const std::vector<int>& out_axes);

// Whether this thread is inside a function that is being differentiated or mapped.
bool is_transforming();

} // namespace mlxc
