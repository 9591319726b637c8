// Linear algebra with the derivatives that MLX lacks.
#pragma once

#include "convert.h"

namespace mlxc::linear {

mx::array solve(const mx::array& a, const mx::array& b, mx::StreamOrDevice s);
mx::array pinv(const mx::array& a, mx::StreamOrDevice s);
mx::array det(const mx::array& a, mx::StreamOrDevice s);
std::pair<mx::array, mx::array> slogdet(const mx::array& a, mx::StreamOrDevice s);

// Of components that each lie side by side: in vectors.
mx::array cross(const mx::array& a, const mx::array& b, int axis, mx::StreamOrDevice s);

// The vectors of complex matrices as they are, where MLX conjugates them.
std::pair<mx::array, mx::array> eig(const mx::array& a, mx::StreamOrDevice s);

} // namespace mlxc::linear
