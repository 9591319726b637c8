#include "gpu_node.h"

namespace mlxffi {

void KernelNode::eval_gpu(const Arrays& inputs, Arrays& outputs) {
  std::vector<mx::Shape> shapes;
  for (auto& input : inputs) {
    shapes.push_back(input.shape());
  }
  if (!evaluation_ || shapes != shapes_) {
    evaluation_ = on_gpu(inputs);
    shapes_ = std::move(shapes);
  }
  evaluation_->eval_gpu(inputs, outputs);
}

} // namespace mlxffi
