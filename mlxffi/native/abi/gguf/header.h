// The header of a file: its metadata, and where its tensors lie.
#pragma once

#include "input.h"

namespace mlxc::gguf {

struct Header {
  Metadata metadata;
  std::vector<Tensor> tensors;
};

Header read_header(Input& in);

} // namespace mlxc::gguf
