// The scheduling of graphs of many small nodes on a CPU.
#pragma once

#include "convert.h"

namespace mlxc {

// mx::async_eval, with less work for each node where many small ones are on one CPU stream. `may_fail`: see Attempt.
// Under Scheduling.
void schedule(const Arrays& outputs, bool may_fail);

} // namespace mlxc
