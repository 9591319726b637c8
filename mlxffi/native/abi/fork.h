// What a fork leaves of MLX.
#pragma once

namespace mlxc {

// Throws in a forked child whose parent had used MLX: the threads of its streams are in the parent, and waiting for them
// never ends.
void require_no_fork();

} // namespace mlxc
