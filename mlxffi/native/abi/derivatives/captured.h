// A function that is run again for its gradient gets one for its arguments only: of what it captures it would be 0.
#pragma once

#include "convert.h"

namespace mlxc {

// What a function makes of arguments, which count as being differentiated on this thread while it runs.
Arrays run_differentiated(const Function& fun, const Arrays& arguments);

// An error where outputs depend on arrays that are being differentiated by a way that does not lead through the arguments.
void check_captured(const Arrays& outputs, const Arrays& arguments);

} // namespace mlxc
