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

template <class K>
constexpr int64_t keys_of_line = line_bytes / sizeof(K);

// A vector of keys, and how two are put in order, lane by lane.
template <class K>
struct Keys {
  Vector<K> key;

  MLXFFI_INLINE static void order(Keys& low, Keys& high) {
    Vector<K> least = low.key < high.key ? low.key : high.key;
    high.key = low.key < high.key ? high.key : low.key;
    low.key = least;
  }
};

// The same for keys and places, which decide among equal keys.
struct Pairs {
  Vector<uint64_t> key, place;

  MLXFFI_INLINE static void order(Pairs& low, Pairs& high) {
    auto ordered = (low.key < high.key) | ((low.key == high.key) & (low.place < high.place));
    Pairs a = low, b = high;
    low = {ordered ? a.key : b.key, ordered ? a.place : b.place};
    high = {ordered ? b.key : a.key, ordered ? b.place : a.place};
  }
};

template <class K>
struct KeyColumns {
  using Item = Keys<K>;
  static constexpr int64_t width = keys_of_line<K>, step = lanes<K>;
  K* keys;

  MLXFFI_INLINE Item get(int64_t at) const {
    return {read_as<Vector<K>>(keys + at)};
  }
  MLXFFI_INLINE void put(int64_t at, Item item) const {
    mlxffi::put(keys + at, item.key);
  }
};

struct PairColumns {
  using Item = Pairs;
  static constexpr int64_t width = keys_of_line<uint64_t>, step = lanes<uint64_t>;
  uint64_t *keys, *places;

  MLXFFI_INLINE Item get(int64_t at) const {
    return {read_as<Vector<uint64_t>>(keys + at), read_as<Vector<uint64_t>>(places + at)};
  }
  MLXFFI_INLINE void put(int64_t at, Item item) const {
    mlxffi::put(keys + at, item.key);
    mlxffi::put(places + at, item.place);
  }
};

// Batcher's bitonic sorter, in which the lower of two lines always gets the lesser keys: so lines behind the last, which
// would have the largest, can be left out. It goes depth first, for what is merged to be in the cache, and does up to three
// rounds with each line that it loads.
template <class Columns>
class Network {
 public:
  // Of lines that are sorted in registers; lengths are multiples of it.
  static constexpr int64_t block = lines_of_block;

  explicit Network(Columns columns) : columns_(columns) {}

  void sort(int64_t length) const {
    int64_t size = block;
    while (size < length) {
      size *= 2;
    }
    sort(0, length, size);
  }

 private:
  using Item = typename Columns::Item;

  // Loads lines, each `apart` from the next, into registers, a vector of each at a time.
  template <int64_t count, class Body>
  MLXFFI_INLINE void with_lines(int64_t begin, int64_t apart, Body body) const {
    for (int64_t lane = 0; lane < Columns::width; lane += Columns::step) {
      Item items[count];
      MLXFFI_UNROLLED
      for (int64_t i = 0; i < count; i++) {
        items[i] = columns_.get((begin + i * apart) * Columns::width + lane);
      }
      body(items);
      MLXFFI_UNROLLED
      for (int64_t i = 0; i < count; i++) {
        columns_.put((begin + i * apart) * Columns::width + lane, items[i]);
      }
    }
  }

  // The last rounds of a merge, of distances from count / 2 on.
  template <int64_t count>
  MLXFFI_INLINE static void clean(Item* items) {
    MLXFFI_UNROLLED
    for (int64_t k = count / 2; k > 0; k /= 2) {
      MLXFFI_UNROLLED
      for (int64_t i = 0; i < count; i++) {
        if (!(i & k)) {
          Item::order(items[i], items[i + k]);
        }
      }
    }
  }

  template <int64_t size>
  MLXFFI_INLINE static void merge(Item* items) {
    MLXFFI_UNROLLED
    for (int64_t begin = 0; begin < block; begin += size) {
      MLXFFI_UNROLLED
      for (int64_t i = 0; i < size / 2; i++) {
        Item::order(items[begin + i], items[begin + size - 1 - i]);
      }
      clean<size / 2>(items + begin);
      clean<size / 2>(items + begin + size / 2);
    }
  }

  void sort_block(int64_t begin) const {
    with_lines<block>(begin, 1, [](Item* items) MLXFFI_INLINED {
      merge<2>(items);
      merge<4>(items);
      merge<8>(items);
    });
  }

