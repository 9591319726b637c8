// A walk over the graph from outputs back tells what a function captures.
#include "derivatives/captured.h"

#include <cstring>

#include "kernel_arguments.h"
#include "mlx/primitives.h"
#include "trace.h"

namespace mlxc {

namespace {

// The arguments of the functions that are being differentiated, one inside the other.
thread_local std::vector<const Arrays*> differentiated;

// A comparison or an index has no derivative.
bool stops_gradient(const mx::array& node) {
  bool stopped = node.has_primitive() && std::strcmp(node.primitive().name(), "StopGradient") == 0;
  return stopped || !mx::issubdtype(node.dtype(), mx::inexact);
}

// The ids of all arrays from which `outputs` are computed, without passing `walls`.
Ids reached(const Arrays& outputs, Ids walls) {
  Scheduling lock;
  Ids found;
  Arrays open = outputs;
  while (!open.empty()) {
    auto node = std::move(open.back());
    open.pop_back();
    if (walls.insert(node.id()).second && !stops_gradient(node)) {
      found.insert(node.id());
      open.insert(open.end(), node.inputs().begin(), node.inputs().end());
    }
  }
  return found;
}

} // namespace

Arrays run_differentiated(const Function& fun, const Arrays& arguments) {
  struct Level {
    explicit Level(const Arrays& arguments) {
      differentiated.push_back(&arguments);
    }
    ~Level() {
      differentiated.pop_back();
    }
  } level(arguments);
  return fun(arguments);
}

void check_captured(const Arrays& outputs, const Arrays& arguments) {
  if (differentiated.empty()) {
    return;
  }
  auto found = reached(outputs, ids_of(arguments));
  std::string captured;
  for (auto* level : differentiated) {
    for (auto& array : *level) {
      captured += !found.count(array.id()) ? "" : (captured.empty() ? "" : ", ") + described(array);
    }
  }
  if (!captured.empty()) {
    throw std::invalid_argument(
        "[checkpoint] the function captures arrays that are being differentiated (" + captured +
        "), and they would silently get no gradient; pass them to the checkpointed function as arguments");
  }
}

} // namespace mlxc
