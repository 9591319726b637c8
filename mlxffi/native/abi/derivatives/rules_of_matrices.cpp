// Factorisations of matrices. Each has its tangents, which are linear in those of the matrix: its gradients follow.
//
// Sources: Giles 2008, "Collected matrix derivative results for forward and reverse mode algorithmic differentiation";
// Walter 2010 for QR.
#include "derivatives/rules.h"
#include "derivatives/transforms.h"

namespace mlxc {

namespace {

mx::array turned(const mx::array& a, mx::Stream s) {
  return mx::swapaxes(conjugated(a, s), -1, -2, s);
}

mx::array row(const mx::array& a, mx::Stream s) {
  return mx::expand_dims(a, -2, s);
}

mx::array column(const mx::array& a, mx::Stream s) {
  return mx::expand_dims(a, -1, s);
}

template <Forward* forward>
Arrays transposed(const Node& node, const Arrays& cotangents, const std::vector<int>& argnums) {
  auto tangents = [&](const Arrays& directions) { return forward(node, directions, argnums); };
  return mlxc::vjp(tangents, {mx::zeros_like(node.inputs[0], node.stream())}, cotangents).second;
}

// The symmetric or Hermitian matrix of which an operation reads one triangle.
mx::array from_triangle(const mx::array& a, bool upper, mx::Stream s) {
  auto half = upper ? mx::triu(a, 1, s) : mx::tril(a, -1, s);
  auto diagonal = mx::multiply(a, mx::eye(a.shape(-1), a.dtype(), s), s);
  return mx::add(mx::add(half, turned(half, s), s), diagonal, s);
}

Arrays forward_inverse(const Node& node, const Arrays& tangents, const std::vector<int>&) {
  auto s = node.stream();
  auto [triangular, upper] = node.state<mx::Inverse>();
  auto tangent = !triangular ? tangents[0] : upper ? mx::triu(tangents[0], 0, s) : mx::tril(tangents[0], 0, s);
  return {mx::negative(mx::matmul(mx::matmul(node.output, tangent, s), node.output, s), s)};
}

// MLX's inverts triangular matrices by all their numbers.
Mapped map_inverse(const Node& node, const Arrays& inputs, const std::vector<int>& axes) {
  auto s = node.stream();
  auto matrices = batched(inputs, axes, s)[0];
  auto [triangular, upper] = node.state<mx::Inverse>();
  return {{triangular ? mx::linalg::tri_inv(matrices, upper, s) : mx::linalg::inv(matrices, s)}, {0}};
}

// The lower triangle, with half of the diagonal.
mx::array lower_half(const mx::array& a, mx::Stream s) {
  auto diagonal = mx::multiply(a, mx::eye(a.shape(-1), a.dtype(), s), s);
  return mx::subtract(mx::tril(a, 0, s), mx::multiply(diagonal, mx::array(0.5, a.dtype()), s), s);
}

Arrays forward_cholesky(const Node& node, const Arrays& tangents, const std::vector<int>&) {
  auto s = node.stream();
  bool upper = node.state<mx::Cholesky>();
  auto factor = upper ? turned(node.output, s) : node.output;
  auto inverse = mx::linalg::tri_inv(factor, false, s);
  auto inside = mx::matmul(mx::matmul(inverse, from_triangle(tangents[0], upper, s), s), turned(inverse, s), s);
  auto tangent = mx::matmul(factor, lower_half(inside, s), s);
  return {upper ? turned(tangent, s) : tangent};
}

Arrays forward_qr(const Node& node, const Arrays& tangents, const std::vector<int>&) {
  auto s = node.stream();
  auto outputs = node.output.outputs();
  auto &q = outputs[0], &r = outputs[1];
  if (r.shape(-1) != r.shape(-2)) {
    throw std::runtime_error("[linalg.qr] a matrix with more columns than rows has no derivative here: use the first columns");
  }
  auto scaled = mx::matmul(tangents[0], mx::linalg::tri_inv(r, true, s), s);
  auto inside = mx::matmul(turned(q, s), scaled, s);
  auto lower = mx::tril(inside, -1, s);
  auto rotation = mx::subtract(lower, turned(lower, s), s);
  auto dq = mx::add(mx::matmul(q, mx::subtract(rotation, inside, s), s), scaled, s);
  return {dq, mx::matmul(mx::subtract(inside, rotation, s), r, s)};
}

Mapped map_qr(const Node& node, const Arrays& inputs, const std::vector<int>& axes) {
  auto [q, r] = mx::linalg::qr(batched(inputs, axes, node.stream())[0], node.stream());
  return {{q, r}, {0, 0}};
}

// 1 / (v_j - v_i), and 0 on the diagonal.
mx::array inverse_gaps(const mx::array& values, mx::Stream s) {
  auto gaps = mx::subtract(row(values, s), column(values, s), s);
  auto one = mx::eye(values.shape(-1), values.dtype(), s);
  return mx::divide(mx::subtract(mx::array(1, values.dtype()), one, s), mx::add(gaps, one, s), s);
}

mx::array diagonal_of(const mx::array& a, mx::Stream s) {
  auto diagonal = mx::diagonal(a, 0, -2, -1, s);
  return is_complex(a) ? mx::real(diagonal, s) : diagonal;
}

Arrays forward_eigh(const Node& node, const Arrays& tangents, const std::vector<int>&) {
  auto s = node.stream();
  auto [uplo, with_vectors] = node.state<mx::Eigh>();
  auto outputs = node.output.outputs();
  auto [values, vectors] = with_vectors ? std::pair(outputs[0], outputs[1]) : mx::linalg::eigh(node.inputs[0], uplo, s);
  auto tangent = from_triangle(tangents[0], uplo != "L", s);
  auto inside = mx::matmul(mx::matmul(turned(vectors, s), tangent, s), vectors, s);
  Arrays results{diagonal_of(inside, s)};
  if (with_vectors) {
    results.push_back(mx::matmul(vectors, mx::multiply(inverse_gaps(values, s), inside, s), s));
  }
  return results;
}

Arrays forward_singular_values(const Node& node, const Arrays& tangents) {
  auto s = node.stream();
  auto parts = mx::linalg::svd(node.inputs[0], true, s);
  int size = parts[1].shape(-1);
  auto inside = mx::matmul(mx::matmul(turned(parts[0], s), tangents[0], s), turned(parts[2], s), s);
  mx::Shape start(inside.ndim(), 0), stop = inside.shape();
  stop.end()[-1] = stop.end()[-2] = size;
  return {diagonal_of(mx::slice(inside, start, stop, s), s)};
}

Arrays forward_svd(const Node& node, const Arrays& tangents, const std::vector<int>&) {
  auto s = node.stream();
  auto outputs = node.output.outputs();
  if (outputs.size() == 1) {
    return forward_singular_values(node, tangents);
  }
  auto &u = outputs[0], &values = outputs[1], &vt = outputs[2];
  if (u.shape(-1) != vt.shape(-1) || is_complex(u)) {
    throw std::runtime_error("[linalg.svd] the singular vectors of matrices that are complex or not square have no derivative here: use compute_uv=False for that of the values");
  }
  auto inside = mx::matmul(mx::matmul(turned(u, s), tangents[0], s), turned(vt, s), s);
  auto gaps = inverse_gaps(mx::square(values, s), s);
  auto symmetric = [&](const mx::array& a) { return mx::multiply(gaps, mx::add(a, turned(a, s), s), s); };
  auto du = mx::matmul(u, symmetric(mx::multiply(inside, row(values, s), s)), s);
  auto dv = mx::matmul(turned(vt, s), symmetric(mx::multiply(column(values, s), inside, s)), s);
  return {du, diagonal_of(inside, s), turned(dv, s)};
}

} // namespace

RuleList rules_of_matrices() {
  return {
      {"Inverse", transposed<forward_inverse>, forward_inverse, map_inverse},
      {"Cholesky", transposed<forward_cholesky>, forward_cholesky},
      {"QRF", transposed<forward_qr>, forward_qr, map_qr},
      {"Eigh", transposed<forward_eigh>, forward_eigh},
      {"SVD", transposed<forward_svd>, forward_svd},
      {"LUF", nullptr, nullptr, mapped_one_by_one},
  };
}

} // namespace mlxc
