// Keys of numbers, and a sorting network on the lanes of vectors.
#pragma once

#include <utility>

#include "../sort_rows.h"
#include "elementwise.h"

namespace mlxffi {
namespace {

// --- keys ---

template <class K>
constexpr K top_bit = K(1) << (8 * sizeof(K) - 1);

// Of floating point numbers, by their bits: those of an infinity are given.
template <class K, K infinity>
bool floats_to_keys(void* numbers, int64_t size) {
  auto keys = static_cast<K*>(numbers);
  Vector<K> special{};
  each<K>(size, [&](int64_t i, int count) MLXFFI_INLINED {
    Vector<K> bits = get(keys + i, count);
    auto minus_zero = bits_as<Vector<K>>(bits == top_bit<K>), nan = bits_as<Vector<K>>((bits & K(~top_bit<K>)) > infinity);
    bits &= ~minus_zero;
    auto negative = bits_as<Vector<K>>(bits >= top_bit<K>);
    special |= minus_zero | nan;
    put(keys + i, Vector<K>((bits ^ (negative | top_bit<K>)) | nan), count * sizeof(K));
  });
  K any = 0;
  for (int i = 0; i < lanes<K>; i++) {
    any |= special[i];
  }
  return any != 0;
}

template <class K>
void floats_from_keys(void* numbers, int64_t size) {
  auto keys = static_cast<K*>(numbers);
  each<K>(size, [&](int64_t i, int count) MLXFFI_INLINED {
    Vector<K> key = get(keys + i, count);
    auto negative = bits_as<Vector<K>>(key < top_bit<K>);
    put(keys + i, Vector<K>(key ^ (negative | top_bit<K>)), count * sizeof(K));
  });
}

// Of integers with a sign, and back.
template <class K>
void flip_signs(void* numbers, int64_t size) {
  auto keys = static_cast<K*>(numbers);
  each<K>(size, [&](int64_t i, int count) MLXFFI_INLINED { put(keys + i, get(keys + i, count) ^ top_bit<K>, count * sizeof(K)); });
}

template <class K>
bool integers_to_keys(void* numbers, int64_t size) {
  flip_signs<K>(numbers, size);
  return false;
}

bool same_to_keys(void*, int64_t) {
  return false;
}
void same_from_keys(void*, int64_t) {}

struct KeysOfType {
  ToKeys to;
  FromKeys from;
};

KeysOfType keys_of(TypeOfNumbers type) {
  switch (type) {
    case TypeOfNumbers::bool_:
    case TypeOfNumbers::uint8:
    case TypeOfNumbers::uint16:
    case TypeOfNumbers::uint32:
    case TypeOfNumbers::uint64:
      return {same_to_keys, same_from_keys};
    case TypeOfNumbers::int8:
      return {integers_to_keys<uint8_t>, flip_signs<uint8_t>};
    case TypeOfNumbers::int16:
      return {integers_to_keys<uint16_t>, flip_signs<uint16_t>};
    case TypeOfNumbers::int32:
      return {integers_to_keys<uint32_t>, flip_signs<uint32_t>};
    case TypeOfNumbers::int64:
      return {integers_to_keys<uint64_t>, flip_signs<uint64_t>};
    case TypeOfNumbers::float16:
      return {floats_to_keys<uint16_t, 0x7c00>, floats_from_keys<uint16_t>};
    case TypeOfNumbers::bfloat16:
      return {floats_to_keys<uint16_t, 0x7f80>, floats_from_keys<uint16_t>};
    case TypeOfNumbers::float32:
      return {floats_to_keys<uint32_t, 0x7f800000>, floats_from_keys<uint32_t>};
    case TypeOfNumbers::float64:
      return {floats_to_keys<uint64_t, 0x7ff0000000000000>, floats_from_keys<uint64_t>};
    default:
      return {nullptr, nullptr};
  }
}

ToKeys to_keys_of(TypeOfNumbers type) {
  return keys_of(type).to;
}
FromKeys from_keys_of(TypeOfNumbers type) {
  return keys_of(type).from;
}

// --- the network ---

// One round of those below: runs of k are put in order with the next k. A k that is known is not worth a loop.
template <int64_t known, class Order>
MLXFFI_INLINE void exchange_runs(int64_t length, int64_t p, int64_t run, Order order) {
  const int64_t k = known ? known : run;
  for (int64_t begin = k & (p - 1); begin + k < length; begin += 2 * k) {
    // Runs of 2 p are sorted by themselves first.
    if (k < p && ((begin + k) & (2 * p - 1)) == 0) {
      continue;
    }
    if (known && begin + 2 * k <= length) {
      MLXFFI_UNROLLED
      for (int64_t i = 0; i < known; i++) {
        order(begin + i, known);
      }
      continue;
    }
    int64_t end = begin + k < length - k ? begin + k : length - k;
    for (int64_t i = begin; i < end; i++) {
      order(i, k);
    }
  }
}

// Batcher's merge exchange for any length (Knuth, The Art of Computer Programming, 5.2.2, algorithm M): calls order(i, k)
// to put what stands at i and i + k in order.
template <class Order>
MLXFFI_INLINE void merge_exchange(int64_t length, Order order) {
  for (int64_t p = 1; p < length; p *= 2) {
    for (int64_t k = p; k > 4; k /= 2) {
      exchange_runs<0>(length, p, k, order);
    }
    if (p >= 4) {
      exchange_runs<4>(length, p, 4, order);
    }
    if (p >= 2) {
      exchange_runs<2>(length, p, 2, order);
    }
    exchange_runs<1>(length, p, 1, order);
  }
}

template <class K>
constexpr int64_t keys_of_line = line_bytes / sizeof(K);

template <class K>
void sort_columns(void* keys, int64_t length) {
  for (int64_t first = 0; first < keys_of_line<K>; first += lanes<K>) {
    auto column = static_cast<K*>(keys) + first;
    merge_exchange(length, [&](int64_t i, int64_t k) MLXFFI_INLINED {
      K *low = column + i * keys_of_line<K>, *high = low + k * keys_of_line<K>;
      auto a = read_as<Vector<K>>(low), b = read_as<Vector<K>>(high);
      auto ordered = a < b;
      put(low, Vector<K>(ordered ? a : b));
      put(high, Vector<K>(ordered ? b : a));
    });
  }
}

void sort_pairs(uint64_t* keys, uint64_t* places, int64_t length) {
  using V = Vector<uint64_t>;
  constexpr int64_t line = keys_of_line<uint64_t>;
  for (int64_t first = 0; first < line; first += lanes<uint64_t>) {
    merge_exchange(length, [&](int64_t i, int64_t k) MLXFFI_INLINED {
      int64_t low = first + i * line, high = low + k * line;
      auto a = read_as<V>(keys + low), b = read_as<V>(keys + high), place = read_as<V>(places + low), other = read_as<V>(places + high);
      auto ordered = (a < b) | ((a == b) & (place < other));
      put(keys + low, V(ordered ? a : b));
      put(keys + high, V(ordered ? b : a));
      put(places + low, V(ordered ? place : other));
      put(places + high, V(ordered ? other : place));
    });
  }
}

// --- transposing ---

template <int shift, class V, int... i>
MLXFFI_INLINE V interleaved(V a, V b, std::integer_sequence<int, i...>) {
  constexpr int count = sizeof...(i);
  return __builtin_shufflevector(a, b, (i / 2 + i % 2 * count + shift * (count / 2))...);
}

// A square of as many vectors as one has lanes: interleaving the halves exchanges a bit of the row's and the lane's number.
template <class K>
MLXFFI_INLINE void transpose_square(const K* from, int64_t from_stride, K* to, int64_t to_stride) {
  constexpr int count = lanes<K>;
  using Lanes = std::make_integer_sequence<int, count>;
  Vector<K> rows[count], next[count];
  MLXFFI_UNROLLED
  for (int i = 0; i < count; i++) {
    rows[i] = read_as<Vector<K>>(from + i * from_stride);
  }
  MLXFFI_UNROLLED
  for (int step = 1; step < count; step *= 2) {
    MLXFFI_UNROLLED
    for (int i = 0; i < count / 2; i++) {
      next[2 * i] = interleaved<0>(rows[i], rows[i + count / 2], Lanes());
      next[2 * i + 1] = interleaved<1>(rows[i], rows[i + count / 2], Lanes());
    }
    MLXFFI_UNROLLED
    for (int i = 0; i < count; i++) {
      rows[i] = next[i];
    }
  }
  MLXFFI_UNROLLED
  for (int i = 0; i < count; i++) {
    put(to + i * to_stride, rows[i]);
  }
}

template <class K>
void transpose(const void* from, int64_t from_stride, void* to, int64_t to_stride) {
  auto source = static_cast<const K*>(from);
  auto target = static_cast<K*>(to);
  for (int64_t row = 0; row < keys_of_line<K>; row += lanes<K>) {
    for (int64_t column = 0; column < keys_of_line<K>; column += lanes<K>) {
      transpose_square(source + row * from_stride + column, from_stride, target + column * to_stride + row, to_stride);
    }
  }
}

#define MLXFFI_FOR_KEYS(kernel) \
  { kernel<uint8_t>, kernel<uint16_t>, kernel<uint32_t>, kernel<uint64_t> }
#define MLXFFI_SORT_KERNELS                                                                                          \
  {                                                                                                                  \
    to_keys_of, from_keys_of, MLXFFI_FOR_KEYS(sort_columns), sort_pairs, MLXFFI_FOR_KEYS(transpose), 16 * MLXFFI_VECTOR_BYTES \
  }

} // namespace
} // namespace mlxffi
