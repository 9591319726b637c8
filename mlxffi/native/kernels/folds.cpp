#include "folds.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "aligned.h"
#include "copies.h"
#include "pool.h"
#include "recycled.h"
#include "row_access.h"
#include "rows.h"

namespace mlxffi {

namespace {

// Numbers of a row that become one, columns that are folded at a time (in long pieces, which the CPU fetches ahead), rows
// that are folded one after the other, and numbers of a part, which one thread folds.
constexpr int64_t block = 4096, most_columns = 4096, rows_in_turn = 32, part_of_row = 1 << 16, part_of_columns = 1 << 18;

// Numbers that lie otherwise than side by side are copied first, where they are no more than these.
constexpr size_t most_copied = 1 << 16;

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

// The numbers side by side, in a new array.
const char* copied(const mx::array& a, std::optional<mx::array>& copy, mx::Stream s) {
  make_contiguous(a, false, copy.emplace(a.shape(), a.dtype(), nullptr, Arrays()), s);
  return copy->data<char>();
}

char* room_for(int64_t bytes, AlignedFloats& memory) {
  return reinterpret_cast<char*>(memory.get((bytes + 3) / 4));
}

} // namespace

std::optional<Fold> Fold::of(const mx::Reduce& reduce, mx::Dtype from, mx::Dtype to) {
  auto operation = operation_of(reduce, from);
  return operation && from == to ? Fold::by(*operation, from) : std::nullopt;
}

Fold Fold::wide_sums(mx::Dtype from) {
  auto sums = *by(Operation::Add, from);
  sums.narrow = nullptr;
  return sums;
}

std::optional<Fold> Fold::by(Operation operation, mx::Dtype from) {
  bool half = is_half(from);
  auto computed = computed_in(from);
  auto& folds = row_kernels().folds;
  auto row = folds.row(operation, from.val());
  if (!row) {
    return std::nullopt;
  }
  auto& numbers = row_kernels().numbers;
  auto widen = half ? numbers.conversion(from.val(), computed.val()) : nullptr;
  auto narrow = half ? numbers.conversion(computed.val(), from.val()) : nullptr;
  int stored = from.size(), wide = computed.size();
  return Fold{row, folds.into(operation, from.val()), widen, narrow, stored, wide, operation, computed};
}

Fold Fold::of_wide() const {
  return *by(operation, computed);
}

void Fold::fold_row(const char* data, int64_t length, char* out) const {
  if (length < 2 * block) {
    return row(data, length, out);
  }
  std::vector<char> folded((length + block - 1) / block * wide);
  int64_t blocks = 0;
  for (int64_t begin = 0; begin < length; begin += block) {
    row(data + begin * stored, std::min(block, length - begin), folded.data() + blocks++ * wide);
  }
  of_wide().fold_row(folded.data(), blocks, out);
}

// The folds of up to most_columns columns of rows that lie `stride` numbers apart.
void Fold::fold_columns(const char* data, int64_t rows, int64_t stride, int64_t columns, char* out) const {
  if (rows > rows_in_turn) {
    int64_t half = (rows / rows_in_turn + 1) / 2 * rows_in_turn;
    AlignedFloats rest;
    auto sums = room_for(columns * wide, rest);
    fold_columns(data, half, stride, columns, out);
    fold_columns(data + half * stride * stored, rows - half, stride, columns, sums);
    const void* in[] = {out, sums};
    of_wide().into(in, out, columns);
    return;
  }
  if (widen) {
    const void* in[] = {data};
    widen(in, out, columns);
  } else {
    std::memcpy(out, data, columns * wide);
  }
  for (int64_t row = 1; row < rows; row++) {
    const void* in[] = {out, data + row * stride * stored};
    into(in, out, columns);
  }
}

void Fold::run(const char* data, int64_t outer, int64_t length, int64_t inner, char* out) const {
  int64_t width = std::min(inner, most_columns), rows = std::min(length, (inner == 1 ? part_of_row : part_of_columns) / width);
  int64_t parts = (length + rows - 1) / rows, blocks = (inner + width - 1) / width;
  bool last = parts == 1 && !narrow;
  std::vector<char> made(last ? 0 : outer * parts * inner * wide);
  char* to = last ? out : made.data();
  parallel_for(outer * parts * blocks, std::max<int64_t>(1, worth_a_thread / (rows * width)), [&](int64_t begin, int64_t end) {
    AlignedFloats memory;
    auto sums = room_for(width * wide, memory);
    for (int64_t i = begin; i < end; i++) {
      int64_t piece = i % blocks, place = i / blocks, first = place % parts * rows, column = piece * width;
      auto from = data + ((place / parts * length + first) * inner + column) * stored;
      auto target = to + (place * inner + column) * wide;
      int64_t count = std::min(rows, length - first), columns = std::min(width, inner - column);
      inner == 1 ? fold_row(from, count, sums) : fold_columns(from, count, inner, columns, sums);
      std::memcpy(target, sums, columns * wide);
    }
  });
  if (parts > 1) {
    auto rest = of_wide();
    rest.narrow = narrow;
    rest.run(to, outer, parts, inner, out);
  } else if (narrow) {
    const void* in[] = {to};
    narrow(in, out, outer * inner);
  }
}

bool fold(const Fold& fold, const std::vector<int>& axes, const mx::array& a, mx::array& out, mx::Stream s) {
  bool are_neighbours = !axes.empty() && axes.back() - axes.front() + 1 == static_cast<int>(axes.size());
  if (!are_neighbours || (!a.flags().row_contiguous && a.size() > most_copied)) {
    return false;
  }
  auto [outer, length, inner] = AroundAxes(a.shape(), axes.front(), axes.back());
  std::optional<mx::array> copy;
  auto data = a.flags().row_contiguous ? a.data<char>() : copied(a, copy, s);
  allocate(out);
  on_stream(s, [=, kept = copy, to = out.data<char>()] { fold.run(data, outer, length, inner, to); });
  return true;
}

} // namespace mlxffi
