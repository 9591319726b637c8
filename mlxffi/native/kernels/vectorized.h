// MLX's elementwise operations, computed by kernels of our own, and those that may fail, with what fallible.h adds.
//
// Graphs are built, differentiated, mapped, simplified and exported with MLX's primitives. Only when they are evaluated
// do these kernels take the place of what MLX would run: vectors and threads, where MLX goes number by number.
#pragma once

#include <optional>

#include "walk.h"

namespace mlxffi {

// Has our kernels compute what they can of graphs that are about to be evaluated, which no other thread may be about to
// schedule. Whether something in these graphs may fail in the course of its work.
bool use_kernels(const Walk& graphs);
// Gives what was not computed MLX's primitives again, after an evaluation that failed.
void use_mlx(const Arrays& outputs);

// Whether a primitive is evaluated by our kernels, whoever asks for it.
bool is_computed_by_kernels(const mx::Primitive& primitive);

// A primitive of MLX's that several operations were fused into, evaluated by our kernels; the primitive itself where they
// lack one of the operations.
std::shared_ptr<mx::Primitive> vectorized(std::shared_ptr<mx::Primitive> primitive);

// The operations that a primitive was fused from, each array after its inputs.
struct Fusion {
  const Arrays &inputs, &tape, &outputs;
};

// That of a primitive with quotients of integers, some of which end the process in the code that MLX makes on a CPU; none of
// any other primitive.
std::optional<Fusion> dividing_fusion(mx::Primitive& primitive);

} // namespace mlxffi
