#include "packed_product.h"

#include "aligned.h"
#include "products.h"

namespace mlxffi {

namespace {

// Rows up to which dot products are faster than the BLAS, which packs both of its matrices; how many floats of a matrix are
// unpacked for them at once, for the nearest cache.
constexpr int64_t few_rows = 96, dot_panel = 8192;
// Rows up to which nothing is unpacked but into registers.
constexpr int64_t fewest_rows = 4;
// Rows of x, and columns of the result, that one thread works on at once.
constexpr int64_t row_block = 256, column_block = 128, wide_column_block = 512;
// Terms of a sum that are added at once: a panel of them stays in the cache.
constexpr int64_t inner_block = 1024, narrow_inner_block = 256;
// Multiplications that are worth a thread.
constexpr int64_t least_work = 65536;

} // namespace

void PackedProduct::run(const std::vector<Segment>& segments) const {
  std::vector<std::pair<Segment, Range>> tiles;
  int64_t work = 0;
  for (auto& segment : segments) {
    work += segment.rows.size() * inner() * outer();
    in_parts(segment.rows.size(), row_block, [&](Range rows) {
      Segment part{segment.matrix, {segment.rows.begin + rows.begin, segment.rows.begin + rows.end}};
      in_parts(outer(), transposed ? column_block : wide_column_block, [&](Range columns) { tiles.push_back({part, columns}); });
    });
  }
  int64_t count = tiles.size();
  parallel_for(count, work < 2 * least_work ? count : 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      tile(tiles[i].first, tiles[i].second);
    }
  });
}

void PackedProduct::tile(const Segment& part, Range columns) const {
  thread_local AlignedFloats memory;
  auto sums = memory.get(part.rows.size() * columns.size());
  if (transposed && part.rows.size() <= few_rows) {
    by_dots(part, columns, sums);
  } else {
    by_panels(part, columns, sums);
  }
  if (addend) {
    addend->add(part.rows, columns, sums, columns.size());
  }
  auto narrow = row_kernels().layers.narrow[static_cast<int>(element_of(dtype))];
  for (int64_t row = part.rows.begin; row < part.rows.end; row++, sums += columns.size()) {
    int64_t place = order ? order[row] : row;
    narrow(sums, out + (place * outer() + columns.begin) * mx::size_of(dtype), columns.size(), 1);
  }
}

void PackedProduct::by_dots(const Segment& part, Range columns, float* sums) const {
  RowKind kind{dtype == mx::bfloat16, rounded};
  if (part.rows.size() <= fewest_rows || w.rounds(kind)) {
    RowBlock rows{x + part.rows.begin * inner(), inner(), part.rows.size()};
    return w.dots(part.matrix, columns, rows, kind, sums, columns.size());
  }
  auto dots = row_kernels().products.dots[static_cast<int>(Element::float32)];
  int64_t size = inner();
  int64_t step = std::max<int64_t>(8, dot_panel / size / 8 * 8);
  thread_local AlignedFloats memory;
  auto panel = memory.get(step * size);
  for (int64_t begin = columns.begin; begin < columns.end; begin += step) {
    Range rows{begin, std::min(begin + step, columns.end)};
    w.unpack(part.matrix, rows, {0, size}, panel);
    dots({x + part.rows.begin * size, size, part.rows.size()}, {panel, size, rows.size()}, size, sums + begin - columns.begin, columns.size());
  }
}

void PackedProduct::by_panels(const Segment& part, Range columns, float* sums) const {
  in_parts(inner(), transposed ? inner_block : narrow_inner_block, [&](Range terms) {
    thread_local AlignedFloats memory;
    auto panel = memory.get(columns.size() * terms.size());
    transposed ? w.unpack(part.matrix, columns, terms, panel) : w.unpack(part.matrix, terms, columns, panel);
    add_panel(part, columns, terms, panel, sums);
  });
}

void PackedProduct::add_panel(const Segment& part, Range columns, Range terms, const float* panel, float* sums) const {
  int64_t rows = part.rows.size(), width = columns.size();
  Matrix left{x + part.rows.begin * inner() + terms.begin, inner()};
  if (rows > few_rows) {
    Matrix right{panel, transposed ? terms.size() : width};
    auto side = transposed ? Side::transposed : Side::as_is;
    product(rows, width, terms.size(), 1, left, Side::as_is, right, side, terms.begin ? 1 : 0, sums, width);
  } else {
    auto combine = row_kernels().products.combine[static_cast<int>(Element::float32)];
    combine({left.data, left.stride, rows}, {panel, width, terms.size()}, width, sums, width, terms.begin > 0);
  }
}

} // namespace mlxffi
