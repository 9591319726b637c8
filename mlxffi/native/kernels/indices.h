// Places that index arrays say.
#pragma once

#include <mlx/array.h>

#include <cstdint>
#include <functional>
#include <type_traits>
#include <vector>

namespace mlxffi {

namespace mx = mlx::core;

template <class Index>
int64_t from_front(Index given, int64_t length) {
  auto index = static_cast<int64_t>(given);
  if constexpr (std::is_signed_v<Index>) {
    index += index < 0 ? length : 0;
  }
  return index;
}

// Puts the places of so many points, from one on, where it is told.
using PlacesOfPoints = std::function<void(int64_t first, int64_t count, int32_t* places)>;
// Points from which on parts of them are looked at together.
inline constexpr int64_t points_at_once = 1024, most_places = INT32_MAX;

// Those among what axes of these sizes have, of points that say an index along each: integers of one type, side by side. There are
// no more than `most_places`.
PlacesOfPoints places_of_points(const std::vector<mx::array>& indices, const std::vector<int64_t>& sizes);

// Calls body(first, count, places) for parts of the points from `begin` to `end`.
template <class Body>
void each_part_of_points(const PlacesOfPoints& places_of, int64_t begin, int64_t end, Body body) {
  int32_t places[points_at_once];
  for (int64_t first = begin; first < end; first += points_at_once) {
    int64_t count = end - first < points_at_once ? end - first : points_at_once;
    places_of(first, count, places);
    body(first, count, places);
  }
}

} // namespace mlxffi
