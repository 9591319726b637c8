#include "gather_qqmm.h"

#include "derivatives/rules.h"
#include "packed_matmul.h"

namespace mlxc {

namespace {

// One for each packed matrix.
std::optional<mx::array> one_each(const std::optional<mx::array>& scale, const mx::array& w, mx::StreamOrDevice s) {
  mx::Shape batch(w.shape().begin(), w.shape().end() - 2);
  return scale && scale->size() == 1 ? mx::broadcast_to(mx::reshape(*scale, {}, s), batch, s) : scale;
}

} // namespace

mx::array gather_qqmm(
    const mx::array& x, const mx::array& w, const std::optional<mx::array>& w_scales, const std::optional<mx::array>& lhs_indices,
    const std::optional<mx::array>& rhs_indices, std::optional<int> group_size, std::optional<int> bits, const std::string& mode,
    const std::optional<mx::array>& global_scale_x, const std::optional<mx::array>& global_scale_w, bool sorted_indices, mx::StreamOrDevice s) {
  auto stream = mx::to_stream(s);
  auto own = mx::gather_qqmm(
      x, w, w_scales, lhs_indices, rhs_indices, group_size, bits, mode, global_scale_x, global_scale_w, sorted_indices, stream);
  auto packing = mlxffi::Packing::of(mode, group_size, bits);
  if (!mlxffi::has_kernels(stream) || packing.affine() || own.size() == 0 || x.size() == 0) {
    return own;
  }
  auto left = mlxffi::rounded(x, packing, global_scale_x, stream);
  auto right = w_scales ? Arrays{w, *w_scales} : mx::quantize(w, group_size, bits, mode, global_scale_w, stream);
  auto products = mlxffi::gather_qmm(
      left, right[0], right[1], {}, lhs_indices, rhs_indices, true, packing.group_size, packing.bits, mode, one_each(global_scale_w, w, stream),
      sorted_indices, stream);
  // Codes are integers, behind which no derivative looks for x and w.
  auto result = mx::depends({mx::astype(products, x.dtype(), stream)}, {x, w})[0];
  return without_derivative(result, "[gather_qqmm] has no derivative, as in MLX", stream);
}

} // namespace mlxc
