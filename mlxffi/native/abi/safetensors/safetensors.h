// Safetensors files with float64, which MLX neither reads nor writes: it sees int64 in their place.
#pragma once

#include "convert.h"
#include "mlx/io/load.h"

namespace mlxc {

using Source = std::shared_ptr<mx::io::Reader>;
using Target = std::shared_ptr<mx::io::Writer>;

// Throw std::runtime_error, which names the tensor, for a dtype that MLX does not have, and for names that C cannot hold.
mx::SafetensorsLoad read_safetensors(const Source& source, mx::StreamOrDevice s);
mx::SafetensorsLoad read_safetensors(const std::string& file, mx::StreamOrDevice s);

// Evaluate the arrays and write them; .safetensors is appended to a name that does not end so.
void write_safetensors(const Target& target, const ArrayMap& arrays, const StringMap& metadata);
void write_safetensors(std::string file, const ArrayMap& arrays, const StringMap& metadata);

} // namespace mlxc
