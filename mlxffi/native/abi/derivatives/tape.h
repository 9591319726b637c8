// The operations between some arrays and what was computed of them.
#pragma once

#include <unordered_set>

#include "derivatives/rules.h"

namespace mlxc {

struct Tape {
  // Every operation after its inputs; of several outputs, the one that was met first.
  std::vector<const mx::array*> nodes;
  // The arrays through which the outputs depend on the inputs.
  std::unordered_set<std::uintptr_t> active;

  bool has(const mx::array& array) const {
    return active.count(array.id());
  }
  // The places of a node's inputs that are active.
  std::vector<int> places(const mx::array& node) const;
};

// How far a derivative reaches: not through a StopGradient, nor from numbers to what is counted.
Tape derivative_tape(const Arrays& outputs, const Arrays& inputs);

// How far a map reaches: everywhere.
Tape map_tape(const Arrays& outputs, const Arrays& inputs);

} // namespace mlxc
