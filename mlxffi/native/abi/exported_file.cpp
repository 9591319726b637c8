#include "exported_file.h"

#include <mlx/fast_primitives.h>
#include <mlx/primitives.h>
#include <mlx/version.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <variant>
#include <vector>

namespace mx = mlx::core;

namespace mlxc {

namespace {

// --- the checksum ---

constexpr char mark[] = "mlxffi sum of 8 ";
constexpr size_t mark_size = sizeof mark - 1, seal_size = mark_size + sizeof(uint64_t);

// Of everything before the seal: FNV-1a over words of 64 bits.
uint64_t sum_of(std::istream& in, uint64_t left) {
  uint64_t sum = 0xcbf29ce484222325;
  std::vector<uint64_t> words(1 << 16);
  while (left) {
    size_t bytes = std::min<uint64_t>(left, words.size() * sizeof(uint64_t)), count = (bytes + 7) / 8;
    words[count - 1] = 0;
    in.read(reinterpret_cast<char*>(words.data()), bytes);
    for (size_t i = 0; i < count; i++) {
      sum = (sum ^ words[i]) * 0x100000001b3;
      sum ^= sum >> 32;
    }
    left -= bytes;
  }
  return sum;
}

struct Seal {
  char mark[mark_size];
  uint64_t sum;
};
static_assert(sizeof(Seal) == seal_size);

// --- what MLX writes ---

std::runtime_error damaged(const std::string& what) {
  return std::runtime_error("[import_function] the file is damaged: " + what);
}

template <template <class...> class Template, class Type>
inline constexpr bool is_made_of = false;
template <template <class...> class Template, class... Types>
inline constexpr bool is_made_of<Template, Template<Types...>> = true;

// The values in a file, one after the other.
class Values {
 public:
  Values(std::istream& in, uint64_t size) : in_(in), left_(size) {}

  bool at_end() const {
    return !left_;
  }
  void skip_bytes(uint64_t count) {
    take(count);
    in_.seekg(static_cast<std::streamoff>(count), std::ios::cur);
  }

  template <class Type>
  Type plain() {
    Type value;
    take(sizeof value);
    if (!in_.read(reinterpret_cast<char*>(&value), sizeof value)) {
      throw damaged("it cannot be read to its end");
    }
    return value;
  }
  // Of values of at least one byte each.
  uint64_t count() {
    auto count = plain<uint64_t>();
    return count <= left_ ? count : throw damaged("a length of " + std::to_string(count) + " with " + std::to_string(left_) + " bytes left");
  }
  bool flag() {
    auto byte = plain<unsigned char>();
    return byte < 2 ? byte : throw damaged("a truth value of " + std::to_string(byte));
  }
  std::string text() {
    std::string text(count(), 0);
    take(text.size());
    in_.read(text.data(), static_cast<std::streamsize>(text.size()));
    return text;
  }
  mx::Dtype dtype() {
    static const mx::Dtype known[] = {mx::bool_,   mx::uint8,   mx::uint16,  mx::uint32,  mx::uint64,   mx::int8,    mx::int16,
                                      mx::int32,   mx::int64,   mx::float16, mx::float32, mx::float64,  mx::bfloat16, mx::complex64};
    int number = plain<int>(), size = plain<unsigned char>();
    for (auto& dtype : known) {
      if (static_cast<int>(dtype.val()) == number && mx::size_of(dtype) == size) {
        return dtype;
      }
    }
    throw damaged("a dtype of number " + std::to_string(number) + " and " + std::to_string(size) + " bytes");
  }

  // Whatever MLX writes of a value of this type.
  template <class Type>
  void skip() {
    if constexpr (std::is_same_v<Type, bool>) {
      flag();
    } else if constexpr (std::is_same_v<Type, mx::Dtype>) {
      dtype();
    } else if constexpr (std::is_same_v<Type, std::string>) {
      text();
    } else if constexpr (std::is_arithmetic_v<Type>) {
      plain<Type>();
    } else if constexpr (std::is_enum_v<Type>) {
      plain<int>();
    } else if constexpr (is_made_of<std::optional, Type>) {
      if (flag()) {
        skip<typename Type::value_type>();
      }
    } else if constexpr (is_made_of<std::variant, Type>) {
      skip_one_of(static_cast<Type*>(nullptr));
    } else if constexpr (is_made_of<std::tuple, Type> || is_made_of<std::pair, Type>) {
      skip_all_of<Type>(std::make_index_sequence<std::tuple_size_v<Type>>());
    } else if constexpr (!std::is_same_v<Type, std::nullptr_t>) {
      for (auto left = count(); left; left--) {
        skip<typename Type::value_type>();
      }
    }
  }

