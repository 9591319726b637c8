// Fused operations that a GPU has a kernel of, too.
#pragma once

#include "fused.h"

namespace mlxffi {

// A node of the graph on CPUs and GPUs alike.
class KernelNode : public Fused {
 public:
  using Fused::Fused;

  void eval_gpu(const Arrays& inputs, Arrays& outputs) override;

 protected:
  bool is_node() const override {
    return true;
  }
  // What evaluates it on a GPU, for inputs of these shapes.
  virtual std::shared_ptr<mx::Primitive> on_gpu(const Arrays&) const {
    throw std::logic_error(std::string("[") + const_cast<KernelNode*>(this)->name() + "] no GPU has a kernel of this node");
  }

 private:
  // That of the last evaluation: a compiled graph runs the same nodes again and again.
  std::shared_ptr<mx::Primitive> evaluation_;
  std::vector<mx::Shape> shapes_;
};

} // namespace mlxffi
