// The tensors of a file as arrays.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <stdexcept>

#include "header.h"
#include "pool.h"

namespace mlxc::gguf {

namespace {

using ArraysByName = std::unordered_map<std::string, mx::array>;

// Calls body(block, number of the block) for each block, on several threads, out of pieces of the file.
template <class Body>
void each_block(Input& in, const Tensor& tensor, Body&& body) {
  constexpr uint64_t piece = 1 << 16;
  uint64_t size = tensor.type->bytes, count = tensor.bytes / size;
  std::vector<uint8_t> bytes(size * std::min(piece, count));
  in.seek(tensor.offset);
  for (uint64_t first = 0; first < count; first += piece) {
    uint64_t blocks = std::min(piece, count - first);
    in.read(bytes.data(), blocks * size);
    mlxffi::parallel_for(blocks, 1024, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) {
        body(bytes.data() + i * size, first + i);
      }
    });
  }
}

// Whether a number is rounded to infinity.
template <class Element>
bool overflows(float number, Element rounded) {
  return std::isinf(static_cast<float>(rounded)) && std::isfinite(number);
}

// --- decoded ---

// Rounds each number once; false where one does not fit.
template <class Element>
bool decode_to(Input& in, const Tensor& tensor, Element* out) {
  std::atomic<bool> fits{true};
  uint64_t elements = tensor.type->elements;
  each_block(in, tensor, [&](const uint8_t* block, uint64_t index) {
    float numbers[256];
    tensor.type->decode(block, numbers);
    for (uint64_t i = 0; i < elements; i++) {
      Element rounded = static_cast<Element>(numbers[i]);
      out[index * elements + i] = rounded;
      if (overflows(numbers[i], rounded)) {
        fits.store(false, std::memory_order_relaxed);
      }
    }
  });
  return fits;
}

bool decode_to(Input& in, const Tensor& tensor, mx::array& out) {
  return out.dtype() == mx::float16  ? decode_to(in, tensor, out.data<mx::float16_t>())
      : out.dtype() == mx::bfloat16 ? decode_to(in, tensor, out.data<mx::bfloat16_t>())
                                    : decode_to(in, tensor, out.data<float>());
}

// float16, as MLX has it, unless a number does not fit.
mx::array decoded(Input& in, const Tensor& tensor) {
  mx::array out = unfilled(tensor.shape, *tensor.type->dtype);
  if (!decode_to(in, tensor, out)) {
    out = unfilled(tensor.shape, mx::float32);
    decode_to(in, tensor, out);
  }
  return out;
}

// --- packed ---

struct Packed {
  mx::array weights, scales, biases;
};

template <class Element>
bool pack_to(Input& in, const Tensor& tensor, Packed& out) {
  std::atomic<bool> fits{true};
  auto* weights = out.weights.data<uint8_t>();
  auto *scales = out.scales.data<Element>(), *biases = out.biases.data<Element>();
  uint64_t size = out.weights.nbytes() / std::max<size_t>(out.scales.size(), 1);
  each_block(in, tensor, [&](const uint8_t* block, uint64_t index) {
    auto affine = tensor.type->pack(block, weights + index * size);
    scales[index] = static_cast<Element>(affine.scale);
    biases[index] = static_cast<Element>(affine.bias);
    if (overflows(affine.bias, biases[index])) {
      fits.store(false, std::memory_order_relaxed);
    }
  });
  return fits;
}

Packed packed(Input& in, const Tensor& tensor) {
  bool bytes = tensor.type->bytes > 32;
  mx::Shape weights = tensor.shape, groups = tensor.shape;
  weights.back() /= bytes ? 4 : 8;
  groups.back() /= 32;
  Packed out{unfilled(weights, mx::uint32), unfilled(groups, mx::float16), unfilled(groups, mx::float16)};
  if (!pack_to<mx::float16_t>(in, tensor, out)) {
    out.scales = unfilled(groups, mx::float32);
    out.biases = unfilled(groups, mx::float32);
    pack_to<float>(in, tensor, out);
  }
  return out;
}

// --- all of them ---

void add(ArraysByName& arrays, const std::string& name, const mx::array& array) {
  if (!arrays.emplace(name, array).second) {
    throw std::runtime_error("[load_gguf] tensor " + shown(name) + ": expected one of that name, got two");
  }
}

std::string without_suffix(const std::string& name) {
  return name.ends_with(".weight") ? name.substr(0, name.size() - 7) : name;
}

void add_tensor(ArraysByName& arrays, Input& in, const Tensor& tensor) {
  if (tensor.type->pack) {
    Packed parts = packed(in, tensor);
    add(arrays, tensor.name, parts.weights);
    add(arrays, without_suffix(tensor.name) + ".scales", parts.scales);
    add(arrays, without_suffix(tensor.name) + ".biases", parts.biases);
  } else if (tensor.type->decode) {
    add(arrays, tensor.name, decoded(in, tensor));
  } else {
    in.seek(tensor.offset);
    add(arrays, tensor.name, in.array(tensor.shape, *tensor.type->dtype));
  }
}

} // namespace
} // namespace mlxc::gguf

mx::GGUFLoad mlxc::read_gguf(const std::string& file, mx::StreamOrDevice) {
  using namespace mlxc::gguf;
  Input in(file);
  Header header = read_header(in);
  ArraysByName arrays;
  for (auto& tensor : header.tensors) {
    add_tensor(arrays, in, tensor);
  }
  return {std::move(arrays), {header.metadata.begin(), header.metadata.end()}};
}
