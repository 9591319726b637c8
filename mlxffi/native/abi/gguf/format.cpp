#include "format.h"

#include <stdexcept>

#include "blocks.h"

namespace mlxc::gguf {

namespace {

constexpr uint64_t default_alignment = 32;
constexpr const char* alignment_key = "general.alignment";

struct NumberType {
  ValueType type;
  mx::Dtype dtype;
};

const NumberType number_types[] = {
    {ValueType::uint8, mx::uint8},     {ValueType::int8, mx::int8},     {ValueType::uint16, mx::uint16},
    {ValueType::int16, mx::int16},     {ValueType::uint32, mx::uint32}, {ValueType::int32, mx::int32},
    {ValueType::float32, mx::float32}, {ValueType::boolean, mx::bool_}, {ValueType::uint64, mx::uint64},
    {ValueType::int64, mx::int64},     {ValueType::float64, mx::float64},
};

// The exponents of MXFP4 are those of bfloat16, which holds every one of its numbers.
const TensorType tensor_types[] = {
    {0, "F32", 1, 4, mx::float32},
    {1, "F16", 1, 2, mx::float16},
    {24, "I8", 1, 1, mx::int8},
    {25, "I16", 1, 2, mx::int16},
    {26, "I32", 1, 4, mx::int32},
    {27, "I64", 1, 8, mx::int64},
    {28, "F64", 1, 8, mx::float64},
    {30, "BF16", 1, 2, mx::bfloat16},
    {2, "Q4_0", 32, 18, std::nullopt, nullptr, pack_q4_0},
    {3, "Q4_1", 32, 20, std::nullopt, nullptr, pack_q4_1},
    {8, "Q8_0", 32, 34, std::nullopt, nullptr, pack_q8_0},
    {6, "Q5_0", 32, 22, mx::float16, decode_q5_0},
    {7, "Q5_1", 32, 24, mx::float16, decode_q5_1},
    {10, "Q2_K", 256, 84, mx::float16, decode_q2_k},
    {11, "Q3_K", 256, 110, mx::float16, decode_q3_k},
    {12, "Q4_K", 256, 144, mx::float16, decode_q4_k},
    {13, "Q5_K", 256, 176, mx::float16, decode_q5_k},
    {14, "Q6_K", 256, 210, mx::float16, decode_q6_k},
    {20, "IQ4_NL", 32, 18, mx::float16, decode_iq4_nl},
    {23, "IQ4_XS", 256, 136, mx::float16, decode_iq4_xs},
    {39, "MXFP4", 32, 17, mx::bfloat16, decode_mxfp4},
};

// Types that are not read.
const struct {
  uint32_t number;
  const char* name;
} other_types[] = {
    {9, "Q8_1"},   {15, "Q8_K"},  {16, "IQ2_XXS"}, {17, "IQ2_XS"}, {18, "IQ3_XXS"}, {19, "IQ1_S"}, {21, "IQ3_S"},
    {22, "IQ2_S"}, {29, "IQ1_M"}, {34, "TQ1_0"},   {35, "TQ2_0"},  {40, "NVFP4"},
};

std::string name_of_other(uint32_t number) {
  for (auto& other : other_types) {
    if (other.number == number) {
      return std::string(other.name) + " (" + std::to_string(number) + ")";
    }
  }
  return "number " + std::to_string(number);
}

} // namespace

std::optional<mx::Dtype> dtype_of(ValueType type) {
  for (auto& number : number_types) {
    if (number.type == type) {
      return number.dtype;
    }
  }
  return std::nullopt;
}

std::optional<ValueType> value_type_of(mx::Dtype dtype) {
  for (auto& number : number_types) {
    if (number.dtype == dtype) {
      return number.type;
    }
  }
  return std::nullopt;
}

const TensorType& tensor_type(uint32_t number) {
  for (auto& type : tensor_types) {
    if (type.number == number) {
      return type;
    }
  }
  std::string known;
  for (auto& type : tensor_types) {
    known += std::string(known.empty() ? "" : ", ") + type.name;
  }
  throw std::runtime_error("expected one of the types " + known + ", got the type " + name_of_other(number));
}

const TensorType* tensor_type_of(mx::Dtype dtype) {
  for (auto& type : tensor_types) {
    if (type.elements == 1 && type.dtype == dtype) {
      return &type;
    }
  }
  return nullptr;
}

uint64_t alignment_of(const Metadata& metadata) {
  auto found = metadata.find(alignment_key);
  if (found == metadata.end()) {
    return default_alignment;
  }
  auto* value = std::get_if<mx::array>(&found->second);
  uint32_t alignment = value && value->dtype() == mx::uint32 && !value->ndim() ? *value->data<uint32_t>() : 0;
  if (!std::has_single_bit(alignment)) {
    throw std::runtime_error(std::string("metadata `") + alignment_key + "`: expected a power of two as uint32");
  }
  return alignment;
}

} // namespace mlxc::gguf
