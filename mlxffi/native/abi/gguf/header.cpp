#include "header.h"

#include <algorithm>
#include <limits>
#include <stdexcept>

namespace mlxc::gguf {

namespace {

// --- metadata ---

std::vector<std::string> read_texts(Input& in, int count) {
  std::vector<std::string> texts;
  for (int i = 0; i < count; i++) {
    texts.push_back(in.name());
  }
  return texts;
}

mx::GGUFMetaData read_list(Input& in) {
  auto type = in.number<ValueType>();
  if (type == ValueType::text) {
    return read_texts(in, in.count(sizeof(uint64_t)));
  }
  auto dtype = dtype_of(type);
  if (!dtype) {
    throw std::runtime_error("expected a list of numbers or of texts, got one of type " + std::to_string(static_cast<uint32_t>(type)));
  }
  return in.array({in.count(dtype->size())}, *dtype);
}

mx::GGUFMetaData read_value(Input& in) {
  auto type = in.number<ValueType>();
  if (auto dtype = dtype_of(type)) {
    return in.array({}, *dtype);
  }
  if (type == ValueType::text) {
    return in.name();
  }
  if (type == ValueType::list) {
    return read_list(in);
  }
  throw std::runtime_error("expected a type from 0 to 12, got " + std::to_string(static_cast<uint32_t>(type)));
}

// Says of what an error speaks.
template <class Read>
auto named(const std::string& what, Read&& read) {
  try {
    return read();
  } catch (const std::runtime_error& error) {
    throw std::runtime_error("[load_gguf] " + what + ": " + error.what());
  }
}

void read_entry(Input& in, Header& header) {
  auto key = named("a key of the metadata", [&] { return in.name(); });
  auto value = named("metadata " + shown(key), [&] { return read_value(in); });
  if (!header.metadata.emplace(key, std::move(value)).second) {
    throw std::runtime_error("[load_gguf] metadata " + shown(key) + ": expected one value, got two");
  }
}

// --- tensors ---

// The axes from the last to the first, as they stand in a file.
mx::Shape read_shape(Input& in) {
  auto axes = in.number<uint32_t>();
  if (axes > most_axes) {
    throw std::runtime_error("expected at most " + std::to_string(most_axes) + " axes, got " + std::to_string(axes));
  }
  mx::Shape shape(axes, 0);
  for (auto extent = shape.rbegin(); extent != shape.rend(); extent++) {
    auto value = in.number<uint64_t>();
    if (value > uint64_t(std::numeric_limits<int>::max())) {
      throw std::runtime_error("expected axes of at most 31 bits, got one of " + std::to_string(value));
    }
    *extent = static_cast<int>(value);
  }
  return shape;
}

// What the elements take; more than any file for shapes that cannot be counted.
uint64_t bytes_of(const mx::Shape& shape, const TensorType& type) {
  uint64_t last = shape.empty() ? 1 : shape.back();
  if (last % type.elements) {
    throw std::runtime_error(std::string("type ") + type.name + ": expected a last axis that is a multiple of " + std::to_string(type.elements) + ", got " + std::to_string(last));
  }
  uint64_t bytes = last / type.elements * type.bytes;
  bool counted = true;
  for (size_t i = 0; i + 1 < shape.size(); i++) {
    counted = counted && !__builtin_mul_overflow(bytes, uint64_t(shape[i]), &bytes);
  }
  bool empty = std::find(shape.begin(), shape.end(), 0) != shape.end();
  return empty ? 0 : counted ? bytes : std::numeric_limits<uint64_t>::max();
}

Tensor read_tensor(Input& in, const std::string& name) {
  Tensor tensor{name, read_shape(in), &tensor_type(in.number<uint32_t>()), in.number<uint64_t>(), 0};
  tensor.bytes = bytes_of(tensor.shape, *tensor.type);
  return tensor;
}

// Data that several tensors share would be a small file that takes any amount of memory.
void require_in_file(const Tensor& tensor, uint64_t taken, uint64_t room) {
  if (tensor.bytes && (tensor.offset > room || tensor.bytes > room - tensor.offset || tensor.bytes > room - taken)) {
    throw std::runtime_error(
        "[load_gguf] tensor " + shown(tensor.name) + " of type " + tensor.type->name + ": expected " + std::to_string(tensor.bytes) + " bytes of its own at " +
        std::to_string(tensor.offset) + " of the file's " + std::to_string(room) + " bytes of data; it is broken or not whole");
  }
}

void place(Header& header, const Input& in) {
  uint64_t start = aligned(in.position(), alignment_of(header.metadata)), taken = 0;
  uint64_t room = in.size() > start ? in.size() - start : 0;
  for (auto& tensor : header.tensors) {
    require_in_file(tensor, taken, room);
    taken += tensor.bytes;
    tensor.offset = tensor.bytes ? tensor.offset + start : 0;
  }
}

void read_tensors(Input& in, uint64_t count, Header& header) {
  for (; count; count--) {
    auto name = named("a name of a tensor", [&] { return in.name(); });
    header.tensors.push_back(named("tensor " + shown(name), [&] { return read_tensor(in, name); }));
  }
}

void require_version(uint32_t version) {
  bool big = version && !(version & 0xffff);
  if (version != 2 && version != 3) {
    throw std::runtime_error("[load_gguf] expected version 2 or 3 of the format, got " + (big ? std::string("a big-endian file") : std::to_string(version)));
  }
}

} // namespace

Header read_header(Input& in) {
  if (in.size() < 8 || in.number<uint32_t>() != magic) {
    throw std::runtime_error("[load_gguf] expected a file that starts with GGUF");
  }
  require_version(in.number<uint32_t>());
  Header header;
  uint64_t tensors = 0, entries = 0;
  named("the header", [&] { tensors = in.number<uint64_t>(), entries = in.number<uint64_t>(); });
  for (; entries; entries--) {
    read_entry(in, header);
  }
  read_tensors(in, tensors, header);
  place(header, in);
  return header;
}

} // namespace mlxc::gguf
