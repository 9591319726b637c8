// Arrays and metadata as a file of version 3.
#include <algorithm>
#include <fstream>
#include <stdexcept>

#include "evaluation.h"
#include "format.h"

namespace mlxc::gguf {

namespace {

class Output {
 public:
  explicit Output(const std::string& file) : stream_(file, std::ios::binary) {
    if (!stream_) {
      throw std::runtime_error("[save_gguf] Failed to open file " + file);
    }
  }
  void write(const void* from, uint64_t bytes) {
    stream_.write(static_cast<const char*>(from), static_cast<std::streamsize>(bytes));
    position_ += bytes;
  }
  template <class Number>
  void number(Number value) {
    write(&value, sizeof value);
  }
  void text(const std::string& value) {
    number<uint64_t>(value.size());
    write(value.data(), value.size());
  }
  void pad(uint64_t alignment) {
    std::string zeros(aligned(position_, alignment) - position_, '\0');
    write(zeros.data(), zeros.size());
  }
  void close() {
    stream_.close();
    if (!stream_) {
      throw std::runtime_error("[save_gguf] Unable to write " + std::to_string(position_) + " bytes");
    }
  }

 private:
  std::ofstream stream_;
  uint64_t position_ = 0;
};

// --- metadata ---

void write_numbers(Output& out, const mx::array& array) {
  if (array.ndim()) {
    out.number(ValueType::list);
  }
  out.number(*value_type_of(array.dtype()));
  if (array.ndim()) {
    out.number<uint64_t>(array.size());
  }
  out.write(array.data<char>(), array.nbytes());
}

void write_texts(Output& out, const std::vector<std::string>& texts) {
  out.number(ValueType::list);
  out.number(ValueType::text);
  out.number<uint64_t>(texts.size());
  for (auto& text : texts) {
    out.text(text);
  }
}

void write_entry(Output& out, const std::string& key, const mx::GGUFMetaData& value) {
  out.text(key);
  if (auto* array = std::get_if<mx::array>(&value)) {
    write_numbers(out, *array);
  } else if (auto* texts = std::get_if<std::vector<std::string>>(&value)) {
    write_texts(out, *texts);
  } else {
    out.number(ValueType::text);
    out.text(std::get<std::string>(value));
  }
}

// --- tensors ---

void write_tensor_info(Output& out, const std::string& name, const mx::array& array, uint64_t offset) {
  out.text(name);
  out.number<uint32_t>(array.ndim());
  for (auto extent = array.shape().rbegin(); extent != array.shape().rend(); extent++) {
    out.number<uint64_t>(*extent);
  }
  out.number(tensor_type_of(array.dtype())->number);
  out.number(offset);
}

void write_tensors(Output& out, const std::map<std::string, mx::array>& arrays, uint64_t alignment) {
  uint64_t offset = 0;
  for (auto& [name, array] : arrays) {
    write_tensor_info(out, name, array, offset);
    offset = aligned(offset + array.nbytes(), alignment);
  }
  for (auto& [name, array] : arrays) {
    out.pad(alignment);
    out.write(array.data<char>(), array.nbytes());
  }
  out.pad(alignment);
}

// --- what the format can hold ---

[[noreturn]] void refuse(const std::string& what, const std::string& name, const std::string& problem) {
  throw std::runtime_error("[save_gguf] " + what + " " + shown(name) + ": " + problem);
}

void require_axes(const std::string& what, const std::string& name, const mx::array& array, size_t most) {
  if (array.ndim() > most) {
    refuse(what, name, "expected at most " + std::to_string(most) + " axes, got " + std::to_string(array.ndim()));
  }
}

void require_tensor(const std::string& name, const mx::array& array) {
  if (!tensor_type_of(array.dtype())) {
    refuse("tensor", name, "dtype " + printed(array.dtype()) + " is not supported");
  }
  require_axes("tensor", name, array, most_axes);
}

void require_numbers(const std::string& key, const mx::array& array) {
  if (!value_type_of(array.dtype())) {
    throw std::invalid_argument("[save_gguf] metadata " + shown(key) + ": dtype " + printed(array.dtype()) + " is not supported");
  }
  require_axes("metadata", key, array, 1);
}

// --- both, in row order and computed: an array may yet have to be read from the file that is written ---

mx::array in_rows(const mx::array& array) {
  return mx::contiguous(array, false, mx::Device::cpu);
}

std::map<std::string, mx::array> computed(const std::unordered_map<std::string, mx::array>& arrays) {
  std::map<std::string, mx::array> rows;
  Arrays all;
  for (auto& [name, array] : arrays) {
    require_tensor(name, array);
    all.push_back(rows.emplace(name, in_rows(array)).first->second);
  }
  evaluate(all);
  return rows;
}

Metadata computed(const std::unordered_map<std::string, mx::GGUFMetaData>& metadata) {
  Metadata rows(metadata.begin(), metadata.end());
  Arrays all;
  for (auto& [key, value] : rows) {
    if (auto* array = std::get_if<mx::array>(&value)) {
      require_numbers(key, *array);
      all.push_back(*array = in_rows(*array));
    }
  }
  evaluate(all);
  return rows;
}

} // namespace
} // namespace mlxc::gguf

void mlxc::write_gguf(std::string file, const mx::GGUFLoad& contents) {
  using namespace mlxc::gguf;
  auto arrays = gguf::computed(contents.first);
  auto metadata = gguf::computed(contents.second);
  uint64_t alignment = alignment_of(metadata);
  Output out(file.ends_with(".gguf") ? file : file + ".gguf");
  out.number(magic);
  out.number<uint32_t>(3);
  out.number<uint64_t>(arrays.size());
  out.number<uint64_t>(metadata.size());
  for (auto& [key, value] : metadata) {
    write_entry(out, key, value);
  }
  write_tensors(out, arrays, alignment);
  out.close();
}
