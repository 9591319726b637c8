// The C functions of mlxffi/fused.h: what arguments must be.
#include "c_abi.h"

#include "gate.h"
#include "guards.h"
#include "heads.h"
#include "kernel_arguments.h"
#include "lora.h"
#include "numbers.h"
#include "paced.h"
#include "rms_norm.h"
#include "rope.h"

namespace mlxc {

namespace {

int gated(const char* function, mlxffi::Gate activation, mlx_array* res, const mlx_array gate, const mlx_array up, const mlx_stream s) {
  return guarded(function, [&] {
    require(res);
    auto g = floating(get(gate, "gate"), "gate");
    auto given = maybe(up, "up");
    if (!given && (g.ndim() == 0 || g.shape(-1) % 2)) {
      throw BadArgument("gate", "expected an even number of features where up is not given, got " + described(g));
    }
    if (!given) {
      put(res, mlxffi::gated_halves(activation, g, kernel_stream(s)));
      return;
    }
    auto& u = *given;
    if (u.shape() != g.shape() || u.dtype() != g.dtype()) {
      throw BadArgument("up", "expected the shape and dtype of gate, " + described(g) + ", got " + described(u));
    }
    put(res, mlxffi::gated(activation, g, u, kernel_stream(s)));
  });
}

// A matrix of x's dtype with so many rows.
const mx::array& factor(const mx::array& array, const mx::array& x, int rows, const char* argument, bool may_be_wider) {
  bool fits = array.dtype() == x.dtype() || (may_be_wider && array.dtype() == mx::float32 && x.itemsize() == 2);
  if (array.ndim() != 2 || !fits || array.shape(0) != rows) {
    auto wanted = printed(x.dtype()) + " (" + std::to_string(rows) + ", ...)";
    throw BadArgument(argument, "expected " + wanted + ", got " + described(array));
  }
  return array;
}

// An array of these axes.
const mx::array& of_shape(const mx::array& array, const mx::Shape& shape, const char* argument) {
  if (array.shape() != shape) {
    throw BadArgument(argument, "expected " + printed(shape) + ", got " + described(array));
  }
  return array;
}

// How many features a head has.
int head_width(const mx::array& x, mlxffi::HeadCounts counts) {
  int width = x.ndim() > 0 ? x.shape(-1) / counts.all() : 0;
  if (x.size() == 0 || width % 2 || width * counts.all() != x.shape(-1)) {
    throw BadArgument("x", "expected features of " + std::to_string(counts.all()) + " heads, an even number each, got " + described(x));
  }
  return width;
}

mlxffi::HeadTurns turns_of(const mx::array& cosines, const mx::array& sines, int rows, int width) {
  int positions = cosines.ndim() == 2 ? cosines.shape(0) : 0;
  if (positions == 0 || rows % positions || cosines.shape(1) != width / 2) {
    auto wanted = "[positions, " + std::to_string(width / 2) + "], of which there are " + std::to_string(rows) + " or a divisor";
    throw BadArgument("cosines", "expected " + wanted + ", got " + described(cosines));
  }
  return {cosines, of_shape(sines, {positions, 2, width / 2}, "sines")};
}

} // namespace

} // namespace mlxc

using namespace mlxc;

extern "C" int mlxffi_rms_norm(mlx_array* res, const mlx_array x, const mlx_array weight, float eps, const mlx_stream s) {
  return guarded(__func__, [&] {
    require(res);
    put(res, mlxffi::rms_norm(get(x, "x"), maybe(weight, "weight"), eps, kernel_stream(s)));
  });
}

extern "C" int mlxffi_rope(
    mlx_array* res, const mlx_array x, int dims, bool traditional, mlx_optional_float base, float scale, const mlx_array offset,
    const mlx_array freqs, const mlx_stream s) {
  return guarded(__func__, [&] {
    require(res);
    mlxffi::RopeOptions options{dims, traditional, optional_of(base), scale};
    put(res, mlxffi::rope(get(x, "x"), options, get(offset, "offset"), maybe(freqs, "freqs"), kernel_stream(s)));
  });
}

extern "C" int mlxffi_attention(
    mlx_array* res, const mlx_array queries, const mlx_array keys, const mlx_array values, float scale, bool causal,
    const mlx_array mask, const mlx_stream s) {
  return guarded(__func__, [&] {
    require(res);
    auto given = maybe(mask, "mask");
    if (given && causal) {
      throw BadArgument("mask", "expected no array beside causal, got " + described(*given));
    }
    auto q = get(queries, "queries"), k = get(keys, "keys"), v = get(values, "values");
    put(res, numbers::attention(q, k, v, scale, causal ? "causal" : "", given, std::nullopt, false, kernel_stream(s)));
  });
}

