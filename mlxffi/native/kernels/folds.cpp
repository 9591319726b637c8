#include "folds.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "pool.h"
#include "recycled.h"
#include "row_access.h"
#include "rows.h"

namespace mlxffi {

namespace {

// Numbers of a row that are folded side by side, columns that are (in long pieces, which the CPU fetches ahead), rows and
// numbers of a part, which one thread folds.
constexpr int64_t most_width = 1024, most_columns = 4096, least_rows = 32, part_size = 32768;

// Numbers among which an extreme is looked for at a time.
constexpr int64_t most_looked_at = 256;

std::optional<Operation> operation_of(const mx::Reduce& reduce, mx::Dtype dtype) {
  switch (reduce.state().first) {
    case mx::Reduce::Sum:
      return Operation::Add;
    case mx::Reduce::Prod:
      return Operation::Multiply;
    case mx::Reduce::Max:
      return Operation::Maximum;
    case mx::Reduce::Min:
      return Operation::Minimum;
    case mx::Reduce::And:
      return dtype == mx::bool_ ? std::optional(Operation::LogicalAnd) : std::nullopt;
    default:
      return dtype == mx::bool_ ? std::optional(Operation::LogicalOr) : std::nullopt;
  }
}

// The numbers as they are computed with: halves in a buffer, others where they are.
class Widened {
 public:
  explicit Widened(const Fold& fold, int64_t most = most_width) : fold_(fold), buffer_(fold.widen ? most * fold.wide : 0) {}

  const char* operator()(const char* from, int64_t count) {
    if (!fold_.widen) {
      return from;
    }
    const void* in[] = {from};
    fold_.widen(in, buffer_.data(), count);
    return buffer_.data();
  }

 private:
  const Fold& fold_;
  std::vector<char> buffer_;
};

} // namespace

std::optional<Fold> Fold::of(const mx::Reduce& reduce, mx::Dtype from, mx::Dtype to) {
  auto operation = operation_of(reduce, from);
  return operation && from == to ? Fold::by(*operation, from) : std::nullopt;
}

std::optional<Fold> Fold::by(Operation operation, mx::Dtype from) {
  bool half = from == mx::float16 || from == mx::bfloat16;
  auto computed = half ? mx::float32 : from;
  auto& numbers = row_kernels().numbers;
  auto kernel = numbers.of(operation, computed.val());
  if (!kernel) {
    return std::nullopt;
  }
  auto widen = half ? numbers.conversion(from.val(), computed.val()) : nullptr;
  auto narrow = half ? numbers.conversion(computed.val(), from.val()) : nullptr;
  return Fold{kernel, widen, narrow, static_cast<int>(from.size()), static_cast<int>(computed.size())};
}

Fold Fold::of_wide() const {
  return {kernel, nullptr, nullptr, wide, wide};
}

void Fold::fold_row(const char* data, int64_t length, char* out) const {
  int64_t width = 1;
  while (width < most_width && 2 * width <= length) {
    width *= 2;
  }
  Widened widened(*this);
  char sums[most_width * 8];
  std::memcpy(sums, widened(data, width), width * wide);
  for (int64_t begin = width; begin < length; begin += width) {
    int64_t count = std::min(width, length - begin);
    const void* in[] = {sums, widened(data + begin * stored, count)};
    kernel(in, sums, count);
  }
  for (int64_t half = width / 2; half > 0; half /= 2) {
    const void* in[] = {sums, sums + half * wide};
    kernel(in, sums, half);
  }
  std::memcpy(out, sums, wide);
}

// The folds of up to most_columns columns of rows that lie `stride` numbers apart.
void Fold::fold_columns(const char* data, int64_t rows, int64_t stride, int64_t columns, char* out) const {
  Widened widened(*this, columns);
  std::memcpy(out, widened(data, columns), columns * wide);
  for (int64_t row = 1; row < rows; row++) {
    const void* in[] = {out, widened(data + row * stride * stored, columns)};
    kernel(in, out, columns);
  }
}

void Fold::run(const char* data, int64_t outer, int64_t length, int64_t inner, char* out) const {
  int64_t width = std::min(inner, most_columns), rows = std::min(length, std::max<int64_t>(part_size / width, least_rows));
  int64_t parts = (length + rows - 1) / rows, blocks = (inner + width - 1) / width;
  bool last = parts == 1 && !narrow;
  std::vector<char> made(last ? 0 : outer * parts * inner * wide);
  char* to = last ? out : made.data();
  parallel_for(outer * parts * blocks, std::max<int64_t>(1, part_size / (rows * width)), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      int64_t block = i % blocks, place = i / blocks, first = place % parts * rows, column = block * width;
      auto from = data + ((place / parts * length + first) * inner + column) * stored;
      auto target = to + (place * inner + column) * wide;
      int64_t count = std::min(rows, length - first);
      inner == 1 ? fold_row(from, count, target) : fold_columns(from, count, inner, std::min(width, inner - column), target);
    }
  });
  if (parts > 1) {
    auto rest = of_wide();
    rest.narrow = narrow;
    rest.stored = wide;
    rest.run(to, outer, parts, inner, out);
  } else if (narrow) {
    const void* in[] = {to};
    narrow(in, out, outer * inner);
  }
}

