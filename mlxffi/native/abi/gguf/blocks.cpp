#include "blocks.h"

#include <bit>
#include <cstring>

namespace mlxc::gguf {

namespace {

float half(const uint8_t* at) {
  mx::float16_t value;
  std::memcpy(&value, at, sizeof value);
  return static_cast<float>(value);
}

uint32_t word(const uint8_t* at) {
  uint32_t value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// --- types of 32 elements ---

// The low halves of 16 bytes are the first 16 elements, the high halves the others. Of five bits, the fifth of all of
// them stand in a word of their own.
template <class Value>
void decode_halves(const uint8_t* bytes, float* out, Value&& value) {
  for (int i = 0; i < 16; i++) {
    out[i] = value(bytes[i] & 15, i);
    out[i + 16] = value(bytes[i] >> 4, i + 16);
  }
}

int five_bits(int low, uint32_t high, int i) {
  return low | (high >> i & 1) << 4;
}

// The bytes of `decode_halves` in the order of the elements.
void pack_halves(const uint8_t* bytes, uint8_t* weights) {
  for (int i = 0; i < 8; i++) {
    weights[i] = (bytes[2 * i] & 15) | (bytes[2 * i + 1] & 15) << 4;
    weights[i + 8] = bytes[2 * i] >> 4 | (bytes[2 * i + 1] & 240);
  }
}

// Four bits that stand for numbers which lie closer together around zero.
constexpr int8_t nonlinear[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
// Twice the numbers of a sign, two bits of exponent and one of mantissa.
constexpr int8_t doubled_fp4[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

// Half of two to the power of `exponent` - 127.
float half_power_of_two(uint8_t exponent) {
  return std::bit_cast<float>(exponent < 2 ? uint32_t(0x200000) << exponent : uint32_t(exponent - 1) << 23);
}

// --- types of 256 elements ---

// The scale and the shift of one of eight parts, six bits each: the first four lie whole in eight bytes, whose spare
// bits are the high ones of the last four.
struct ScaleAndShift {
  int scale, shift;
};

ScaleAndShift scale_and_shift(const uint8_t* packed, int part) {
  if (part < 4) {
    return {packed[part] & 63, packed[part + 4] & 63};
  }
  return {(packed[part + 4] & 15) | packed[part - 4] >> 6 << 4, packed[part + 4] >> 4 | packed[part] >> 6 << 4};
}

// The scale of one of sixteen parts, six bits: four of them in eight bytes, two in four.
int scale_of_sixteen(const uint8_t* packed, int part) {
  int low = part < 8 ? packed[part] & 15 : packed[part - 8] >> 4;
  return (low | (packed[8 + part % 4] >> 2 * (part / 4) & 3) << 4) - 32;
}

// Eight parts of 32, two of which share 32 bytes; `high` gives what stands above the four bits there.
template <class High>
void decode_shifted(const uint8_t* block, const uint8_t* bytes, float* out, High&& high) {
  float scale = half(block), shift = half(block + 2);
  for (int part = 0; part < 8; part++) {
    auto own = scale_and_shift(block + 4, part);
    const uint8_t* from = bytes + part / 2 * 32;
    for (int i = 0; i < 32; i++) {
      int low = part % 2 ? from[i] >> 4 : from[i] & 15;
      out[32 * part + i] = scale * own.scale * (low + high(part, i)) - shift * own.shift;
    }
  }
}

// Two bits of 128 elements stand in 32 bytes: element `i` of 256.
int two_bits(const uint8_t* bytes, int i) {
  return bytes[i / 128 * 32 + i % 32] >> 2 * (i / 32 % 4) & 3;
}

} // namespace

void decode_q5_0(const uint8_t* block, float* out) {
  float scale = half(block);
  uint32_t high = word(block + 2);
  decode_halves(block + 6, out, [&](int low, int i) { return scale * (five_bits(low, high, i) - 16); });
}

void decode_q5_1(const uint8_t* block, float* out) {
  float scale = half(block), shift = half(block + 2);
  uint32_t high = word(block + 4);
  decode_halves(block + 8, out, [&](int low, int i) { return scale * five_bits(low, high, i) + shift; });
}

void decode_iq4_nl(const uint8_t* block, float* out) {
  float scale = half(block);
  decode_halves(block + 2, out, [&](int low, int) { return scale * nonlinear[low]; });
}

void decode_mxfp4(const uint8_t* block, float* out) {
  float scale = half_power_of_two(block[0]);
  decode_halves(block + 1, out, [&](int low, int) { return scale * doubled_fp4[low]; });
}

void decode_q2_k(const uint8_t* block, float* out) {
  float scale = half(block + 80), shift = half(block + 82);
  for (int i = 0; i < 256; i++) {
    int own = block[i / 16];
    out[i] = scale * (own & 15) * two_bits(block + 16, i) - shift * (own >> 4);
  }
}

void decode_q3_k(const uint8_t* block, float* out) {
  float scale = half(block + 108);
  for (int i = 0; i < 256; i++) {
    int third = block[i % 32] >> i / 32 & 1;
    out[i] = scale * scale_of_sixteen(block + 96, i / 16) * (two_bits(block + 32, i) + 4 * third - 4);
  }
}

void decode_q4_k(const uint8_t* block, float* out) {
  decode_shifted(block, block + 16, out, [](int, int) { return 0; });
}

void decode_q5_k(const uint8_t* block, float* out) {
  decode_shifted(block, block + 48, out, [&](int part, int i) { return (block[16 + i] >> part & 1) << 4; });
}

void decode_q6_k(const uint8_t* block, float* out) {
  float scale = half(block + 208);
  for (int i = 0; i < 256; i++) {
    int bytes = block[i / 128 * 64 + i % 64];
    int low = i / 64 % 2 ? bytes >> 4 : bytes & 15;
    int own = static_cast<int8_t>(block[192 + i / 16]);
    out[i] = scale * own * ((low | two_bits(block + 128, i) << 4) - 32);
  }
}

void decode_iq4_xs(const uint8_t* block, float* out) {
  float scale = half(block);
  int high = block[2] | block[3] << 8;
  for (int part = 0; part < 8; part++) {
    int own = (block[4 + part / 2] >> 4 * (part % 2) & 15) | (high >> 2 * part & 3) << 4;
    float scaled = scale * (own - 32);
    decode_halves(block + 8 + 16 * part, out + 32 * part, [&](int low, int) { return scaled * nonlinear[low]; });
  }
}

Affine pack_q4_0(const uint8_t* block, uint8_t* weights) {
  pack_halves(block + 2, weights);
  return {half(block), -8 * half(block)};
}

Affine pack_q4_1(const uint8_t* block, uint8_t* weights) {
  pack_halves(block + 4, weights);
  return {half(block), half(block + 2)};
}

// Signed bytes, which MLX counts from -128.
Affine pack_q8_0(const uint8_t* block, uint8_t* weights) {
  for (int i = 0; i < 32; i++) {
    weights[i] = block[2 + i] ^ 128;
  }
  return {half(block), -128 * half(block)};
}

} // namespace mlxc::gguf
