#include "random_bits.h"

#include <algorithm>

#include "recycled.h"
#include "row_access.h"
#include "rows.h"

namespace mlxffi {

namespace {

constexpr int64_t least_words = worth_a_thread / 8;

// The words of one key: the hash of counter i gives those at i and at i + half; of an odd number the last is that of 0.
void fill(RandomKey key, int64_t count, uint32_t* out) {
  int64_t pairs = count / 2, half = pairs + count % 2;
  auto kernel = row_kernels().random_words;
  parallel_for(pairs, least_words, [=](int64_t begin, int64_t end) {
    kernel(key, begin, half + begin, end - begin, out + begin, out + half + begin);
  });
  if (count % 2) {
    uint32_t unused;
    kernel(key, pairs, 0, 1, out + pairs, &unused);
  }
}

} // namespace

bool random_bits(const mx::array& keys, mx::array& out, mx::Stream s) {
  int64_t count = keys.size() / 2, words = out.nbytes() / sizeof(uint32_t) / count;
  if (words * count * int64_t(sizeof(uint32_t)) != int64_t(out.nbytes())) {
    return false;
  }
  allocate(out);
  on_stream(s, [=, keys = NumbersOf(keys), to = reinterpret_cast<uint32_t*>(out.data<char>())] {
    parallel_for(count, std::max<int64_t>(1, least_words / words), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) {
        fill({static_cast<uint32_t>(keys.integer(2 * i)), static_cast<uint32_t>(keys.integer(2 * i + 1))}, words, to + i * words);
      }
    });
  });
  return true;
}

} // namespace mlxffi
