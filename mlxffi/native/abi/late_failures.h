// Tasks that failed in a stream's thread, after the call that handed them over had returned.
#pragma once

#include <string>

#include "convert.h"

namespace mlxc {

// Whether two events are the same moment of the same stream.
bool same(const mx::Event& a, const mx::Event& b);

// What waits for an event holds no numbers: MLX tells only whoever waits first.
void remember_failure(const mx::Event& event, const std::string& text);

// The same for what a call scheduled on a stream before it threw: outputs and what they are to be computed from.
void remember_failure(const Arrays& outputs, mx::Stream stream, const std::string& text);

// Whether an array waits for such an event: were MLX asked, it would count as computed. Under Scheduling.
bool has_failed(const mx::array& array);

// Throws the failure again where one of the arrays, or of those that they are to be computed from, waits for such an event.
void throw_if_failed(const Arrays& arrays);

} // namespace mlxc
