#include "packing.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include "aligned.h"

namespace mlxffi {

namespace {

using Mode = mx::QuantizationMode;
using Table = std::array<float, 256>;

// Powers of 2, the smallest of them below what is normal.
Table powers() {
  Table table;
  for (uint32_t code = 0; code < 256; code++) {
    uint32_t bits = code ? code << 23 : 1u << 22;
    std::memcpy(&table[code], &bits, sizeof(float));
  }
  return table;
}

Table small_floats() {
  Table table;
  std::array<uint8_t, 256> codes;
  for (int code = 0; code < 256; code++) {
    codes[code] = code;
  }
  const float one = 1;
  row_kernels().products.unpack[static_cast<int>(Codes::float8)]({codes.data(), &one, nullptr, 1, 256}, table.data());
  return table;
}

// What a byte means as the scale of a group of floats.
const Table& byte_scales(Mode mode) {
  static const Table exponents = powers(), floats = small_floats();
  return mode == Mode::Nvfp4 ? floats : exponents;
}

// Rows whose scales and biases are widened at once, while those of as many more are fetched.
constexpr int64_t widened_rows = 16, cache_line = 64;

// What a thread needs while it unpacks; kept, since fresh memory would cost more than what is done with it.
struct Scratch {
  std::vector<char> numbers, scale_rows, bias_rows;
  std::vector<float> scales, biases;
};

Scratch& scratch() {
  thread_local Scratch the_scratch;
  return the_scratch;
}

const float* widened(const void* from, mx::Dtype dtype, int64_t count, std::vector<float>& to) {
  if (dtype == mx::float32) {
    return static_cast<const float*>(from);
  }
  to.resize(std::max<size_t>(to.size(), count));
  row_kernels().layers.widen[static_cast<int>(element_of(dtype))](from, to.data(), count);
  return to.data();
}

const float* from_bytes(const void* from, Mode mode, int64_t count, std::vector<float>& to) {
  auto& table = byte_scales(mode);
  auto codes = static_cast<const uint8_t*>(from);
  to.resize(std::max<size_t>(to.size(), count));
  for (int64_t i = 0; i < count; i++) {
    to[i] = table[codes[i]];
  }
  return to.data();
}

} // namespace

bool rounds_rows() {
  static const bool asked = [] {
    std::string setting = std::getenv("MLXFFI_INT8_ACTIVATIONS") ? std::getenv("MLXFFI_INT8_ACTIVATIONS") : "";
    if (setting != "" && setting != "0" && setting != "1") {
      throw std::invalid_argument("MLXFFI_INT8_ACTIVATIONS: expected 0 or 1, got \"" + setting + "\"");
    }
    return setting == "1";
  }();
  return asked;
}

std::optional<Packing> Packing::find(const std::string& mode, std::optional<int> group_size, std::optional<int> bits) {
  static const std::pair<const char*, Packing> defaults[] = {
      {"affine", {64, 4, Mode::Affine}}, {"mxfp4", {32, 4, Mode::Mxfp4}}, {"mxfp8", {32, 8, Mode::Mxfp8}}, {"nvfp4", {16, 4, Mode::Nvfp4}}};
  for (auto& [name, packing] : defaults) {
    if (mode == name) {
      return Packing{group_size.value_or(packing.group_size), bits.value_or(packing.bits), packing.mode};
    }
  }
  return std::nullopt;
}

Packing Packing::of(const std::string& mode, std::optional<int> group_size, std::optional<int> bits) {
  if (auto found = find(mode, group_size, bits)) {
    return *found;
  }
  throw std::invalid_argument("mode: expected affine, mxfp4, mxfp8 or nvfp4, got \"" + mode + "\"");
}

std::string Packing::name() const {
  switch (mode) {
    case Mode::Mxfp4:
      return "mxfp4";
    case Mode::Mxfp8:
      return "mxfp8";
    case Mode::Nvfp4:
      return "nvfp4";
    default:
      return "affine";
  }
}

Codes Packing::codes() const {
  return affine() ? static_cast<Codes>(bits - 1) : bits == 8 ? Codes::float8 : Codes::float4;
}

PackedMatrices::PackedMatrices(const mx::array& numbers, const mx::array& scales, const std::optional<mx::array>& biases, Packing packing)
    : packing_(packing),
      numbers_(numbers),
      scales_(scales),
      biases_(biases ? std::optional(RowsOf(*biases)) : std::nullopt),
      dtype_(scales.dtype()),
      rows_(numbers.shape(-2)),
      groups_(scales.shape(-1)),
      dense_(numbers.flags().row_contiguous && scales.flags().row_contiguous && (!biases || biases->flags().row_contiguous)) {}

void PackedMatrices::unpack(int64_t matrix, Range rows, Range columns, float* out) const {
  int64_t first = columns.begin / packing_.group_size, groups = columns.size() / packing_.group_size;
  // Rows of groups that all lie side by side are one.
  int64_t together = dense_ && groups == groups_ ? rows.size() : 1;
  for (int64_t row = rows.begin; row < rows.end; row += together, out += together * columns.size()) {
    auto packed = groups_at(matrix * rows_ + row, first, together * groups);
    row_kernels().products.unpack[static_cast<int>(packing_.codes())](packed, out);
  }
}

bool PackedMatrices::by_pairs() const {
  bool fits = packing_.codes() == Codes::whole4 && dtype_ == mx::bfloat16 && dense_ && columns() % nibble_block == 0;
  return fits && row_kernels().products.pairs.nibble_dots;
}

bool PackedMatrices::rounds(RowKind kind) const {
  return kind.rounded && fitting(row_kernels().products.int8);
}

void PackedMatrices::dots(int64_t matrix, Range rows, RowBlock x, RowKind kind, float* out, int64_t out_stride) const {
  int64_t first = matrix * rows_ + rows.begin;
  bool rounding = rounds(kind);
  if (!rounding && kind.of_bfloat16 && by_pairs()) {
    return dots_of_pairs(first, rows.size(), x, out, out_stride);
  }
  auto splitting = fitting(rounding ? row_kernels().products.int8 : row_kernels().products.words);
  if (!splitting) {
    return dots_of_floats(first, rows.size(), x, out, out_stride);
  }
  for (int64_t i = 0; i < x.count; i += most_split_rows, out += most_split_rows * out_stride) {
    RowBlock some{static_cast<const float*>(x.data) + i * x.stride, x.stride, std::min(most_split_rows, x.count - i)};
    if (dots_of_split(*splitting, first, rows.size(), some, out, out_stride)) {
      continue;
    }
    if (!rounding) {
      dots_of_floats(first, rows.size(), some, out, out_stride);
      continue;
    }
    for (int64_t j = 0; j < some.count; j++) {
      RowBlock row{static_cast<const float*>(some.data) + j * x.stride, x.stride, 1};
      dots(matrix, rows, row, {kind.of_bfloat16, some.count > 1}, out + j * out_stride, out_stride);
    }
  }
}

const SplitKernels* PackedMatrices::fitting(const ByWidth& kernels) const {
  if (!dense_ || !packing_.affine()) {
    return nullptr;
  }
  auto& fit = kernels[packing_.bits - 1];
  return fit.dots && columns() % fit.block == 0 ? &fit : nullptr;
}

bool PackedMatrices::dots_of_split(const SplitKernels& kernels, int64_t first, int64_t count, RowBlock x, float* out, int64_t out_stride) const {
  int64_t size = kernels.split_size(columns(), packing_.group_size);
  thread_local AlignedFloats memory;
  auto split = memory.get(most_split_rows * size);
  for (int64_t j = 0; j < x.count; j++) {
    if (!kernels.split(static_cast<const float*>(x.data) + j * x.stride, columns(), packing_.group_size, split + j * size)) {
      return false;
    }
  }
  in_parts(count, widened_rows, [&](Range part) {
    fetch_groups(first + part.end, widened_rows);
    auto packed = groups_at(first + part.begin, 0, part.size() * groups_);
    packed.groups = groups_;
    kernels.dots({split, size, x.count}, packed, part.size(), out + part.begin, out_stride);
  });
  return true;
}

void PackedMatrices::fetch_groups(int64_t first, int64_t count) const {
  auto& kept = scratch();
  for (auto* rows : {&scales_, &*biases_}) {
    auto from = static_cast<const char*>(rows->row(first < numbers_.count() ? first : 0, kept.scale_rows));
    for (int64_t i = 0; i < static_cast<int64_t>(count * groups_ * mx::size_of(dtype_)); i += cache_line) {
      __builtin_prefetch(from + i);
    }
  }
}

void PackedMatrices::dots_of_floats(int64_t first, int64_t count, RowBlock x, float* out, int64_t out_stride) const {
  int64_t together = dense_ ? count : 1;
  for (int64_t row = 0; row < count; row += together) {
    auto packed = groups_at(first + row, 0, together * groups_);
    packed.groups = groups_;
    row_kernels().products.packed_dots[static_cast<int>(packing_.codes())](x, packed, together, out + row, out_stride);
  }
}

void PackedMatrices::dots_of_pairs(int64_t first, int64_t count, RowBlock x, float* out, int64_t out_stride) const {
  auto& kernels = row_kernels().products.pairs;
  auto& kept = scratch();
  auto at = [&](const RowsOf& rows) { return rows.row(first, kept.numbers); };
  auto codes = static_cast<const uint8_t*>(at(numbers_));
  NibbleGroups row{codes, static_cast<const uint16_t*>(at(scales_)), static_cast<const uint16_t*>(at(*biases_)), groups_, packing_.group_size};
  std::vector<uint16_t> numbers(columns());
  std::vector<float> sums(groups_);
  for (int64_t i = 0; i < x.count; i++) {
    auto from = static_cast<const float*>(x.data) + i * x.stride;
    kernels.split(from, columns(), packing_.group_size, numbers.data(), sums.data());
    // What is infinite would be taken off itself.
    if (std::all_of(sums.begin(), sums.end(), [](float sum) { return std::isfinite(sum); })) {
      kernels.nibble_dots(numbers.data(), sums.data(), row, count, out + i * out_stride);
    } else {
      dots_of_floats(first, count, {from, x.stride, 1}, out + i * out_stride, out_stride);
    }
  }
}

PackedGroups PackedMatrices::groups_at(int64_t row, int64_t first_group, int64_t count) const {
  auto& kept = scratch();
  auto group = [&](const RowsOf& rows, std::vector<char>& copy, int64_t bytes) {
    return static_cast<const char*>(rows.row(row, copy)) + first_group * bytes;
  };
  auto numbers = group(numbers_, kept.numbers, packing_.group_size * packing_.bits / 8);
  auto scales = group(scales_, kept.scale_rows, packing_.affine() ? mx::size_of(dtype_) : 1);
  PackedGroups packed{reinterpret_cast<const uint8_t*>(numbers), nullptr, nullptr, count, packing_.group_size};
  if (packing_.affine()) {
    packed.scales = widened(scales, dtype_, count, kept.scales);
    packed.biases = widened(group(*biases_, kept.bias_rows, mx::size_of(dtype_)), dtype_, count, kept.biases);
  } else {
    packed.scales = from_bytes(scales, packing_.mode, count, kept.scales);
  }
  return packed;
}

} // namespace mlxffi
