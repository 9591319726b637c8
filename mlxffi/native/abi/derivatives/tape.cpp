#include "derivatives/tape.h"

#include <cstring>

namespace mlxc {

namespace {

bool is_inexact(const mx::array& array) {
  return mx::issubdtype(array.dtype(), mx::inexact);
}

bool stops(const mx::array& node) {
  return std::strcmp(node.primitive().name(), "StopGradient") == 0;
}

// Both kinds of tape: which arrays are looked behind, and whether an output depends on active inputs.
struct DerivativeWalk {
  static bool enters(const mx::array& array) {
    return !stops(array);
  }
  static bool reaches(const mx::array& output, bool from_inexact) {
    return is_inexact(output) || !from_inexact;
  }
};

struct MapWalk {
  static bool enters(const mx::array&) {
    return true;
  }
  static bool reaches(const mx::array&, bool) {
    return true;
  }
};

template <class Walk>
class Walker {
 public:
  explicit Walker(const Arrays& inputs) {
    for (auto& input : inputs) {
      tape_.active.insert(input.id());
      seen_.insert(input.id());
    }
  }

  Tape over(const Arrays& outputs) {
    Scheduling lock;
    for (auto& output : outputs) {
      open(output);
      while (!path_.empty()) {
        step();
      }
    }
    return std::move(tape_);
  }

 private:
  struct Step {
    const mx::array* node;
    size_t next;
  };

  void open(const mx::array& array) {
    if (!seen_.insert(array.id()).second || !array.has_primitive() || !Walk::enters(array)) {
      return;
    }
    for (auto& sibling : array.siblings()) {
      seen_.insert(sibling.id());
    }
    path_.push_back({&array, 0});
  }

  void step() {
    auto& [node, next] = path_.back();
    if (next < node->inputs().size()) {
      open(node->inputs()[next++]);
      return;
    }
    auto* done = node;
    path_.pop_back();
    close(*done);
  }

  void close(const mx::array& node) {
    bool any = false, from_inexact = false;
    for (auto& input : node.inputs()) {
      bool active = tape_.has(input);
      any = any || active;
      from_inexact = from_inexact || (active && is_inexact(input));
    }
    if (!any) {
      return;
    }
    bool reached = reach(node, from_inexact);
    for (auto& sibling : node.siblings()) {
      reached = reach(sibling, from_inexact) || reached;
    }
    if (reached) {
      tape_.nodes.push_back(&node);
    }
  }

  bool reach(const mx::array& output, bool from_inexact) {
    bool reached = Walk::reaches(output, from_inexact);
    if (reached) {
      tape_.active.insert(output.id());
    }
    return reached;
  }

  Tape tape_;
  std::unordered_set<std::uintptr_t> seen_;
  std::vector<Step> path_;
};

} // namespace

std::vector<int> Tape::places(const mx::array& node) const {
  std::vector<int> found;
  for (size_t i = 0; i < node.inputs().size(); i++) {
    if (has(node.inputs()[i])) {
      found.push_back(i);
    }
  }
  return found;
}

Tape derivative_tape(const Arrays& outputs, const Arrays& inputs) {
  return Walker<DerivativeWalk>(inputs).over(outputs);
}

Tape map_tape(const Arrays& outputs, const Arrays& inputs) {
  return Walker<MapWalk>(inputs).over(outputs);
}

} // namespace mlxc