std::optional<FoldToPlace> FoldToPlace::of(const mx::ArgReduce& reduce, mx::Dtype from) {
  bool largest = reduce.state().first == mx::ArgReduce::ArgMax, half = from == mx::float16 || from == mx::bfloat16;
  auto fold = Fold::by(largest ? Operation::Maximum : Operation::Minimum, from);
  auto equal = row_kernels().numbers.of(Operation::NaNEqual, (half ? mx::float32 : from).val());
  return fold ? std::optional(FoldToPlace{*fold, equal}) : std::nullopt;
}

uint32_t FoldToPlace::place(const char* row, int64_t length) const {
  char extremes[most_looked_at * 8], hits[most_looked_at];
  int64_t width = std::min(length, most_looked_at);
  fold.fold_row(row, length, extremes);
  for (int64_t filled = 1; filled < width; filled *= 2) {
    std::memcpy(extremes + filled * fold.wide, extremes, std::min(filled, width - filled) * fold.wide);
  }
  Widened widened(fold);
  for (int64_t begin = 0; begin < length; begin += width) {
    int64_t count = std::min(width, length - begin);
    const void* in[] = {widened(row + begin * fold.stored, count), extremes};
    equal(in, hits, count);
    if (auto found = std::memchr(hits, 1, count)) {
      return begin + (static_cast<char*>(found) - hits);
    }
  }
  // Only numbers that change meanwhile have no extreme among them.
  return 0;
}

bool FoldToPlace::run(int axis, const mx::array& a, mx::array& out, mx::Stream s) const {
  int64_t length = a.shape(axis);
  if (!a.flags().row_contiguous || axis + 1 != static_cast<int>(a.ndim()) || length < 32) {
    return false;
  }
  allocate(out);
  over_rows(s, a.size() / length, length, [=, *this, data = a.data<char>(), to = out.data<uint32_t>()](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) {
      to[row] = place(data + row * length * fold.stored, length);
    }
  });
  return true;
}

bool fold(const Fold& fold, const std::vector<int>& axes, const mx::array& a, mx::array& out, mx::Stream s) {
  bool run = a.flags().row_contiguous && !axes.empty() && axes.back() - axes.front() + 1 == static_cast<int>(axes.size());
  if (!run) {
    return false;
  }
  int64_t sizes[3] = {1, 1, 1};
  for (int axis = 0; axis < static_cast<int>(a.ndim()); axis++) {
    sizes[axis < axes.front() ? 0 : axis <= axes.back() ? 1 : 2] *= a.shape(axis);
  }
  auto [outer, length, inner] = sizes;
  // Of a few numbers MLX makes one as fast.
  if (length < 2 || (inner < 16 && (inner > 1 || length < 32))) {
    return false;
  }
  allocate(out);
  on_stream(s, [=, data = a.data<char>(), to = out.data<char>()] { fold.run(data, outer, length, inner, to); });
  return true;
}

} // namespace mlxffi
