// The header of a safetensors file: a length of eight bytes, and so much JSON.
#pragma once

#include "convert.h"

namespace mlxc::safetensors {

constexpr size_t length_size = 8;

// The dtype of a tensor, and where it stands in the JSON.
struct Entry {
  std::string name, dtype;
  size_t place;
};

// The tensors that JSON describes. Throws std::runtime_error for what is no object and for names with a NUL; all else
// that may be wrong is left to MLX.
std::vector<Entry> entries_of(const std::string& json);

// The length that the first bytes of a file give.
uint64_t length_of(const std::string& start);

} // namespace mlxc::safetensors