extern "C" int mlxffi_swiglu(mlx_array* res, const mlx_array gate, const mlx_array up, const mlx_stream s) {
  return gated(__func__, mlxffi::Gate::silu, res, gate, up, s);
}

extern "C" int mlxffi_geglu(mlx_array* res, const mlx_array gate, const mlx_array up, const mlx_stream s) {
  return gated(__func__, mlxffi::Gate::gelu_tanh, res, gate, up, s);
}

extern "C" int mlxffi_heads(
    mlx_vector_array *res, const mlx_array x, const mlx_array cosines, const mlx_array sines, const mlx_array query_norm,
    const mlx_array key_norm, int heads, int key_heads, float eps, const mlx_stream s) {
  return guarded(__func__, [&] {
    require(res);
    mlxffi::HeadCounts counts{positive(heads, "heads"), not_negative(key_heads, "key_heads")};
    auto input = floating(get(x, "x"), "x");
    int width = head_width(input, counts), rows = static_cast<int>(input.size() / input.shape(-1));
    auto turns = turns_of(floating(get(cosines, "cosines"), "cosines"), floating(get(sines, "sines"), "sines"), rows, width);
    auto of_queries = maybe(query_norm, "query_norm"), of_keys = maybe(key_norm, "key_norm");
    if (of_keys.has_value() != (of_queries.has_value() && key_heads > 0)) {
      throw BadArgument("key_norm", "expected a norm of keys beside one of queries, and none without either, got only one");
    }
    mlxffi::Arrays norms;
    if (of_queries) {
      norms.push_back(of_shape(*of_queries, {width}, "query_norm"));
    }
    if (of_keys) {
      norms.push_back(of_shape(*of_keys, {width}, "key_norm"));
    }
    auto stream = kernel_stream(s);
    put(res, mlxffi::prepared_heads(input, counts, turns, norms, eps, stream));
  });
}

extern "C" int mlxffi_lora_linear(
    mlx_array* res, const mlx_array x, const mlx_array weight, const mlx_array a, const mlx_array b, float scale, const mlx_stream s) {
  return guarded(__func__, [&] {
    require(res);
    auto input = floating(get(x, "x"), "x");
    auto down = factor(get(a, "a"), input, input.shape(-1), "a", true);
    auto up = factor(get(b, "b"), input, down.shape(1), "b", true);
    auto base = factor(get(weight, "weight"), input, up.shape(1), "weight", false);
    if (base.shape(1) != input.shape(-1)) {
      throw BadArgument("weight", "expected as many columns as x has features, " + printed(input.shape()) + ", got " + described(base));
    }
    mlxffi::Packing none{64, 4, mx::QuantizationMode::Affine};
    put(res, mlxffi::lora_linear(input, {base, {}, {}, none, {}, down, up, scale}, kernel_stream(s)));
  });
}

extern "C" int mlxffi_lora_quantized_linear(
    mlx_array *res, const mlx_array x, const mlx_array w, const mlx_array scales, const mlx_array biases, const mlx_array a, const mlx_array b,
    float scale, mlx_optional_int group_size, mlx_optional_int bits, const char *mode, const mlx_stream s) {
  return guarded(__func__, [&] {
    require(res);
    auto input = floating(get(x, "x"), "x");
    auto down = factor(get(a, "a"), input, input.shape(-1), "a", true);
    auto up = factor(get(b, "b"), input, down.shape(1), "b", true);
    auto base = packable(get(w, "w"), "w"), of_groups = with_elements(get(scales, "scales"), "scales");
    auto packing = mlxffi::Packing::of(text(mode, "mode"), positive(optional_of(group_size), "group_size"), positive(optional_of(bits), "bits"));
    auto shifts = maybe(biases, "biases");
    // For MLX to check the packed arrays.
    mx::quantized_matmul(input, base, of_groups, shifts, true, packing.group_size, packing.bits, packing.name(), kernel_stream(s));
    if (base.ndim() != 2 || up.shape(1) != base.shape(0)) {
      throw BadArgument("b", "expected as many columns as w has rows, (" + std::to_string(up.shape(0)) + ", " + std::to_string(base.shape(0)) + "), got " + described(up));
    }
    mlxffi::LinearLayer layer{base, of_groups, shifts, packing, {}, down, up, scale};
    put(res, mlxffi::lora_linear(input, layer, kernel_stream(s)));
  });
}

extern "C" int mlxffi_paced(mlx_vector_array *res, const mlx_vector_array arrays, int ahead, const mlx_stream s) {
  return guarded(__func__, [&] {
    require(res);
    auto given = get(arrays, "arrays");
    if (given.empty()) {
      throw BadArgument("arrays", "expected at least one, got none");
    }
    if (ahead < 1) {
      throw BadArgument("ahead", "expected at least 1, got " + std::to_string(ahead));
    }
    put(res, mlxffi::paced(given, ahead, kernel_stream(s)));
  });
}
