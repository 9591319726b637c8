// Files of exported functions, which MLX reads as if nobody could have changed them.
#pragma once

#include <string>

namespace mlxc {

// Ends a file that is complete with a checksum, which MLX's reader does not look at.
void seal(const std::string& file);

// Throws std::runtime_error, which names the file, for one that is not what the checksum at its end says, or that has none
// and does not hold together: lengths past its end, unknown operations, references to arrays that do not come before.
const std::string& intact(const std::string& file);

} // namespace mlxc
