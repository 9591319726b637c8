#include <algorithm>

#include "evaluation.h"
#include "header.h"
#include "process.h"
#include "safetensors.h"

namespace mlxc {

namespace {

using namespace safetensors;

// A stream into whose header the float64 is put that MLX has seen as int64.
class Undisguised : public mx::io::Writer {
 public:
  Undisguised(Target target, const ArrayMap& arrays) : target_(std::move(target)), arrays_(arrays) {}
  void open() override {
    target_->open();
  }
  bool is_open() const override {
    return target_->is_open();
  }
  bool good() const override {
    return target_->good();
  }
  size_t tell() override {
    return target_->tell() + start_.size();
  }
  void seek(int64_t off, std::ios_base::seekdir way) override {
    target_->seek(off, way);
  }
  void write(const char* data, size_t n) override {
    if (whole_) {
      return target_->write(data, n);
    }
    start_.append(data, n);
    whole_ = start_.size() >= length_size && start_.size() - length_size >= length_of(start_);
    if (whole_) {
      undisguise();
      target_->write(start_.data(), start_.size());
      start_.clear();
    }
  }
  std::string label() const override {
    return target_->label();
  }

 private:
  void undisguise() {
    for (auto& entry : entries_of(start_.substr(length_size))) {
      if (arrays_.at(entry.name).dtype() == mx::float64) {
        start_.replace(length_size + entry.place, 3, "F64");
      }
    }
  }
  const Target target_;
  const ArrayMap& arrays_;
  std::string start_;
  bool whole_ = false;
};

bool has_float64(const ArrayMap& arrays) {
  return std::any_of(arrays.begin(), arrays.end(), [](auto& item) { return item.second.dtype() == mx::float64; });
}

} // namespace

void write_safetensors(const Target& target, const ArrayMap& arrays, const StringMap& metadata) {
  // MLX computes copies of what it writes.
  require_streams();
  Arrays values;
  for (auto& [name, array] : arrays) {
    values.push_back(array);
  }
  evaluate(values);
  if (!has_float64(arrays)) {
    return mx::save_safetensors(target, arrays, metadata);
  }
  ArrayMap disguised = arrays;
  for (auto& [name, array] : disguised) {
    if (array.dtype() == mx::float64) {
      array = mx::view(array, mx::int64, mx::Device::cpu);
    }
  }
  mx::save_safetensors(std::make_shared<Undisguised>(target, arrays), disguised, metadata);
}

void write_safetensors(std::string file, const ArrayMap& arrays, const StringMap& metadata) {
  if (!file.ends_with(".safetensors")) {
    file += ".safetensors";
  }
  write_safetensors(std::make_shared<mx::io::FileWriter>(file), arrays, metadata);
}

} // namespace mlxc