 private:
  void take(uint64_t count) {
    left_ = count <= left_ ? left_ - count : throw damaged("it ends before " + std::to_string(count - left_) + " bytes that belong to it");
  }
  template <class Type, size_t... places>
  void skip_all_of(std::index_sequence<places...>) {
    (skip<std::tuple_element_t<places, Type>>(), ...);
  }
  template <class... Types>
  void skip_one_of(std::variant<Types...>*) {
    auto chosen = plain<uint64_t>(), place = uint64_t(0);
    ((place++ == chosen ? skip<Types>() : void()), ...);
    if (chosen >= place) {
      throw damaged("an alternative of number " + std::to_string(chosen));
    }
  }

  std::istream& in_;
  uint64_t left_;
};

// What MLX writes of an operation beside its name: its state.
template <class Operation>
void skip_state(Values& values) {
  if constexpr (requires(const Operation& operation) { operation.state(); }) {
    values.skip<std::decay_t<decltype(std::declval<const Operation&>().state())>>();
  }
}

const std::map<std::string, void (*)(Values&)>& operations() {
  using namespace mx;
  using namespace mx::fast;
#define NAMED(name) {#name, &skip_state<name>}
  static const std::map<std::string, void (*)(Values&)> known{
      NAMED(Abs), NAMED(Add), NAMED(AddMM), NAMED(Arange), NAMED(ArcCos), NAMED(ArcCosh), NAMED(ArcSin), NAMED(ArcSinh),
      NAMED(ArcTan), NAMED(ArcTan2), NAMED(ArcTanh), NAMED(ArgPartition), NAMED(ArgReduce), NAMED(ArgSort), NAMED(AsStrided),
      NAMED(AsType), NAMED(BitwiseBinary), NAMED(BitwiseInvert), NAMED(BlockMaskedMM), NAMED(Broadcast), NAMED(BroadcastAxes),
      NAMED(Ceil), NAMED(Cholesky), NAMED(Concatenate), NAMED(Conjugate), NAMED(Contiguous), NAMED(ConvertFP8),
      NAMED(Convolution), NAMED(Copy), NAMED(Cos), NAMED(Cosh), NAMED(Depends), NAMED(Divide), NAMED(DivMod),
      NAMED(DynamicSlice), NAMED(DynamicSliceUpdate), NAMED(Eig), NAMED(Eigh), NAMED(Equal), NAMED(Erf), NAMED(ErfInv),
      NAMED(Exp), NAMED(ExpandDims), NAMED(Expm1), NAMED(FFT), NAMED(Flatten), NAMED(Floor), NAMED(Full),
      NAMED(Gather), NAMED(GatherAxis), NAMED(GatherMM), NAMED(GatherQMM), NAMED(GatherQQMM), NAMED(Greater),
      NAMED(GreaterEqual), NAMED(Hadamard), NAMED(Imag), NAMED(Inverse), NAMED(LayerNorm), NAMED(Less), NAMED(LessEqual),
      NAMED(Log), NAMED(Log1p), NAMED(LogAddExp), NAMED(LogicalAnd), NAMED(LogicalNot), NAMED(LogicalOr), NAMED(LogSumExp),
      NAMED(LUF), NAMED(MaskedScatter), NAMED(Matmul), NAMED(Maximum), NAMED(Minimum), NAMED(Multiply), NAMED(Negative),
      NAMED(NotEqual), NAMED(NumberOfElements), NAMED(Pad), NAMED(Partition), NAMED(Power), NAMED(QQMatmul), NAMED(QRF),
      NAMED(Quantize), NAMED(QuantizedMatmul), NAMED(RandomBits), NAMED(Real), NAMED(Reduce), NAMED(Remainder),
      NAMED(Reshape), NAMED(RMSNorm), NAMED(RoPE), NAMED(Round), NAMED(ScaledDotProductAttention), NAMED(Scan),
      NAMED(Scatter), NAMED(ScatterAxis), NAMED(SearchSorted), NAMED(SegmentedMM), NAMED(Select), NAMED(Sigmoid), NAMED(Sign),
      NAMED(Sin), NAMED(Sinh), NAMED(Slice), NAMED(SliceUpdate), NAMED(Softmax), NAMED(Sort), NAMED(Split), NAMED(Sqrt),
      NAMED(Square), NAMED(Squeeze), NAMED(StopGradient), NAMED(Subtract), NAMED(SVD), NAMED(Tan), NAMED(Tanh),
      NAMED(Transpose), NAMED(Unflatten), NAMED(View),
#if MLX_VERSION_NUMERIC >= 32004
      NAMED(FloorDivide),
#endif
  };
#undef NAMED
  return known;
}

// One trace: inputs, outputs, and the operations and constants between them, each array under a number.
class TraceValues {
 public:
  TraceValues(Values& values, std::set<uint64_t>& constants) : values_(values), constants_(constants) {}

