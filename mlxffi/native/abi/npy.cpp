#include "npy.h"

#include <algorithm>
#include <fstream>

#include "evaluation.h"
#include "process.h"

namespace mlxc {

namespace {

// As much of a file as has its header, but for records of very many fields.
constexpr size_t start_size = 4096;

// The dtype in a header, which is the text of a dict of Python.
std::string dtype_in(const std::string& start) {
  constexpr const char *key = "'descr': ", *next = ", 'fortran_order'";
  size_t begin = start.find(key);
  size_t end = begin == std::string::npos ? begin : start.find(next, begin);
  return begin == std::string::npos ? "" : start.substr(begin + 9, end == std::string::npos ? end : end - begin - 9);
}

template <class Load, class Start>
mx::array read_named(Load&& load, Start&& start) {
  try {
    return load();
  } catch (const std::invalid_argument& error) {
    std::string dtype = std::string(error.what()).starts_with("[from_str]") ? dtype_in(start()) : "";
    if (dtype.empty()) {
      throw;
    }
    throw std::invalid_argument("[load] expected elements of a dtype of MLX, got " + shown(dtype));
  }
}

} // namespace

mx::array read_npy(const std::shared_ptr<mx::io::Reader>& source, mx::StreamOrDevice s) {
  return read_named([&] { return mx::load(source, s); }, [&] {
    source->seek(0, std::ios_base::end);
    std::string start(std::min(source->tell(), start_size), '\0');
    source->read(start.data(), start.size(), 0);
    return start;
  });
}

mx::array read_npy(const std::string& file, mx::StreamOrDevice s) {
  return read_named([&] { return mx::load(file, s); }, [&] {
    std::string start(start_size, '\0');
    std::ifstream stream(file, std::ios::binary);
    stream.read(start.data(), start.size());
    start.resize(stream.gcount());
    return start;
  });
}

const mx::array& to_write(const mx::array& array) {
  require_streams();
  return computed(array);
}

} // namespace mlxc
