#include "custom_kernels.h"

namespace mlxc {

namespace {

void check_sizes(const char* what, const std::tuple<int, int, int>& sizes) {
  auto [x, y, z] = sizes;
  if (x < 1 || y < 1 || z < 1) {
    throw BadArgument("config", std::string("expected a ") + what + " of 1 or more in each direction, got (" + std::to_string(x) + ", " + std::to_string(y) + ", " + std::to_string(z) + ")");
  }
}

} // namespace

void KernelConfig::add_output(mx::Shape shape, mx::Dtype dtype) {
  for (int size : shape) {
    if (size < 0) {
      throw BadArgument("shape", "expected sizes of 0 or more, got " + printed(shape));
    }
  }
  dtypes.reserve(dtypes.size() + 1);
  shapes.push_back(std::move(shape));
  dtypes.push_back(dtype);
}

void KernelConfig::check() const {
  check_sizes("grid", grid);
  check_sizes("thread group", thread_group);
}

Arrays launch(const mx::fast::CustomKernelFunction& kernel, const Arrays& inputs, const KernelConfig& config, mx::StreamOrDevice s) {
  config.check();
  return kernel(inputs, config.shapes, config.dtypes, config.grid, config.thread_group, config.template_args, config.init_value, config.verbose, s);
}

} // namespace mlxc

using namespace mlxc;

extern "C" int mlx_fast_precompiled_cuda_kernel(
    mlx_vector_array* res,
    const char* name,
    const char* compiled_source,
    size_t compiled_source_size,
    const mlx_vector_array inputs,
    const mlx_fast_cuda_kernel_config config,
    int shared_memory,
    bool ensure_row_contiguous,
    const mlx_stream s) {
  return guarded(__func__, [&] {
    auto& launch = get(config, "config");
    launch.check();
    if (!compiled_source) {
      throw BadArgument("compiled_source", "expected " + std::to_string(compiled_source_size) + " bytes of a compiled kernel, got NULL");
    }
    put(res,
        mx::fast::precompiled_cuda_kernel(
            text(name, "name"),
            std::string(compiled_source, compiled_source_size),
            get(inputs, "inputs"),
            launch.shapes,
            launch.dtypes,
            launch.scalar_args,
            launch.grid,
            launch.thread_group,
            shared_memory,
            launch.init_value,
            ensure_row_contiguous,
            stream_of(s, "s")));
  });
}
