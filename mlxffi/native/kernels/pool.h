// The threads over which the rows of a kernel are spread.
#pragma once

#include <cstdint>
#include <functional>

namespace mlxffi {

// How many threads work at most, the caller among them: MLXFFI_NUM_THREADS, else the CPUs that this process may use, or its
// container's share of them. Throws std::invalid_argument where the variable is set to anything but a number from 1 to 1024.
int thread_count();

// Calls body(begin, end) for parts of at most `grain` of the numbers from 0 to `count`, on several threads, and returns
// when all are done. Any thread may call it at any time, also from within a body. Where a body throws, no further part is
// begun, and the call throws the same.
void parallel_for(int64_t count, int64_t grain, const std::function<void(int64_t, int64_t)>& body);

// Whether the calling thread is in such a body, beside others.
bool within_parallel();

} // namespace mlxffi
