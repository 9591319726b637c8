#include "input.h"

#include <filesystem>
#include <limits>
#include <stdexcept>

#include "mlx/allocator.h"

namespace mlxc::gguf {

Input::Input(const std::string& file) : stream_(file, std::ios::binary) {
  std::error_code problem;
  size_ = std::filesystem::file_size(file, problem);
  if (problem || !stream_) {
    throw std::invalid_argument("[load_gguf] Failed to open file " + file);
  }
}

void Input::seek(uint64_t position) {
  stream_.seekg(static_cast<std::streamoff>(position));
  position_ = position;
}

void Input::read(void* to, uint64_t bytes) {
  if (bytes > size_ - position_ || !stream_.read(static_cast<char*>(to), static_cast<std::streamsize>(bytes))) {
    throw std::runtime_error("expected " + std::to_string(bytes) + " more bytes at " + std::to_string(position_) + " of the file's " + std::to_string(size_));
  }
  position_ += bytes;
}

int Input::count(uint64_t least_bytes) {
  auto count = number<uint64_t>();
  if (count > (size_ - position_) / least_bytes || count > uint64_t(std::numeric_limits<int>::max())) {
    throw std::runtime_error("expected a length that fits the file, got " + std::to_string(count));
  }
  return static_cast<int>(count);
}

std::string Input::text() {
  std::string text(count(1), '\0');
  read(text.data(), text.size());
  return text;
}

std::string Input::name() {
  std::string name = text();
  if (name.find('\0') != std::string::npos) {
    throw std::runtime_error("expected a text without NUL characters, got " + shown(name));
  }
  return name;
}

mx::array Input::array(const mx::Shape& shape, mx::Dtype dtype) {
  mx::array values = unfilled(shape, dtype);
  read(values.data<char>(), values.nbytes());
  if (dtype == mx::bool_) {
    // Any byte but 0 is true in a file, and only 1 is in memory.
    for (size_t i = 0; i < values.size(); i++) {
      values.data<uint8_t>()[i] = values.data<uint8_t>()[i] != 0;
    }
  }
  return values;
}

mx::array unfilled(const mx::Shape& shape, mx::Dtype dtype) {
  size_t bytes = dtype.size();
  for (int extent : shape) {
    bytes *= extent;
  }
  return mx::array(mx::allocator::malloc(bytes), shape, dtype);
}

} // namespace mlxc::gguf
