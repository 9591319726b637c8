// What forks and exits leave of MLX.
#pragma once

namespace mlxc {

// Throws where waiting for a stream may never end: in a forked child whose parent had used MLX, whose threads are in the
// parent; and in handlers of exit, when the streams of the thread are gone.
void require_streams();

// Whether this is such a child: what locks other threads of the parent held, nobody lets go.
bool is_forked();

} // namespace mlxc
