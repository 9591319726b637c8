// Metal captures; without Metal MLX silently does nothing, here it is an error.
#pragma once

#include "convert.h"
#include "mlx/backend/cuda/cuda.h"
#include "mlx/backend/metal/metal.h"

namespace mlxc {

inline void require_metal() {
  if (!mx::metal::is_available()) {
    throw std::runtime_error("Metal is not available in this process");
  }
}

inline void start_capture(const std::string& path) {
  require_metal();
  mx::metal::start_capture(path);
}

inline void stop_capture() {
  require_metal();
  mx::metal::stop_capture();
}

} // namespace mlxc