  void skip() {
    values_.skip<std::vector<std::string>>();
    auto inputs = numbers();
    known_.insert(inputs.begin(), inputs.end());
    auto described = values_.count();
    if (described != inputs.size()) {
      throw damaged(std::to_string(described) + " descriptions of " + std::to_string(inputs.size()) + " inputs");
    }
    for (; described; described--) {
      skip_array();
    }
    auto outputs = numbers();
    for (auto left = values_.count(); left; left--) {
      skip_step();
    }
    require(outputs);
  }

 private:
  std::vector<uint64_t> numbers() {
    std::vector<uint64_t> numbers;
    for (auto left = values_.count(); left; left--) {
      numbers.push_back(values_.plain<uint64_t>());
    }
    return numbers;
  }

  void require(const std::vector<uint64_t>& numbers) const {
    for (auto number : numbers) {
      if (!known_.count(number)) {
        throw damaged("an array of number " + std::to_string(number) + ", which nothing makes");
      }
    }
  }

  // The shape and the dtype of an array: its size in bytes.
  uint64_t skip_array() {
    uint64_t elements = 1;
    for (auto left = values_.count(); left; left--) {
      auto size = values_.plain<int>();
      if (size < 0 || __builtin_mul_overflow(elements, static_cast<uint64_t>(size), &elements)) {
        throw damaged("an axis of size " + std::to_string(size));
      }
    }
    return elements * mx::size_of(values_.dtype());
  }

  void skip_step() {
    auto number = values_.plain<uint64_t>();
    if (values_.flag()) {
      skip_operation(number);
    } else if (values_.flag() && constants_.insert(number).second) {
      values_.skip_bytes(skip_array());
    }
    known_.insert(number);
  }

  void skip_operation(uint64_t number) {
    require(numbers());
    skip_stream();
    auto name = values_.text();
    auto found = operations().find(name);
    if (found == operations().end()) {
      throw damaged("an operation of the name " + name.substr(0, 64));
    }
    found->second(values_);
    if (values_.plain<uint64_t>() == 0) {
      skip_array();
      return;
    }
    auto made = numbers();
    if (std::find(made.begin(), made.end(), number) == made.end()) {
      throw damaged("an array of number " + std::to_string(number) + " that is not among those that are made with it");
    }
    known_.insert(made.begin(), made.end());
    values_.skip<std::vector<mx::Shape>>();
    values_.skip<std::vector<mx::Dtype>>();
  }

  void skip_stream() {
    auto index = values_.plain<int>(), type = values_.plain<int>(), device = values_.plain<int>();
    if (index < 0 || device < 0 || (type != 0 && type != 1)) {
      throw damaged("a stream of number " + std::to_string(index) + " of device " + std::to_string(type) + ", " + std::to_string(device));
    }
  }

  Values& values_;
  std::set<uint64_t>& constants_;
  std::set<uint64_t> known_;
};

void check_structure(std::istream& in, uint64_t size) {
  Values values(in, size);
  std::set<uint64_t> constants;
  values.text();
  auto traces = values.plain<int>();
  values.flag();
  values.text();
  for (int i = 0; i < traces; i++) {
    TraceValues(values, constants).skip();
  }
  if (traces < 0 || !values.at_end()) {
    throw damaged("more bytes than " + std::to_string(traces) + " functions take");
  }
}

} // namespace

void seal(const std::string& file) {
  std::fstream stream(file, std::ios::binary | std::ios::in | std::ios::out | std::ios::ate);
  uint64_t size = stream.tellg();
  stream.seekg(0);
  uint64_t sum = sum_of(stream, size);
  stream.seekp(0, std::ios::end);
  stream.write(mark, mark_size).write(reinterpret_cast<const char*>(&sum), sizeof sum);
  if (!stream.flush()) {
    throw std::runtime_error("[export_function] Failed to write " + file);
  }
}

const std::string& intact(const std::string& file) {
  std::ifstream stream(file, std::ios::binary | std::ios::ate);
  if (!stream) {
    return file; // MLX says why
  }
  if (!std::filesystem::is_regular_file(file)) {
    throw std::runtime_error("[import_function] expected a regular file, got " + file);
  }
  uint64_t size = stream.tellg();
  Seal seal{};
  if (size > seal_size) {
    stream.seekg(size - seal_size);
    stream.read(reinterpret_cast<char*>(&seal), seal_size);
  }
  stream.seekg(0);
  if (std::memcmp(seal.mark, mark, mark_size)) {
    check_structure(stream, size);
  } else if (sum_of(stream, size - seal_size) != seal.sum) {
    throw damaged("its checksum is another");
  }
  return file;
}

} // namespace mlxc
