// Custom Metal and CUDA kernels: how a launch is configured.
#pragma once

#include "convert.h"

namespace mlxc {

struct KernelConfig {
  std::vector<mx::Shape> shapes;
  std::vector<mx::Dtype> dtypes;
  std::tuple<int, int, int> grid{1, 1, 1};
  std::tuple<int, int, int> thread_group{1, 1, 1};
  std::vector<std::pair<std::string, mx::fast::TemplateArg>> template_args;
  std::vector<mx::fast::ScalarArg> scalar_args;
  std::optional<float> init_value;
  bool verbose = false;

  void add_output(mx::Shape shape, mx::Dtype dtype);
  // A launch needs sizes of at least 1 and as many outputs as the kernel names.
  void check() const;
};

Arrays launch(const mx::fast::CustomKernelFunction& kernel, const Arrays& inputs, const KernelConfig& config, mx::StreamOrDevice s);

} // namespace mlxc