  // `length` lines of `size`, a power of two.
  void sort(int64_t begin, int64_t length, int64_t size) const {
    if (size == block) {
      sort_block(begin);
      return;
    }
    int64_t half = size / 2;
    sort(begin, length < half ? length : half, half);
    if (length > half) {
      sort(begin + half, length - half, half);
      for (int64_t i = size - length; i < half; i++) {
        with_lines<2>(begin + i, size - 1 - 2 * i, [](Item* items) MLXFFI_INLINED { clean<2>(items); });
      }
      clean(begin, half, half);
      clean(begin + half, length - half, half);
    }
  }

  void clean(int64_t begin, int64_t length, int64_t size) const {
    if (size == block) {
      clean_lines<8>(begin, 1, 1);
    } else if (length < size) {
      clean_part(begin, length, size / 2);
    } else if (size == 2 * block) {
      clean_groups<2>(begin, size);
    } else if (size == 4 * block) {
      clean_groups<4>(begin, size);
    } else {
      clean_groups<8>(begin, size);
    }
  }

  void clean_part(int64_t begin, int64_t length, int64_t half) const {
    clean_lines<2>(begin, half, length - half);
    clean(begin, length < half ? length : half, half);
    if (length > half) {
      clean(begin + half, length - half, half);
    }
  }

  template <int64_t count>
  void clean_groups(int64_t begin, int64_t size) const {
    int64_t part = size / count;
    clean_lines<count>(begin, part, part);
    for (int64_t i = 0; i < count; i++) {
      clean(begin + i * part, part, part);
    }
  }

  template <int64_t count>
  void clean_lines(int64_t begin, int64_t apart, int64_t groups) const {
    for (int64_t i = 0; i < groups; i++) {
      with_lines<count>(begin + i, apart, [](Item* items) MLXFFI_INLINED { clean<count>(items); });
    }
  }

  Columns columns_;
};

// Keys behind the last, up to a whole block of lines.
template <class K>
int64_t fill_block(K* keys, int64_t length) {
  int64_t whole = whole_blocks(length);
  for (int64_t i = length * keys_of_line<K>; i < whole * keys_of_line<K>; i++) {
    keys[i] = ~K(0);
  }
  return whole;
}

template <class K>
void sort_columns(void* keys, int64_t length) {
  auto columns = static_cast<K*>(keys);
  Network(KeyColumns<K>{columns}).sort(fill_block(columns, length));
}

void sort_pairs(uint64_t* keys, uint64_t* places, int64_t length) {
  fill_block(places, length);
  Network(PairColumns{keys, places}).sort(fill_block(keys, length));
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

// --- counting ---

template <class K>
int64_t count_below(const void* keys, int64_t size, uint64_t limit) {
  auto from = static_cast<const K*>(keys);
  constexpr int64_t block = 128 * lanes<K>;  // Counts of lanes fit into bytes.
  const auto limits = all(static_cast<K>(limit));
  int64_t sum = 0, begin = 0;
  while (begin + lanes<K> <= size) {
    int64_t end = begin + block < size ? begin + block : size;
    Vector<K> counts{};
    for (; begin + lanes<K> <= end; begin += lanes<K>) {
      counts -= bits_as<Vector<K>>(read_as<Vector<K>>(from + begin) < limits);
    }
    for (int i = 0; i < lanes<K>; i++) {
      sum += counts[i];
    }
  }
  for (; begin < size; begin++) {
    sum += from[begin] < static_cast<K>(limit);
  }
  return sum;
}

#define MLXFFI_FOR_KEYS(kernel) \
  { kernel<uint8_t>, kernel<uint16_t>, kernel<uint32_t>, kernel<uint64_t> }
// Without a comparison of 64 bits, sorting by digits is faster from shorter rows on.
#define MLXFFI_SORT_KERNELS                                                                                           \
  {                                                                                                                   \
    to_keys_of, from_keys_of, MLXFFI_FOR_KEYS(sort_columns), sort_pairs, MLXFFI_FOR_KEYS(transpose),                  \
        MLXFFI_FOR_KEYS(count_below), MLXFFI_VECTOR_BYTES == 16 ? 256 : 256 * MLXFFI_VECTOR_BYTES                     \
  }

} // namespace
} // namespace mlxffi
