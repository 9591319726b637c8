#include "linear.h"

#include <algorithm>
#include <numeric>

#include "composing.h"
#include "derivatives/rules.h"
#include "derivatives/transforms.h"
#include "fused.h"
#include "numbers.h"

namespace mlxc::linear {

namespace {

mx::array turned(const mx::array& a, mx::StreamOrDevice s) {
  return mx::swapaxes(a, -1, -2, s);
}

// A function whose tangents are linear in those of its inputs: so its gradients follow from them. Where nothing is traced
// nobody asks for either.
Arrays with_tangents(const Function& fun, const CustomJvp& forward, const CustomVmap& map, const Arrays& inputs) {
  bool traced = std::any_of(inputs.begin(), inputs.end(), [](auto& input) { return input.is_tracer(); });
  if (!traced || mlxffi::Composing::active()) {
    return fun(inputs);
  }
  auto reverse = [forward](const Arrays& primals, const Arrays& cotangents, const Arrays&) {
    std::vector<int> every(primals.size());
    std::iota(every.begin(), every.end(), 0);
    Arrays zeros;
    for (auto& primal : primals) {
      zeros.push_back(mx::zeros_like(primal));
    }
    auto tangents = [&](const Arrays& directions) { return forward(primals, directions, every); };
    return mlxc::vjp(tangents, zeros, cotangents).second;
  };
  return with_rules(fun, reverse, forward, map)(inputs);
}

// For functions that take a batch of matrices in front.
CustomVmap over_batches(Function fun, mx::StreamOrDevice s) {
  return [fun, s](const Arrays& inputs, const std::vector<int>& axes) {
    auto outputs = fun(batched(inputs, axes, mx::to_stream(s)));
    return std::pair(outputs, std::vector<int>(outputs.size(), 0));
  };
}

mx::array trace_of_product(const mx::array& a, const mx::array& b, mx::StreamOrDevice s) {
  return mx::sum(mx::multiply(turned(a, s), b, s), std::vector<int>{-2, -1}, false, s);
}

mx::array solve_matrices(const mx::array& a, const mx::array& b, mx::StreamOrDevice s);

// a x = b: a dx = db - da x; and a^T db = dx, da = -db x^T.
Arrays solve_forward(const Arrays& in, const Arrays& tangents, const std::vector<int>& argnums, mx::StreamOrDevice s) {
  std::optional<mx::array> right;
  for (size_t i = 0; i < argnums.size(); i++) {
    auto part = argnums[i] ? tangents[i] : mx::negative(mx::matmul(tangents[i], solve_matrices(in[0], in[1], s), s), s);
    right = right ? mx::add(*right, part, s) : part;
  }
  return {solve_matrices(in[0], *right, s)};
}

Arrays solve_reverse(const Arrays& in, const Arrays& cotangents, const Arrays& outputs, mx::StreamOrDevice s) {
  auto of_right = solve_matrices(turned(in[0], s), cotangents[0], s);
  return {mx::negative(mx::matmul(of_right, turned(outputs[0], s), s), s), of_right};
}

// For matrices b with the batch of a.
mx::array solve_matrices(const mx::array& a, const mx::array& b, mx::StreamOrDevice s) {
  auto fun = [s](const Arrays& in) -> Arrays { return {mx::linalg::solve(in[0], in[1], s)}; };
  if (mlxffi::Composing::active()) {
    return fun({a, b})[0];
  }
  auto reverse = [s](const Arrays& in, const Arrays& cotangents, const Arrays& outputs) { return solve_reverse(in, cotangents, outputs, s); };
  auto forward = [s](const Arrays& in, const Arrays& tangents, const std::vector<int>& argnums) { return solve_forward(in, tangents, argnums, s); };
  auto map = over_batches([s](const Arrays& in) -> Arrays { return {solve_matrices(in[0], in[1], s)}; }, s);
  return with_rules(fun, reverse, forward, map)({a, b})[0];
}

mx::array without(const mx::array& product, mx::StreamOrDevice s) {
  return mx::subtract(mx::eye(product.shape(-1), product.dtype(), s), product, s);
}

} // namespace

mx::array solve(const mx::array& a, const mx::array& b, mx::StreamOrDevice s) {
  // For MLX to check, where these are no matrices or of no dtype for that.
  auto plain = mx::linalg::solve(a, b, s);
  if (!a.is_tracer() && !b.is_tracer()) {
    return plain;
  }
  auto dtype = plain.dtype();
  bool vector = b.ndim() + 1 == a.ndim() || b.ndim() == 1;
  auto right = mx::astype(vector ? mx::expand_dims(b, -1, s) : b, dtype, s);
  auto batch = mx::broadcast_shapes({a.shape().begin(), a.shape().end() - 2}, {right.shape().begin(), right.shape().end() - 2});
  auto with_batch = [&](const mx::array& m) {
    auto shape = batch;
    shape.insert(shape.end(), m.shape().end() - 2, m.shape().end());
    return mx::broadcast_to(m, shape, s);
  };
  auto result = solve_matrices(with_batch(mx::astype(a, dtype, s)), with_batch(right), s);
  return vector ? mx::squeeze(result, -1, s) : result;
}

// Golub and Pereyra 1973, for matrices whose rank stays.
mx::array pinv(const mx::array& a, mx::StreamOrDevice s) {
  auto fun = [s](const Arrays& in) -> Arrays { return {mx::linalg::pinv(in[0], s)}; };
  auto forward = [s](const Arrays& in, const Arrays& tangents, const std::vector<int>&) -> Arrays {
    auto &x = in[0], &dx = tangents[0];
    auto p = linear::pinv(x, s), pt = turned(p, s), dt = turned(dx, s);
    auto inside = mx::matmul(mx::matmul(p, dx, s), p, s);
    auto rows = mx::matmul(mx::matmul(mx::matmul(p, pt, s), dt, s), without(mx::matmul(x, p, s), s), s);
    auto columns = mx::matmul(mx::matmul(without(mx::matmul(p, x, s), s), dt, s), mx::matmul(pt, p, s), s);
    return {mx::subtract(mx::add(rows, columns, s), inside, s)};
  };
  return with_tangents(fun, forward, over_batches([s](const Arrays& in) -> Arrays { return {linear::pinv(in[0], s)}; }, s), {a})[0];
}

mx::array cross(const mx::array& a, const mx::array& b, int axis, mx::StreamOrDevice s) {
  auto stream = mx::to_stream(s);
  int ndim = static_cast<int>(a.ndim()), place = axis < 0 ? axis + ndim : axis;
  bool there = place >= 0 && place < ndim && a.shape(place) == 3;
  if (!there || a.shape() != b.shape() || a.dtype() != b.dtype() || !mlxffi::has_kernels(stream)) {
    return mx::linalg::cross(a, b, axis, stream);
  }
  auto components = [&](const mx::array& vectors) {
    auto parts = mx::split(vectors, 3, place, stream);
    for (auto& part : parts) {
      part = mx::contiguous(part, false, stream);
    }
    return parts;
  };
  auto of_a = components(a), of_b = components(b);
  Arrays results;
  for (int i = 0; i < 3; i++) {
    int next = (i + 1) % 3, last = (i + 2) % 3;
    results.push_back(mx::subtract(mx::multiply(of_a[next], of_b[last], stream), mx::multiply(of_a[last], of_b[next], stream), stream));
  }
  return mx::concatenate(results, place, stream);
}

mx::array det(const mx::array& a, mx::StreamOrDevice s) {
  auto fun = [s](const Arrays& in) -> Arrays {
    auto plain = mx::linalg::det(in[0], s);
    if (plain.dtype() != mx::float64) {
      return {plain};
    }
    auto [sign, log] = mx::linalg::slogdet(in[0], s);
    return {mx::multiply(sign, numbers::exp(log, s), s)};
  };
  auto forward = [s](const Arrays& in, const Arrays& tangents, const std::vector<int>&) -> Arrays {
    return {mx::multiply(linear::det(in[0], s), trace_of_product(mx::linalg::inv(in[0], s), tangents[0], s), s)};
  };
  return with_tangents(fun, forward, over_batches([s](const Arrays& in) -> Arrays { return {linear::det(in[0], s)}; }, s), {a})[0];
}

std::pair<mx::array, mx::array> slogdet(const mx::array& a, mx::StreamOrDevice s) {
  auto fun = [s](const Arrays& in) -> Arrays {
    auto [sign, log] = mx::linalg::slogdet(in[0], s);
    return {sign, log};
  };
  auto forward = [s](const Arrays& in, const Arrays& tangents, const std::vector<int>&) -> Arrays {
    auto log = trace_of_product(mx::linalg::inv(in[0], s), tangents[0], s);
    return {mx::zeros_like(log, s), log};
  };
  auto mapped = [s](const Arrays& in) -> Arrays {
    auto [sign, log] = linear::slogdet(in[0], s);
    return {sign, log};
  };
  auto both = with_tangents(fun, forward, over_batches(mapped, s), {a});
  return {both[0], both[1]};
}

std::pair<mx::array, mx::array> eig(const mx::array& a, mx::StreamOrDevice s) {
  auto [values, vectors] = mx::linalg::eig(a, s);
  return {values, is_complex(a) ? mx::conjugate(vectors, s) : vectors};
}

} // namespace mlxc::linear
