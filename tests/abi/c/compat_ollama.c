/* mlxffi/compat/ollama.h: a caller of attention with `force_fused` before the stream. */
#include "check.h"
#include "mlxffi/compat/ollama.h"

static void test_attention(bool force_fused) {
  mlx_array q = floats("1 1 1 2: 1 0"), k = floats("1 1 2 2: 1 0 0 1"), v = floats("1 1 2 2: 1 2 3 4");
  mlx_array none = mlx_array_new(), res = mlx_array_new();
  OK(mlx_fast_scaled_dot_product_attention(&res, q, k, v, 0, "", none, none, force_fused, cpu));
  IS(res, "1 1 1 2: 2 3");
  FAILS(mlx_fast_scaled_dot_product_attention(&res, q, k, none, 0, "", none, none, force_fused, cpu));
  drop(q, k, v, res);
}

int main(void) {
  begin();
  test_attention(false);
  test_attention(true);
  group("attention");
  return end();
}
