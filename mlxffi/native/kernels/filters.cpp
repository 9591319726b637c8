#include "filters.h"

#include <algorithm>
#include <vector>

#include "at_once.h"
#include "recycled.h"
#include "row_access.h"
#include "rows.h"

namespace mlxffi {

namespace {

// Results that are made at a time, in the cache.
constexpr int64_t block = 2048;
// Multiplications during which other threads may wait to schedule.
constexpr int64_t most_at_once = int64_t(1) << 24;

struct Filter {
  const float *signals, *weights;
  float* out;
  // Weights lie `step` apart: those of a filter that was turned, backwards.
  int64_t count, length, size, step, made, before;
  bool flip;

  void run() const {
    int64_t blocks = (made + block - 1) / block;
    parallel_for(count * blocks, std::max<int64_t>(1, worth_a_thread / (block * size)), [=, this](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) {
        make(i / blocks, i % blocks * block);
      }
    });
  }

 private:
  // Adds to a block what each weight makes of the numbers it meets: none beyond the signal's ends.
  void make(int64_t signal, int64_t first) const {
    int64_t last = std::min(first + block, made);
    auto from = signals + signal * length;
    auto to = out + signal * made;
    std::fill(to + first, to + last, 0.0f);
    for (int64_t i = 0; i < size; i++) {
      int64_t shift = i - before, begin = std::max(first, -shift), end = std::min(last, length - shift);
      if (begin < end) {
        row_kernels().layers.accumulate(from + begin + shift, to + begin, end - begin, weights[(flip ? size - 1 - i : i) * step]);
      }
    }
  }
};

} // namespace

bool filter(const mx::Convolution& convolution, const mx::array& signals, const mx::array& weights, mx::array& out, mx::Stream s) {
  auto [steps, before, after, dilations, spread, groups, flip] = convolution.state();
  auto are_one = [](const std::vector<int>& values) { return std::all_of(values.begin(), values.end(), [](int value) { return value == 1; }); };
  bool single = signals.ndim() == 3 && signals.shape(-1) == 1 && weights.shape(0) == 1 && out.dtype() == mx::float32;
  if (!single || !are_one(steps) || !are_one(dilations) || !are_one(spread) || !signals.flags().row_contiguous) {
    return false;
  }
  if (at_once() && static_cast<int64_t>(out.size()) > most_at_once / weights.shape(1)) {
    return false;
  }
  allocate(out);
  Filter task{signals.data<float>(), weights.data<float>(), out.data<float>(), signals.shape(0), signals.shape(1), weights.shape(1), weights.strides()[1], out.shape(1), before[0], flip};
  on_stream(s, [task] { task.run(); });
  return true;
}

} // namespace mlxffi
