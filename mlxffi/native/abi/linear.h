// Linear algebra with the derivatives that MLX lacks, and errors where MLX gives what was in memory.
#pragma once

#include "convert.h"

namespace mlxc::linear {

mx::array inv(const mx::array& a, mx::StreamOrDevice s);
mx::array tri_inv(const mx::array& a, bool upper, mx::StreamOrDevice s);
mx::array solve(const mx::array& a, const mx::array& b, mx::StreamOrDevice s);
mx::array solve_triangular(const mx::array& a, const mx::array& b, bool upper, mx::StreamOrDevice s);
mx::array cholesky(const mx::array& a, bool upper, mx::StreamOrDevice s);
mx::array pinv(const mx::array& a, mx::StreamOrDevice s);
mx::array det(const mx::array& a, mx::StreamOrDevice s);
std::pair<mx::array, mx::array> slogdet(const mx::array& a, mx::StreamOrDevice s);

// NaN where a matrix has one; LAPACK's routine may give whatever was in memory.
Arrays svd(const mx::array& a, bool compute_uv, mx::StreamOrDevice s);

// The vectors of complex matrices as they are, where MLX conjugates them.
std::pair<mx::array, mx::array> eig(const mx::array& a, mx::StreamOrDevice s);

} // namespace mlxc::linear
