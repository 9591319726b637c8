// The optimised graph of a compiled function, detached from the arrays that it was traced with.
#pragma once

#include <unordered_set>

#include "handles.h"
#include "vectorized.h"

namespace mlxc {

using Ids = std::unordered_set<std::uintptr_t>;

Ids ids_of(const Arrays& arrays);

// Everything that `outputs` are computed from without passing `found`, each array after its inputs.
Arrays below(const Arrays& outputs, Ids found);

class Trace {
 public:
  // What `outputs` are computed with from `inputs`, which have no values: MLX's graph after it was simplified and fused.
  Trace(const Arrays& inputs, const Arrays& outputs, bool shapeless);

  // The same graph from other inputs of the same kind.
  Arrays operator()(const Arrays& inputs) const;

 private:
  // A call of a primitive; values are numbered: inputs, constants, then what each step makes.
  struct Step {
    std::shared_ptr<mx::Primitive> primitive;
    std::vector<size_t> inputs;
    std::vector<mx::Shape> shapes;
    std::vector<mx::Dtype> dtypes;
  };
  using Numbers = std::unordered_map<std::uintptr_t, size_t>;

  void number(const mx::array& made_by_step, Numbers& numbers);
  void number_each(const mlxffi::Fusion& fusion, const mx::array& made_by_step, Numbers& numbers);
  void run(const Step& step, Arrays& values) const;

  bool shapeless_;
  size_t count_ = 0;
  Arrays constants_;
  std::vector<Step> steps_;
  std::vector<size_t> outputs_;
};

} // namespace mlxc
