#include "gpu_kernel.h"

#include <cstring>
#include <optional>

#include "cuda_prelude.h"
#include "gpu_chunks.h"
#include "gpu_common.h"
#include "metal_prelude.h"

namespace mlxffi::gpu {

Kernel::Kernel(
    const std::string& name, const Names& inputs, const Names& outputs, const char* source, const std::string& body)
    : function_(compiled(
          name, inputs, outputs, std::string(common_source) + chunks_source + source,
          {cuda_layer_prologue, metal_layer_prologue}, body)) {}

Node Kernel::operator()(
    const Arrays& inputs, const std::vector<Output>& outputs, Grid grid, Options options, mx::Stream s) const {
  std::vector<mx::Shape> shapes;
  std::vector<mx::Dtype> dtypes;
  for (auto& output : outputs) {
    shapes.push_back(output.shape);
    dtypes.push_back(output.dtype);
  }
  options.emplace_back("T", inputs[0].dtype());
  std::tuple<int, int, int> all{grid.blocks * grid.threads, grid.parts, grid.items}, block{grid.threads, 1, 1};
  return function_(inputs, shapes, dtypes, all, block, options, std::nullopt, false, s)[0].primitive_ptr();
}

int64_t rows_of(const mx::array& x) {
  return x.size() / x.shape(-1);
}

int64_t parts_of(int64_t whole, int64_t part) {
  return (whole + part - 1) / part;
}

// How many numbers 16 bytes have.
int chunk(const mx::array& x) {
  return 16 / x.itemsize();
}

int bits(float number) {
  int found;
  std::memcpy(&found, &number, sizeof found);
  return found;
}

mx::Shape batch(const mx::array& x) {
  return {x.shape().begin(), x.shape().end() - 1};
}

} // namespace mlxffi::gpu
