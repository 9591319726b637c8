// Small graphs are computed by the thread that asks for them: a task takes longer to a stream's thread and back than to run.
#pragma once

#include "fused.h"

namespace mlxffi {

// Computes arrays whose graphs no other thread may be about to schedule; false, where something is left to be scheduled, as
// these are large, have operations that are MLX's alone, may fail in the course of their work, or wait for a stream, as
// `is_there` says of what has been scheduled.
bool compute_at_once(const Arrays& outputs, bool (*is_there)(const mx::array&));

// Whether this thread does so now: tasks for a stream are run where they would be handed to it.
bool at_once();

// Whether what it computes lies in its input's memory, however that lies.
bool is_view(const mx::Primitive& primitive);

// Whether nothing is computed for it: its elements are some of its input's. A copy that it turns out to need is left to the
// stream.
bool costs_nothing(const mx::Primitive& primitive);

} // namespace mlxffi
