// Vectors, maps and their iterators.
#pragma once

#include "convert.h"

namespace mlxc {

template <class Element>
void append(std::vector<Element>& vector, std::vector<Element> tail) {
  // Moved, so that nothing fails half way.
  vector.insert(vector.end(), std::make_move_iterator(tail.begin()), std::make_move_iterator(tail.end()));
}

template <class Element>
Element& at(std::vector<Element>& vector, size_t index) {
  if (index >= vector.size()) {
    throw BadIndex("idx", "expected an index below " + std::to_string(vector.size()) + ", got " + std::to_string(index));
  }
  return vector[index];
}

template <class Map>
struct MapIterator {
  Map* map;
  typename Map::iterator next;
};

// Whether a map of variants has a value of that kind under a key.
template <class Value, class Map>
bool holds(Map& map, const std::string& key) {
  auto found = map.find(key);
  return found != map.end() && std::holds_alternative<Value>(found->second);
}

template <class Map>
std::vector<std::string> keys_of(const Map& map) {
  std::vector<std::string> names;
  for (auto& item : map) {
    names.push_back(item.first);
  }
  return names;
}

} // namespace mlxc
