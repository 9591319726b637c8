#include "shapeless.h"

#include "fused.h"
#include "take.h"

namespace mlxc {

namespace {

thread_local bool tracing_shapeless = false;

} // namespace

ShapelessTrace::ShapelessTrace(bool shapeless) : outer_(tracing_shapeless) {
  tracing_shapeless = shapeless || outer_;
}

ShapelessTrace::~ShapelessTrace() {
  tracing_shapeless = outer_;
}

mx::array take(const mx::array& a, const mx::array& indices, int axis, mx::StreamOrDevice s) {
  auto plain = mx::take(a, indices, axis, s);
  auto stream = mx::to_stream(s);
  bool whole = tracing_shapeless && a.ndim() && mlxffi::has_kernels(stream) && indices.size();
  return whole ? mlxffi::take_slices(a, indices, axis < 0 ? axis + static_cast<int>(a.ndim()) : axis, stream) : plain;
}

} // namespace mlxc
