// What the numbers in a GGUF file mean.
#pragma once

#include <bit>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "gguf.h"

namespace mlxc::gguf {

static_assert(std::endian::native == std::endian::little, "GGUF files are little-endian, and so are those who read them here");

constexpr uint32_t magic = 0x46554747; // "GGUF"
constexpr int most_axes = 8;

enum class ValueType : uint32_t { uint8, int8, uint16, int16, uint32, int32, float32, boolean, text, list, uint64, int64, float64 };

// The dtype of a value that is a number.
std::optional<mx::Dtype> dtype_of(ValueType type);
std::optional<ValueType> value_type_of(mx::Dtype dtype);

// One block of a quantised tensor as numbers.
using Decode = void (*)(const uint8_t* block, float* out);
// One block as MLX packs it: its bytes of weights, and what they are scaled and shifted by.
struct Affine {
  float scale, bias;
};
using Pack = Affine (*)(const uint8_t* block, uint8_t* weights);

// How the elements of a tensor lie in a file: in blocks along the last axis, of so many elements and bytes. Blocks of
// one element are numbers of a dtype; others are decoded, to that dtype, or packed.
struct TensorType {
  uint32_t number;
  const char* name;
  uint64_t elements, bytes;
  std::optional<mx::Dtype> dtype;
  Decode decode = nullptr;
  Pack pack = nullptr;
};

// The type of that number. Throws std::runtime_error for one that cannot be read.
const TensorType& tensor_type(uint32_t number);
// The type of numbers of that dtype, or nullptr.
const TensorType* tensor_type_of(mx::Dtype dtype);

struct Tensor {
  std::string name;
  mx::Shape shape;
  const TensorType* type;
  uint64_t offset; // from the start of the file
  uint64_t bytes;
};

using Metadata = std::map<std::string, mx::GGUFMetaData>;

// Of what tensors start at a multiple: 32, or what the metadata says. Throws std::runtime_error for no power of two.
uint64_t alignment_of(const Metadata& metadata);

inline uint64_t aligned(uint64_t position, uint64_t alignment) {
  return (position + alignment - 1) / alignment * alignment;
}

} // namespace mlxc::gguf
