// mlxffi_decoder_block(): what a block must be.
#include "c_abi.h"

#include "decoder_block.h"

#include "kernel_arguments.h"

namespace mlxc {

namespace {

using Maybe = std::optional<mx::array>;

void check_shape(const mx::array& array, const mx::Shape& wanted, const char* argument) {
  if (array.shape() != wanted) {
    throw BadArgument(argument, "expected the shape " + printed(wanted) + ", got " + described(array));
  }
}

void check_numbers(const Maybe& array, const mx::Shape& wanted, const char* argument) {
  if (array) {
    check_shape(floating(*array, argument), wanted, argument);
  }
}

// An axis whose size is given or, where that is -1, anybody's.
int sized(int wanted, int found) {
  return wanted < 0 ? found : wanted;
}

void check_weight(const mlxffi::LinearLayer& layer, int in, int out, const char* argument) {
  auto& weight = layer.weight;
  if (weight.ndim() != 2) {
    throw BadArgument(argument, "expected a weight of two axes, got " + described(weight));
  }
  if (!layer.scales) {
    return check_shape(floating(weight, argument), {sized(out, weight.shape(0)), in}, argument);
  }
  auto& packing = layer.packing;
  bool fits = weight.shape(0) == sized(out, weight.shape(0)) && layer.biases.has_value() == packing.affine() &&
      (!layer.biases || layer.biases->shape() == layer.scales->shape());
  check_packed(weight, *layer.scales, in, packing.group_size, packing.bits, fits, argument);
}

mlxffi::Packing packing_of(const mlxffi_linear& given, bool packed, const char* argument) {
  if (!packed) {
    return {64, 4, mx::QuantizationMode::Affine};
  }
  auto found = mlxffi::Packing::find(given.mode ? given.mode : "affine", given.group_size, given.bits);
  if (!found || given.group_size <= 0 || given.bits <= 0 || given.bits > 8) {
    throw BadArgument(argument, "expected the mode affine, mxfp4, mxfp8 or nvfp4, a group size and up to 8 bits, got " +
        std::string(given.mode ? given.mode : "affine") + ", " + std::to_string(given.group_size) + " and " + std::to_string(given.bits));
  }
  return *found;
}

// A layer from `in` features to `out`.
mlxffi::LinearLayer layer_of(const mlxffi_linear& given, int in, int out, const char* argument) {
  auto scales = maybe(given.scales, "scales");
  mlxffi::LinearLayer layer{
      get(given.weight, argument), scales, maybe(given.biases, "biases"), packing_of(given, scales.has_value(), argument), maybe(given.bias, "bias"),
      maybe(given.a, "a"), maybe(given.b, "b"), given.scale};
  check_weight(layer, in, out, argument);
  out = layer.weight.shape(0);
  check_numbers(layer.bias, {out}, argument);
  if (layer.a.has_value() != layer.b.has_value()) {
    throw BadArgument(argument, "expected both factors a and b or none, got one");
  }
  if (layer.a) {
    int rank = layer.a->ndim() == 2 ? layer.a->shape(1) : 1;
    check_numbers(layer.a, {in, rank}, argument);
    check_numbers(layer.b, {rank, out}, argument);
  }
  return layer;
}

mlxffi::DecoderBlock block_of(const mlxffi_block& given, int width, int features) {
  int heads = given.heads * features, key_heads = given.key_heads * features;
  auto gate = layer_of(given.gate, width, -1, "gate");
  int inner = gate.weight.shape(0);
  mlxffi::DecoderBlock block{
      get(given.attention_norm, "attention_norm"), get(given.mlp_norm, "mlp_norm"), maybe(given.query_norm, "query_norm"), maybe(given.key_norm, "key_norm"),
      maybe(given.rope_freqs, "rope_freqs"), layer_of(given.query, width, heads, "query"), layer_of(given.key, width, key_heads, "key"),
      layer_of(given.value, width, key_heads, "value"), layer_of(given.output, heads, width, "output"), gate,
      layer_of(given.up, width, inner, "up"), layer_of(given.down, inner, width, "down")};
  check_numbers(block.attention_norm, {width}, "attention_norm");
  check_numbers(block.mlp_norm, {width}, "mlp_norm");
  check_numbers(block.query_norm, {features}, "query_norm");
  check_numbers(block.key_norm, {features}, "key_norm");
  if (block.freqs && block.freqs->dtype() != mx::float32) {
    throw BadArgument("rope_freqs", "expected float32, got " + described(*block.freqs));
  }
  check_numbers(block.freqs, {features / 2}, "rope_freqs");
  return block;
}

void check_kept(const mx::array& array, const mx::array& x, const mlxffi_block& block, int first, const char* argument) {
  bool fits = array.ndim() == 4 && array.dtype() == x.dtype() && array.shape(0) == x.shape(0) && array.shape(1) == block.key_heads;
  if (!fits || array.shape(3) == 0 || array.shape(3) % 2 || first < 0 || int64_t(first) + x.shape(1) > array.shape(2)) {
    auto wanted = printed(x.dtype()) + " (" + std::to_string(x.shape(0)) + ", " + std::to_string(block.key_heads) + ", room, features), an even number of features and room for " +
        std::to_string(x.shape(1)) + " positions from " + std::to_string(first) + " on";
    throw BadArgument(argument, "expected " + wanted + ", got " + described(array));
  }
}

} // namespace

} // namespace mlxc

using namespace mlxc;

extern "C" int mlxffi_decoder_block(
    mlx_vector_array *res, const mlx_array x, const mlxffi_block *block, const mlx_array keys, const mlx_array values, int first,
    const mlx_stream s) {
  return guarded(__func__, [&] {
    require(res);
    auto rows = floating(get(x, "x"), "x");
    auto k = get(keys, "keys"), v = get(values, "values");
    if (rows.ndim() != 3) {
      throw BadArgument("x", "expected three axes, got " + described(rows));
    }
    if (!block || block->heads <= 0 || block->key_heads <= 0 || block->heads % block->key_heads) {
      throw BadArgument("block", block ? "expected heads and a divisor of them, got " + std::to_string(block->heads) + " and " + std::to_string(block->key_heads) : "expected a block, got NULL");
    }
    check_kept(k, rows, *block, first, "keys");
    check_kept(v, rows, *block, first, "values");
    check_shape(v, k.shape(), "values");
    int features = k.shape(3);
    auto base = maybe(block->rope_freqs, "rope_freqs") ? std::nullopt : std::optional(block->rope_base);
    mlxffi::RopeOptions rope{features, block->rope_traditional, base, block->rope_scale};
    mlxffi::BlockOptions options{block->heads, block->key_heads, first, block->eps, block->attention_scale, rope};
    put(res, mlxffi::decoder_block(rows, block_of(*block, rows.shape(2), features), k, v, options, kernel_stream(s)));
  });
}
