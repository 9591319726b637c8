// The quantised blocks of llama.cpp's types, as it lays them out in memory and in files.
#pragma once

#include "format.h"

namespace mlxc::gguf {

void decode_q5_0(const uint8_t* block, float* out);
void decode_q5_1(const uint8_t* block, float* out);
void decode_q2_k(const uint8_t* block, float* out);
void decode_q3_k(const uint8_t* block, float* out);
void decode_q4_k(const uint8_t* block, float* out);
void decode_q5_k(const uint8_t* block, float* out);
void decode_q6_k(const uint8_t* block, float* out);
void decode_iq4_nl(const uint8_t* block, float* out);
void decode_iq4_xs(const uint8_t* block, float* out);
void decode_mxfp4(const uint8_t* block, float* out);

Affine pack_q4_0(const uint8_t* block, uint8_t* weights);
Affine pack_q4_1(const uint8_t* block, uint8_t* weights);
Affine pack_q8_0(const uint8_t* block, uint8_t* weights);

} // namespace mlxc::gguf
