// Evaluation, for which several threads may ask at once; where it fails, it fails again whenever what it was for is asked
// for.
//
// MLX counts an array as computed as soon as its work is handed to a thread, and forgets how it was to be computed. Where
// the work then fails, as factorisations of matrices do, reading the array gives what was in memory.
#pragma once

#include "convert.h"

namespace mlxc {

// The same indices, which are checked when they are computed: `check` throws what reading them then raises. On a CPU stream.
mx::array checked(const mx::array& indices, std::function<void(const mx::array&)> check, mx::Stream s);

void evaluate(const Arrays& outputs);
void evaluate_soon(const Arrays& outputs);
// The same array, evaluated.
const mx::array& computed(const mx::array& array);

// Of an array that has been scheduled.
void wait(const mx::array& array);
bool is_available(const mx::array& array);

// Of a stream, and of all before a call that waits for them: what fails is told again whenever it is read.
void finish(mx::Stream stream);
void finish_streams();

} // namespace mlxc
