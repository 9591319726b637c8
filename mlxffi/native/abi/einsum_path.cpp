#include "guards.h"
#include "mlx/einsum.h"

using namespace mlxc;

extern "C" int mlx_einsum_path(mlx_vector_int* path, mlx_string* description, const char* subscripts, const mlx_vector_array operands) {
  return guarded(__func__, [&] {
    auto& arrays = get(operands, "operands");
    auto [contractions, summary] = mx::einsum_path(few_labels(text(subscripts, "subscripts"), arrays), arrays);
    std::vector<int> flat;
    for (auto& positions : contractions) {
      flat.insert(flat.end(), positions.begin(), positions.end());
      flat.push_back(-1);
    }
    require(path, description);
    put(path, description, std::pair(std::move(flat), std::move(summary)));
  });
}
