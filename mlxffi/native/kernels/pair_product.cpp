#include "pair_product.h"

#include <algorithm>
#include <vector>

#include "aligned.h"
#include "pool.h"
#include "rows.h"

namespace mlxffi {

namespace {

// Rows that a panel multiplies, and terms that are added at once: both factors of a part stay in the cache.
constexpr int64_t row_block = 512, inner_block = 1024;
// Tiles that each thread has, to share them evenly, and rows that are worth a panel.
constexpr int64_t tiles_of_thread = 4, least_rows = 128;
// Multiplications that are worth a thread.
constexpr int64_t least_work = 131072;

void pack(HalfMatrix b, Side side, Range terms, Range columns, uint32_t* panel) {
  auto& pairs = row_kernels().products.pairs;
  if (side == Side::transposed) {
    pairs.pack_columns({b.data + columns.begin * b.stride + terms.begin, b.stride, columns.size()}, terms.size(), panel);
  } else {
    pairs.pack_rows({b.data + terms.begin * b.stride + columns.begin, b.stride, terms.size()}, columns.size(), panel);
  }
}

// Fewer rows where threads would have no work: a row's sums do not depend on those beside it.
int64_t rows_of_tiles(int64_t m, int64_t n) {
  int64_t panels = (n + pair_columns - 1) / pair_columns, rows = row_block;
  while (rows > least_rows && panels * std::max<int64_t>(1, m / rows) < tiles_of_thread * thread_count()) {
    rows /= 2;
  }
  return rows;
}

} // namespace

bool has_pair_product() {
  return row_kernels().products.pairs.multiply;
}

void pair_product(int64_t m, int64_t n, int64_t k, HalfMatrix a, HalfMatrix b, Side b_side, const PutSums& put) {
  std::vector<std::pair<Range, Range>> tiles;
  in_parts(m, rows_of_tiles(m, n), [&](Range rows) {
    for (int64_t begin = 0; begin < n; begin += pair_columns) {
      tiles.push_back({rows, {begin, std::min(begin + pair_columns, n)}});
    }
  });
  int64_t count = tiles.size(), grain = std::max<int64_t>(1, least_work * count / (m * n * k));
  parallel_for(count, grain, [&](int64_t begin, int64_t end) {
    thread_local AlignedFloats panel_memory, sum_memory;
    for (int64_t i = begin; i < end; i++) {
      auto [rows, columns] = tiles[i];
      auto sums = sum_memory.get(rows.size() * pair_columns);
      in_parts(k, inner_block, [&, rows = rows, columns = columns](Range terms) {
        int64_t pairs = (terms.size() + 1) / 2;
        auto panel = reinterpret_cast<uint32_t*>(panel_memory.get((pairs + pairs % 2) * pair_columns));
        pack(b, b_side, terms, columns, panel);
        RowBlock left{a.data + rows.begin * a.stride + terms.begin, a.stride, rows.size()};
        row_kernels().products.pairs.multiply(left, panel, pairs, sums, pair_columns, terms.begin > 0);
      });
      put(rows, columns, sums, pair_columns);
    }
  });
}

} // namespace mlxffi
