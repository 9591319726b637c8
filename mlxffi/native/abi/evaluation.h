// Evaluation, for which several threads may ask at once; where it fails, it fails again whenever what it was for is asked
// for.
//
// MLX counts an array as computed as soon as its work is handed to a thread, and forgets how it was to be computed. Where
// the work then fails, as factorisations of matrices do, reading the array gives what was in memory.
#pragma once

#include "convert.h"

namespace mlxc {

// Results of an operation that may fail in the course of its work. While such wait to be computed, evaluations keep
// their graphs until they succeed.
mx::array fallible(const mx::array& result);
Arrays fallible(Arrays results);
template <class... Results>
auto fallible(std::tuple<Results...> results) {
  return std::apply(
      [](auto&... parts) {
        Arrays all = fallible(Arrays{parts...});
        size_t next = 0;
        return std::tuple<Results...>{(static_cast<void>(parts), all[next++])...};
      },
      results);
}
template <class First, class Second>
auto fallible(std::pair<First, Second> results) {
  auto all = fallible(Arrays{results.first, results.second});
  return std::pair<First, Second>{all[0], all[1]};
}

// The same array, which is checked when it is computed: `check` throws what reading it then raises. On a CPU stream.
using Check = std::function<void(const mx::array&)>;
mx::array checked(const mx::array& a, Check check, mx::Stream s);

// Triangular factors, whose diagonal must be positive: else the matrix was not positive definite.
mx::array positive_factors(const mx::array& factors);

void evaluate(const Arrays& outputs);
void evaluate_soon(const Arrays& outputs);
// The same array, evaluated.
const mx::array& computed(const mx::array& array);

// Of an array that has been scheduled.
void wait(const mx::array& array);
bool is_available(const mx::array& array);

} // namespace mlxc
