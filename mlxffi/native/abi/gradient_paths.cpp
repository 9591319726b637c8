// Which arrays a gradient reaches: a walk over the graph from outputs back.
#include <cstring>

#include "convert.h"
#include "mlx/primitives.h"
#include "trace.h"

using namespace mlxc;

namespace {

// A comparison or an index has no derivative.
bool stops_gradient(const mx::array& node) {
  bool stopped = node.has_primitive() && std::strcmp(node.primitive().name(), "StopGradient") == 0;
  return stopped || !mx::issubdtype(node.dtype(), mx::inexact);
}

// The ids of all arrays from which `outputs` are computed, without passing `walls`; what differentiates an array is
// a StopGradient node itself, so `ends` are met before that is asked.
Ids reached(const Arrays& outputs, Ids walls, const Ids& ends) {
  Scheduling lock;
  Ids found;
  Arrays open = outputs;
  while (!open.empty()) {
    auto node = std::move(open.back());
    open.pop_back();
    if (!walls.insert(node.id()).second) {
      continue;
    }
    found.insert(node.id());
    if (!ends.count(node.id()) && !stops_gradient(node)) {
      open.insert(open.end(), node.inputs().begin(), node.inputs().end());
    }
  }
  return found;
}

} // namespace

extern "C" int mlxffi_array_gradient_around(
    mlx_vector_array* res,
    const mlx_vector_array outputs,
    const mlx_vector_array inputs,
    const mlx_vector_array candidates) {
  return guarded(__func__, [&] {
    auto& wanted = get(candidates, "candidates");
    auto found = reached(get(outputs, "outputs"), ids_of(get(inputs, "inputs")), ids_of(wanted));
    Arrays captured;
    std::copy_if(wanted.begin(), wanted.end(), std::back_inserter(captured), [&](auto& array) { return found.count(array.id()); });
    put(res, std::move(captured));
  });
}
