// The kernels of reductions, with what is folded in registers.
#pragma once

#include "../fold_rows.h"
#include "elementwise.h"
#include "log_sums.h"

namespace mlxffi {
namespace {

// Numbers that are computed with as they are stored.
template <class T>
struct Plain {
  using Stored = T;
  using Lane = T;
  MLXFFI_INLINE static Vector<T> load(const T* from) {
    return read_as<Vector<T>>(from);
  }
};

// The first `count` numbers, and 0 behind them.
template <class E>
MLXFFI_INLINE VectorFor<E> part(const typename E::Stored* from, int64_t count) {
  typename E::Stored numbers[lanes_of<E>] = {};
  std::memcpy(numbers, from, count * sizeof(typename E::Stored));
  return E::load(numbers);
}

// --- folds ---

// The numbers of 64 bytes, in as many vectors as that takes: the order in which a row is folded, and so the result to the
// last bit, is that of AVX512 on every CPU.
template <class T>
struct Group {
  static constexpr int parts = 64 / MLXFFI_VECTOR_BYTES, width = parts * lanes<T>;
  Vector<T> part[parts];
};

template <class E>
MLXFFI_INLINE auto load_group(const typename E::Stored* from) {
  Group<typename E::Lane> group;
  MLXFFI_UNROLLED
  for (int k = 0; k < group.parts; k++) {
    group.part[k] = E::load(from + k * lanes_of<E>);
  }
  return group;
}

template <class F, class T>
MLXFFI_INLINE void fold_in(Group<T>& sums, const Group<T>& values) {
  MLXFFI_UNROLLED
  for (int k = 0; k < sums.parts; k++) {
    sums.part[k] = F::template of<T>(sums.part[k], values.part[k]);
  }
}

// What is left of a row, fewer numbers than a group has.
template <class F, class E>
MLXFFI_INLINE void fold_rest(Group<typename E::Lane>& sums, const typename E::Stored* from, int64_t count) {
  using T = typename E::Lane;
  for (int k = 0; count > 0; k++, from += lanes<T>, count -= lanes<T>) {
    int64_t some = count < lanes<T> ? count : lanes<T>;
    T so_far[lanes<T>];
    put(so_far, sums.part[k]);
    put(so_far, F::template of<T>(sums.part[k], part<E>(from, some)), some * sizeof(T));
    sums.part[k] = read_as<Vector<T>>(so_far);
  }
}

template <int shift, class V, int... i>
MLXFFI_INLINE V turned(V x, std::integer_sequence<int, i...>) {
  constexpr int count = sizeof...(i);
  return __builtin_shufflevector(x, x, ((i + shift) % count)...);
}

// All numbers of a vector, in halves.
template <class F, class T, int half = lanes<T> / 2>
MLXFFI_INLINE T fold_vector(Vector<T> values) {
  if constexpr (half == 0) {
    return values[0];
  } else {
    auto upper = turned<half>(values, std::make_integer_sequence<int, lanes<T>>());
    return fold_vector<F, T, half / 2>(F::template of<T>(values, upper));
  }
}

template <class F, class T>
MLXFFI_INLINE Vector<T> fold_parts(Group<T> sums) {
  MLXFFI_UNROLLED
  for (int half = sums.parts / 2; half > 0; half /= 2) {
    for (int k = 0; k < half; k++) {
      sums.part[k] = F::template of<T>(sums.part[k], sums.part[k + half]);
    }
  }
  return sums.part[0];
}

// The first numbers of a row of at least a group, as many as there are whole blocks of several groups, or one group; `done`
// is how many these are.
template <class F, class E>
MLXFFI_INLINE auto fold_blocks(const typename E::Stored* numbers, int64_t size, int64_t& done) {
  using T = typename E::Lane;
  constexpr int side_by_side = 4, width = Group<T>::width, block = side_by_side * width;
  if (size < block) {
    done = width;
    return load_group<E>(numbers);
  }
  Group<T> sums[side_by_side];
  MLXFFI_UNROLLED
  for (int k = 0; k < side_by_side; k++) {
    sums[k] = load_group<E>(numbers + k * width);
  }
  for (done = block; done + block <= size; done += block) {
    MLXFFI_UNROLLED
    for (int k = 0; k < side_by_side; k++) {
      fold_in<F>(sums[k], load_group<E>(numbers + done + k * width));
    }
  }
  MLXFFI_UNROLLED
  for (int half = side_by_side / 2; half > 0; half /= 2) {
    for (int k = 0; k < half; k++) {
      fold_in<F>(sums[k], sums[k + half]);
    }
  }
  return sums[0];
}

template <class F, class E>
void fold_row(const void* row, int64_t size, void* out) {
  using T = typename E::Lane;
  constexpr int width = Group<T>::width;
  auto numbers = static_cast<const typename E::Stored*>(row);
  if (size < width) {
    Vector<T> sum = part<E>(numbers, 1);
    for (int64_t i = 1; i < size; i++) {
      sum = F::template of<T>(sum, part<E>(numbers + i, 1));
    }
    put(out, sum, sizeof(T));
    return;
  }
  int64_t i;
  auto sums = fold_blocks<F, E>(numbers, size, i);
  for (; i + width <= size; i += width) {
    fold_in<F>(sums, load_group<E>(numbers + i));
  }
  fold_rest<F, E>(sums, numbers + i, size - i);
  T sum = fold_vector<F, T>(fold_parts<F>(sums));
  __builtin_memcpy(out, &sum, sizeof(T));
}

template <class F, class E>
void fold_into(const void* const* in, void* out, int64_t size) {
  using T = typename E::Lane;
  auto sums = static_cast<const T*>(in[0]);
  auto numbers = static_cast<const typename E::Stored*>(in[1]);
  auto to = static_cast<T*>(out);
  each<T>(size, [&](int64_t i, int count) MLXFFI_INLINED {
    auto values = count == lanes<T> ? E::load(numbers + i) : part<E>(numbers + i, count);
    put(to + i, F::template of<T>(get(sums + i, count), values), count * sizeof(T));
  });
}

// --- extremes ---

// A NaN is more extreme than any number, and no more than another.
template <bool largest>
struct MoreExtreme {
  template <class V>
  MLXFFI_INLINE static auto of(V x, V best) {
    if constexpr (largest) {
      return ((x <= best) == 0) & (best == best);
    } else {
      return ((x >= best) == 0) & (best == best);
    }
  }
};

// The first lane of a comparison's result that is true; -1 where none is.
template <class Mask>
MLXFFI_INLINE int first_true(Mask mask, int count) {
  auto words = bits_as<Vector<int64_t>>(mask);
  unsigned bits = bits_of(words != 0);
  if (bits == 0) {
    return -1;
  }
  constexpr int width = 8 * sizeof(mask[0]);
  int word = __builtin_ctz(bits), lane = (64 * word + __builtin_ctzll(words[word])) / width;
  return lane < count ? lane : -1;
}

// The place of the first numbers for which `is_wanted` is true.
template <class E, class IsWanted>
MLXFFI_INLINE int64_t find_first(const typename E::Stored* numbers, int64_t size, IsWanted is_wanted) {
  constexpr int width = lanes_of<E>, side_by_side = 4;
  int64_t i = 0;
  for (; i + side_by_side * width <= size; i += side_by_side * width) {
    auto hit = is_wanted(E::load(numbers + i));
    MLXFFI_UNROLLED
    for (int k = 1; k < side_by_side; k++) {
      hit |= is_wanted(E::load(numbers + i + k * width));
    }
    if (any_of(bits_as<Vector<int64_t>>(hit) != 0)) {
      break;
    }
  }
  for (; i < size; i += width) {
    int count = size - i < width ? size - i : width;
    int lane = first_true(is_wanted(count == width ? E::load(numbers + i) : part<E>(numbers + i, count)), count);
    if (lane >= 0) {
      return i + lane;
    }
  }
  return -1;
}

template <class E, class T = typename E::Lane>
MLXFFI_INLINE int64_t find(const typename E::Stored* numbers, int64_t size, T wanted) {
  return wanted == wanted ? find_first<E>(numbers, size, [=](Vector<T> x) MLXFFI_INLINED { return x == all(wanted); })
                          : find_first<E>(numbers, size, [](Vector<T> x) MLXFFI_INLINED { return x != x; });
}

// Looks for the number only in the first block of a row that has it.
template <class E, bool largest>
int64_t place_of_row(const void* row, int64_t size, void* value) {
  using T = typename E::Lane;
  using F = std::conditional_t<largest, Maximum, Minimum>;
  using More = MoreExtreme<largest>;
  constexpr int64_t block = 64 * Group<T>::width;
  auto numbers = static_cast<const typename E::Stored*>(row);
  int64_t first = 0, i = block, done;
  T best, rest;
  fold_row<F, E>(numbers, size < block ? size : block, &best);
  for (; i + block <= size; i += block) {
    Vector<T> values = fold_parts<F>(fold_blocks<F, E>(numbers + i, block, done));
    if (any_of(bits_as<Vector<int64_t>>(More::of(values, all(best))) != 0)) {
      best = fold_vector<F, T>(values);
      first = i;
    }
  }
  if (i < size) {
    fold_row<F, E>(numbers + i, size - i, &rest);
    first = More::of(rest, best) ? i : first;
    best = More::of(rest, best) ? rest : best;
  }
  __builtin_memcpy(value, &best, sizeof(T));
  return find<E>(numbers + first, size - first < block ? size - first : block, best) + first;
}

template <class E, bool largest>
void places_of_columns(const void* row, int64_t size, uint32_t index, void* best, uint32_t* places) {
  using T = typename E::Lane;
  using Indices = typename VectorOf<int32_t, 4 * lanes<T>>::Type;
  auto numbers = static_cast<const typename E::Stored*>(row);
  auto so_far = static_cast<T*>(best);
  Indices here = static_cast<int32_t>(index) - Indices{};
  each<T>(size, [&](int64_t i, int count) MLXFFI_INLINED {
    Vector<T> x = count == lanes<T> ? E::load(numbers + i) : part<E>(numbers + i, count), old = get(so_far + i, count);
    auto better = MoreExtreme<largest>::of(x, old);
    Indices before{};
    __builtin_memcpy(&before, places + i, count * sizeof(uint32_t));
    auto chosen = __builtin_convertvector(better, Indices) != 0;
    put(so_far + i, Vector<T>(better ? x : old), count * sizeof(T));
    put(places + i, Indices(chosen ? here : before), count * sizeof(uint32_t));
  });
}

// --- the tables ---

// What `make` gives for the elements of a type.
template <class Make>
auto of_elements(TypeOfNumbers type, Make make) -> decltype(make(Float32())) {
  switch (type) {
    case TypeOfNumbers::float16:
      return make(Float16());
    case TypeOfNumbers::bfloat16:
      return make(BFloat16());
    case TypeOfNumbers::bool_:
    case TypeOfNumbers::uint8:
      return make(Plain<uint8_t>());
    case TypeOfNumbers::uint16:
      return make(Plain<uint16_t>());
    case TypeOfNumbers::uint32:
      return make(Plain<uint32_t>());
    case TypeOfNumbers::uint64:
      return make(Plain<uint64_t>());
    case TypeOfNumbers::int8:
      return make(Plain<int8_t>());
    case TypeOfNumbers::int16:
      return make(Plain<int16_t>());
    case TypeOfNumbers::int32:
      return make(Plain<int32_t>());
    case TypeOfNumbers::int64:
      return make(Plain<int64_t>());
    case TypeOfNumbers::float32:
      return make(Plain<float>());
    case TypeOfNumbers::float64:
      return make(Plain<double>());
    default:
      return nullptr;
  }
}

// What `make` gives for an operation that folds; bools know two of their own.
template <class Kernel, class Make>
Kernel of_folds(Operation operation, TypeOfNumbers type, Make make) {
  if (type == TypeOfNumbers::bool_) {
    return operation == Operation::LogicalAnd ? make(LogicalAnd(), Plain<uint8_t>())
        : operation == Operation::LogicalOr   ? make(LogicalOr(), Plain<uint8_t>())
                                              : nullptr;
  }
  return of_elements(type, [&](auto element) -> Kernel {
    switch (operation) {
      case Operation::Add:
        return make(Add(), element);
      case Operation::Multiply:
        return make(Multiply(), element);
      case Operation::Maximum:
        return make(Maximum(), element);
      case Operation::Minimum:
        return make(Minimum(), element);
      default:
        return nullptr;
    }
  });
}

RowFold row_fold_of(Operation operation, TypeOfNumbers type) {
  return of_folds<RowFold>(operation, type, [](auto f, auto e) -> RowFold { return fold_row<decltype(f), decltype(e)>; });
}

NumbersKernel fold_into_of(Operation operation, TypeOfNumbers type) {
  return of_folds<NumbersKernel>(operation, type, [](auto f, auto e) -> NumbersKernel { return fold_into<decltype(f), decltype(e)>; });
}

PlaceOfRow place_of(bool largest, TypeOfNumbers type) {
  return of_elements(type, [=](auto e) -> PlaceOfRow { return largest ? place_of_row<decltype(e), true> : place_of_row<decltype(e), false>; });
}

PlacesOfColumns places_of(bool largest, TypeOfNumbers type) {
  return of_elements(type, [=](auto e) -> PlacesOfColumns {
    return largest ? places_of_columns<decltype(e), true> : places_of_columns<decltype(e), false>;
  });
}

#define MLXFFI_FOLD_KERNELS \
  { row_fold_of, fold_into_of, place_of, places_of, log_sums }

} // namespace
} // namespace mlxffi
