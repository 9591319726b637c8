// A file that is read from front to back and never past its end, whatever it says of itself.
#pragma once

#include <fstream>

#include "format.h"

namespace mlxc::gguf {

class Input {
 public:
  // Throws std::invalid_argument for what is no file that can be read.
  explicit Input(const std::string& file);

  uint64_t size() const {
    return size_;
  }
  uint64_t position() const {
    return position_;
  }
  void seek(uint64_t position);

  void read(void* to, uint64_t bytes);

  template <class Number>
  Number number() {
    Number value;
    read(&value, sizeof value);
    return value;
  }

  // How many follow of what takes at least so many bytes each, and fewer than an axis can count.
  int count(uint64_t least_bytes);
  std::string text();
  // A text that C can hold.
  std::string name();

  // An array of numbers as they lie there.
  mx::array array(const mx::Shape& shape, mx::Dtype dtype);

 private:
  std::ifstream stream_;
  uint64_t size_;
  uint64_t position_ = 0;
};

// An array with memory and no values yet.
mx::array unfilled(const mx::Shape& shape, mx::Dtype dtype);

} // namespace mlxc::gguf
