// GGUF files, versions 2 and 3, read and written here: MLX's reader trusts what a file says of itself.
#pragma once

#include "convert.h"

namespace mlxc {

// The arrays and the metadata of a file. Throws std::runtime_error, which names the tensor or the key, where the file
// does not hold what its header says, or holds what no array can be made of. All is read at once: the stream is not used.
mx::GGUFLoad read_gguf(const std::string& file, mx::StreamOrDevice);

// Writes arrays, which are evaluated first, and metadata; .gguf is appended to a name that does not end so.
void write_gguf(std::string file, const mx::GGUFLoad& contents);

} // namespace mlxc
