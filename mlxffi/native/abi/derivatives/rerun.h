// Checkpointed functions, run again for their gradients.
//
// Neither what is between their arguments and results is kept, nor the results: what is differentiated after them gets
// results of the same run as their own gradients. It waits for cotangents: else it could be run beside the first time, and
// nothing be saved.
#pragma once

#include "convert.h"

namespace mlxc {

// The arguments, to be differentiated, and what the function makes of them.
struct Rerun {
  Arrays arguments, outputs;
};

// Whether an array is the result of a checkpointed function.
bool is_checkpoint(const mx::array& array);

// Its function, run again once the arrays `after` are there.
Rerun rerun(const mx::array& result, const Arrays& after);

} // namespace mlxc
