// .npy files, of which MLX says what is wrong with elements that it lacks by the first three letters of their dtype.
#pragma once

#include "convert.h"
#include "mlx/io/load.h"

namespace mlxc {

// Throw std::invalid_argument, which names the dtype, for elements that MLX lacks.
mx::array read_npy(const std::shared_ptr<mx::io::Reader>& source, mx::StreamOrDevice s);
mx::array read_npy(const std::string& file, mx::StreamOrDevice s);

// The same array, evaluated. MLX writes a copy that it computes: throws where nothing can be.
const mx::array& to_write(const mx::array& array);

} // namespace mlxc
