#include "indices.h"

#include <algorithm>
#include <iterator>

#include <mlx/dtype_utils.h>

namespace mlxffi {

namespace {

template <class Index>
struct Points {
  std::vector<const Index*> indices;
  std::vector<int64_t> sizes;

  void operator()(int64_t first, int64_t count, int32_t* places) const {
    std::fill_n(places, count, 0);
    for (size_t axis = 0; axis < sizes.size(); axis++) {
      auto from = indices[axis] + first;
      auto size = static_cast<int32_t>(sizes[axis]);
      for (int64_t i = 0; i < count; i++) {
        places[i] = places[i] * size + static_cast<int32_t>(from_front(from[i], size));
      }
    }
  }
};

} // namespace

PlacesOfPoints places_of_points(const std::vector<mx::array>& indices, const std::vector<int64_t>& sizes) {
  PlacesOfPoints made;
  mx::dispatch_int_types(indices[0].dtype(), "indices", [&](auto type) {
    using Index = MLX_GET_TYPE(type);
    std::vector<const Index*> data;
    std::transform(indices.begin(), indices.end(), std::back_inserter(data), [](auto& array) { return array.template data<Index>(); });
    made = Points<Index>{std::move(data), sizes};
  });
  return made;
}

} // namespace mlxffi
