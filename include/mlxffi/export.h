#ifndef MLXFFI_EXPORT_H
#define MLXFFI_EXPORT_H

#include <stdbool.h>

#include "mlx/c/closure.h"
#include "mlx/c/map.h"
#include "mlx/c/string.h"
#include "mlx/c/vector.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Trace a function and describe the trace, as mlx_export_function_kwargs would write it to a file.
 *
 * `parts` gets a JSON list with one object for each part: the inputs, the names of the named ones, the outputs, the
 * constants, and then the operations in their order. Arrays of the trace have names, a shape and a dtype. What JSON has
 * no form for is an object of one entry: {"tuple": [..]}, {"dtype": number}, {"float": "inf"}, {"array": index}; the
 * index is that of a constant in `arrays`.
 *
 * Returns 0, or 1 after an error: `fun` fails, or an operation cannot be written.
 */
int mlxffi_export_describe(
  mlx_string *parts,
  mlx_vector_array *arrays,
  const mlx_closure_kwargs fun,
  const mlx_vector_array args,
  const mlx_map_string_to_array kwargs,
  bool shapeless
);

/**
 * The graph that leads to `outputs` in the DOT language, as mlx_export_to_dot() writes it to a file.
 *
 * `names`: arrays of the graph by what to call them; the others get letters.
 *
 * Returns 0, or 1 after an error.
 */
int mlxffi_export_dot(mlx_string *dot, const mlx_vector_array outputs, const mlx_map_string_to_array names);

#ifdef __cplusplus
}
#endif

#endif /* MLXFFI_EXPORT_H */
