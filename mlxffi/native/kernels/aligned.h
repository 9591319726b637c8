// Memory that begins with a cache line: a vector that spans two lines takes twice the time to load.
#pragma once

#include <cstdint>
#include <memory>
#include <new>

namespace mlxffi {

// Floats of any content, which grow as they are asked for.
class AlignedFloats {
 public:
  float* get(int64_t size) {
    if (size > size_) {
      memory_.reset(static_cast<float*>(::operator new(size * sizeof(float), line)));
      size_ = size;
    }
    return memory_.get();
  }
  static bool aligned(const float* data) {
    return reinterpret_cast<uintptr_t>(data) % static_cast<size_t>(line) == 0;
  }

 private:
  static constexpr std::align_val_t line{64};
  struct Free {
    void operator()(float* memory) const {
      ::operator delete(memory, line);
    }
  };
  std::unique_ptr<float, Free> memory_;
  int64_t size_ = 0;
};

} // namespace mlxffi
