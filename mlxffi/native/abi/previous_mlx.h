// The release of MLX before the one that the table is for: what it lacks is an error when it is called.
#pragma once

#include <mlx/fft.h>
#include <mlx/ops.h>
#include <mlx/version.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#if MLX_VERSION_NUMERIC < 32004

namespace mlx::core {

[[noreturn]] inline void needs_newer(const char* name) {
  throw std::runtime_error(std::string("[") + name + "] MLX 0.32.4 has this; mlxffi was built for the release before");
}

inline std::tuple<array, array> minmax(const array&, bool, StreamOrDevice = {}) {
  needs_newer("minmax");
}

inline std::tuple<array, array> minmax(const array&, const std::vector<int>&, bool, StreamOrDevice = {}) {
  needs_newer("minmax");
}

inline std::tuple<array, array> minmax(const array&, int, bool, StreamOrDevice = {}) {
  needs_newer("minmax");
}

inline std::vector<array>
unique(const array&, int, bool, bool, bool, const std::optional<array>&, StreamOrDevice = {}) {
  needs_newer("unique");
}

namespace fft {

inline array stft(
    const array&,
    int,
    const std::optional<int>&,
    const std::optional<int>&,
    const std::optional<array>&,
    bool,
    const std::string&,
    FFTNorm,
    const std::optional<bool>&,
    StreamOrDevice = {}) {
  needs_newer("stft");
}

inline array istft(
    const array&,
    const std::optional<int>&,
    const std::optional<int>&,
    const std::optional<int>&,
    const std::optional<array>&,
    bool,
    FFTNorm,
    const std::optional<bool>&,
    const std::optional<int>&,
    StreamOrDevice = {}) {
  needs_newer("istft");
}

} // namespace fft

} // namespace mlx::core

#endif
