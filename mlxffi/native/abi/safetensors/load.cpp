#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "header.h"
#include "safetensors.h"

namespace mlxc {

namespace {

using namespace safetensors;

constexpr const char* dtypes[] = {"BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64", "F16", "BF16", "F32", "F64", "C64", "F8_E4M3"};

// A file from which several threads may read.
class File : public mx::io::Reader {
 public:
  explicit File(const std::string& path) : path_(path), descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
  ~File() override {
    if (descriptor_ >= 0) {
      ::close(descriptor_);
    }
  }
  bool is_open() const override {
    return descriptor_ >= 0;
  }
  bool good() const override {
    return is_open();
  }
  size_t tell() override {
    return ::lseek(descriptor_, 0, SEEK_CUR);
  }
  void seek(int64_t off, std::ios_base::seekdir way) override {
    ::lseek(descriptor_, off, way == std::ios_base::beg ? SEEK_SET : way == std::ios_base::end ? SEEK_END : SEEK_CUR);
  }
  void read(char* data, size_t n) override {
    size_t place = tell();
    read(data, n, place);
    seek(place + n, std::ios_base::beg);
  }
  void read(char* data, size_t n, size_t offset) override {
    while (n > 0) {
      ssize_t got = ::pread(descriptor_, data, n, offset);
      if (got <= 0 && !(got < 0 && errno == EINTR)) {
        throw std::runtime_error("[read] Unable to read " + std::to_string(n) + " bytes from " + label());
      }
      got = std::max<ssize_t>(got, 0);
      data += got, offset += got, n -= got;
    }
  }
  std::string label() const override {
    return "file " + path_;
  }

 private:
  std::string path_;
  int descriptor_;
};

// A stream whose first bytes are others.
class Patched : public mx::io::Reader {
 public:
  Patched(Source source, std::string start) : source_(std::move(source)), start_(std::move(start)) {}
  bool is_open() const override {
    return source_->is_open();
  }
  bool good() const override {
    return source_->good();
  }
  size_t tell() override {
    return source_->tell();
  }
  void seek(int64_t off, std::ios_base::seekdir way) override {
    source_->seek(off, way);
  }
  void read(char* data, size_t n) override {
    size_t place = tell();
    source_->read(data, n);
    patch(data, n, place);
  }
  void read(char* data, size_t n, size_t offset) override {
    source_->read(data, n, offset);
    patch(data, n, offset);
  }
  std::string label() const override {
    return source_->label();
  }

 private:
  void patch(char* data, size_t n, size_t offset) const {
    if (offset < start_.size()) {
      std::copy_n(start_.data() + offset, std::min(n, start_.size() - offset), data);
    }
  }
  Source source_;
  const std::string start_;
};

size_t size_of(mx::io::Reader& source) {
  size_t place = source.tell();
  source.seek(0, std::ios_base::end);
  size_t size = source.tell();
  source.seek(place, std::ios_base::beg);
  return size;
}

// The length and the JSON; nothing where there is no such thing, of which MLX tells.
std::string start_of(mx::io::Reader& source) {
  size_t size = source.is_open() && source.good() ? size_of(source) : 0;
  if (size < length_size) {
    return "";
  }
  std::string start(length_size, '\0');
  source.read(start.data(), length_size, 0);
  uint64_t length = length_of(start);
  if (length > size - length_size) {
    return "";
  }
  start.resize(length_size + length);
  source.read(start.data() + length_size, length, length_size);
  return start;
}

void require_known(const Entry& entry) {
  if (std::find(std::begin(dtypes), std::end(dtypes), entry.dtype) == std::end(dtypes)) {
    throw std::runtime_error("[load_safetensors] tensor " + shown(entry.name) + ": MLX has no dtype " + entry.dtype);
  }
}

// Reads float64 as int64, and gives the names of such tensors.
std::vector<std::string> disguise(std::string& start) {
  std::vector<std::string> names;
  for (auto& entry : entries_of(start.substr(length_size))) {
    require_known(entry);
    if (entry.dtype == "F64") {
      start.replace(length_size + entry.place, 3, "I64");
      names.push_back(entry.name);
    }
  }
  return names;
}

template <class Load>
mx::SafetensorsLoad read_disguised(const Source& source, mx::StreamOrDevice s, Load&& load_plain) {
  std::string start = start_of(*source);
  auto names = start.empty() ? std::vector<std::string>() : disguise(start);
  if (names.empty()) {
    return load_plain();
  }
  auto loaded = mx::load_safetensors(std::make_shared<Patched>(source, start), s);
  for (auto& name : names) {
    auto& array = loaded.first.at(name);
    array = mx::view(array, mx::float64, mx::Device::cpu);
  }
  return loaded;
}

} // namespace

mx::SafetensorsLoad read_safetensors(const Source& source, mx::StreamOrDevice s) {
  return read_disguised(source, s, [&] { return mx::load_safetensors(source, s); });
}

mx::SafetensorsLoad read_safetensors(const std::string& file, mx::StreamOrDevice s) {
  return read_disguised(std::make_shared<File>(file), s, [&] { return mx::load_safetensors(file, s); });
}

} // namespace mlxc
