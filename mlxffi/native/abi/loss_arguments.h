// What the C functions of the losses share: what arguments must be, and what becomes of the losses of a batch.
#pragma once

#include "kernel_arguments.h"

#include <mlxffi/losses.h>

namespace mlxc {

enum class Reduction { none, sum, mean };

Reduction reduction_of(const mlxffi_reduction& value);

double between(double value, double least, double most, const char* argument);
double checked_temperature(double temperature);

// Integers of the shape of a batch, which is that of `of` without its last axis.
const mx::array& checked_targets(const mx::array& targets, const mx::array& of, const char* name);
void check_weights(const mx::array& weights, const mx::array& targets);

mx::array reduced(const mx::array& losses, Reduction reduction, mx::Stream s);

// The losses of targets, weighted and reduced: a mean is that of the positions that count.
mx::array combined(
    mx::array losses, const mx::array& targets, const std::optional<mx::array>& weights, std::optional<int> ignored, Reduction reduction,
    mx::Stream s);

} // namespace mlxc
