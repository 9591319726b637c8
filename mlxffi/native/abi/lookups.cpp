// Lookups in maps, device properties and GGUF contents, and walks over maps. A status of 2 says "nothing there" without an error.
#include "containers.h"

using namespace mlxc;

namespace {

constexpr int nothing = 2;

// A value as C sees it: a string in a `const char **` slot is borrowed, anything else is put.
template <class Slot, class Value>
void give(Slot* slot, const Value& value) {
  put(slot, value);
}

void give(const char** slot, const std::string& value) {
  put(slot, value.c_str());
}

// Run a body that gives false for "nothing there".
template <class Body>
int found(const char* function, Body&& body) {
  bool there = false;
  int failed = guarded(function, [&] { there = body(); });
  return failed ? failed : there ? 0 : nothing;
}

template <class Slot, class Map>
bool lookup(Slot* slot, const Map& map, const char* key) {
  auto entry = map.find(text(key, "key"));
  if (entry == map.end()) {
    return false;
  }
  give(slot, entry->second);
  return true;
}

// A lookup in a map of variants: a value of another kind counts as nothing there.
template <class Value, class Slot, class Map>
bool lookup_kind(Slot* slot, const Map& map, const char* key) {
  auto entry = map.find(text(key, "key"));
  auto* value = entry == map.end() ? nullptr : std::get_if<Value>(&entry->second);
  if (value) {
    give(slot, *value);
  }
  return value != nullptr;
}

template <class Iterator, class Map>
Iterator start(const char* function, Map map) {
  auto iterator = made<Iterator>(function, [&] {
    auto& object = get(map, "map");
    return Object<Iterator>{&object, object.begin()};
  });
  iterator.map_ctx = map.ctx;
  return iterator;
}

template <class Slot, class Iterator>
int advance(const char* function, const char** key, Slot* value, Iterator handle) {
  return found(function, [&] {
    auto& iterator = get(handle, "it");
    if (iterator.next == iterator.map->end()) {
      put(key, nullptr);
      return false;
    }
    give(value, iterator.next->second);
    put(key, iterator.next->first.c_str());
    ++iterator.next;
    return true;
  });
}

} // namespace

extern "C" int mlx_map_string_to_array_get(mlx_array* value, const mlx_map_string_to_array map, const char* key) {
  return found(__func__, [&] { return lookup(value, get(map, "map"), key); });
}

extern "C" mlx_map_string_to_array_iterator mlx_map_string_to_array_iterator_new(mlx_map_string_to_array map) {
  return start<mlx_map_string_to_array_iterator>(__func__, map);
}

extern "C" int mlx_map_string_to_array_iterator_next(const char** key, mlx_array* value, mlx_map_string_to_array_iterator it) {
  return advance(__func__, key, value, it);
}

extern "C" int mlx_map_string_to_string_get(const char** value, const mlx_map_string_to_string map, const char* key) {
  return found(__func__, [&] { return lookup(value, get(map, "map"), key); });
}

extern "C" mlx_map_string_to_string_iterator mlx_map_string_to_string_iterator_new(mlx_map_string_to_string map) {
  return start<mlx_map_string_to_string_iterator>(__func__, map);
}

extern "C" int mlx_map_string_to_string_iterator_next(const char** key, const char** value, mlx_map_string_to_string_iterator it) {
  return advance(__func__, key, value, it);
}

extern "C" int mlx_device_info_get_string(const char** value, mlx_device_info info, const char* key) {
  return found(__func__, [&] { return lookup_kind<std::string>(value, get(info, "info"), key); });
}

extern "C" int mlx_device_info_get_size(size_t* value, mlx_device_info info, const char* key) {
  return found(__func__, [&] { return lookup_kind<size_t>(value, get(info, "info"), key); });
}

extern "C" int mlx_io_gguf_get_array(mlx_array* arr, mlx_io_gguf io, const char* key) {
  return found(__func__, [&] { return lookup(arr, get(io, "io").first, key); });
}

extern "C" int mlx_io_gguf_get_metadata_array(mlx_array* arr, mlx_io_gguf io, const char* key) {
  return found(__func__, [&] { return lookup_kind<mx::array>(arr, get(io, "io").second, key); });
}

extern "C" int mlx_io_gguf_get_metadata_string(mlx_string* str, mlx_io_gguf io, const char* key) {
  return found(__func__, [&] { return lookup_kind<std::string>(str, get(io, "io").second, key); });
}

extern "C" int mlx_io_gguf_get_metadata_vector_string(mlx_vector_string* vstr, mlx_io_gguf io, const char* key) {
  return found(__func__, [&] { return lookup_kind<std::vector<std::string>>(vstr, get(io, "io").second, key); });
}
