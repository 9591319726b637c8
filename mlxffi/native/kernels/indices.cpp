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
    std::fill_n(places, sizes.size() > 1 ? count : 0, 0);
    for (size_t axis = 0; axis < sizes.size(); axis++) {
      auto from = indices[axis] + first;
      auto size = static_cast<int32_t>(sizes[axis]);
      if (sizes.size() == 1) {
        std::transform(from, from + count, places, [size](Index index) { return place(index, size); });
      } else {
        std::transform(from, from + count, places, places, [size](Index index, int32_t before) { return before * size + place(index, size); });
      }
    }
  }

  // In 32 bits, of which vectors have more.
  static int32_t place(Index given, int32_t size) {
    auto index = static_cast<int32_t>(given);
    return std::is_signed_v<Index> ? index + (index < 0 ? size : 0) : index;
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
