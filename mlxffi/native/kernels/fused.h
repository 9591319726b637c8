// What the losses and their gradients have in common as nodes of MLX's graph.
//
// A fused operation works on rows: the last axis of its large inputs, or single numbers of the others; all axes before
// that are batch. On a CPU stream it is an MLX primitive with kernels of our own. On a GPU stream it is the graph that
// gpu.h builds, with this class's rules for derivatives and vmap around it. Derivatives that have no kernel are those
// of the same formula composed of MLX's operations.
#pragma once

#include <mlx/mlx.h>
#include <mlx/primitives.h>

namespace mlxffi {

namespace mx = mlx::core;
using Arrays = std::vector<mx::array>;

// A name() must be none of MLX's own: export_function takes what has such a name for MLX's.
class Fused : public mx::Primitive {
 public:
  using Primitive::Primitive;

  // The arrays that this operation makes of its inputs.
  static Arrays apply(std::shared_ptr<Fused> operation, Arrays inputs);

  // One output like the first input, unless it says otherwise.
  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    return {inputs[0].shape()};
  }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override;
  void eval_gpu(const Arrays& inputs, Arrays& outputs) override;
  Arrays jvp(const Arrays& primals, const Arrays& tangents, const std::vector<int>& argnums) override;
  Arrays vjp(const Arrays& primals, const Arrays& cotangents, const std::vector<int>& argnums, const Arrays& outputs) override;
  std::pair<Arrays, std::vector<int>> vmap(const Arrays& inputs, const std::vector<int>& axes) override;

 protected:
  virtual std::vector<mx::Dtype> output_dtypes(const Arrays& inputs) const {
    return {inputs[0].dtype()};
  }
  // The same outputs by MLX's operations, less those that nobody differentiates, which come last.
  virtual Arrays composed(const Arrays& inputs) const = 0;
  // Whether it is a node of the graph with an evaluation of its own: on a CPU, unless it says otherwise.
  virtual bool is_node() const;
  // The graph that it is elsewhere, which gpu.h builds; by default the composed form.
  virtual Arrays as_graph(const Arrays& inputs) const {
    return composed(inputs);
  }
  // The same operation as a new object, where one more batch axis in front of all inputs changes nothing else. NULL, the
  // default: vmap is that of the composed form.
  virtual std::shared_ptr<Fused> again() const {
    return nullptr;
  }

  std::pair<Arrays, std::vector<int>> vmap_composed(const Arrays& inputs, const std::vector<int>& axes, int size);

  mx::Stream where() const {
    return const_cast<Fused*>(this)->stream();
  }
};

// The arrays at some places, and all arrays with these replaced.
Arrays chosen(const Arrays& arrays, const std::vector<int>& places);
Arrays replaced(Arrays arrays, const std::vector<int>& places, const Arrays& values);

// The mapped axis first; an input without one is repeated along it, which takes no memory.
mx::array batched(const mx::array& input, int axis, int size, mx::Stream s);

// Whether graphs on a stream get kernels of our own, not the composed forms.
bool has_kernels(mx::Stream s);

// float64 for float64 logits, else float32: what sums and losses are in.
mx::Dtype sums_dtype(const mx::array& logits);

// The shape of the batch: that of the logits less their last axis.
mx::Shape batch_of(const mx::array& logits);

} // namespace mlxffi
