// Steps of Adam and sums of squares.
#include <algorithm>
#include <map>
#include <mutex>

#include <mlx/ops.h>

#include "gpu.h"
#include "gpu_kernel.h"
#include "gpu_optimizer.h"

namespace mlxffi::gpu {

namespace {

// A kernel for each number of arrays. In its text, # stands for the number of one of them.
class ManyKernels {
 public:
  ManyKernels(std::string name, Names inputs, Names outputs, std::string head, std::string choice, std::string body)
      : name_(std::move(name)),
        inputs_(std::move(inputs)),
        outputs_(std::move(outputs)),
        head_(std::move(head)),
        choice_(std::move(choice)),
        body_(std::move(body)) {}

  const mx::fast::CustomKernelFunction& of(int count) {
    std::lock_guard<std::mutex> lock(mutex_);
    auto& kernel = made_[count];
    if (!kernel) {
      auto text = numbered(head_, 0);
      for (int i = 0; i < count; i++) {
        text += numbered(choice_, i);
      }
      kernel = compiled(name_ + "_" + std::to_string(count), numbered(inputs_, count), numbered(outputs_, count), text + body_);
    }
    return kernel;
  }

 private:
  static std::string numbered(std::string text, int number) {
    for (size_t at; (at = text.find('#')) != std::string::npos;) {
      text.replace(at, 1, std::to_string(number));
    }
    return text;
  }
  // Those of a name together; a name without # is there once.
  static Names numbered(const Names& names, int count) {
    Names found;
    for (auto& name : names) {
      for (int i = 0; i < (name.find('#') == std::string::npos ? 1 : count); i++) {
        found.push_back(numbered(name, i));
      }
    }
    return found;
  }

  std::string name_;
  Names inputs_, outputs_;
  std::string head_, choice_, body_;
  std::mutex mutex_;
  std::map<int, mx::fast::CustomKernelFunction> made_;
};

// CUDA hands kernels 4 KB of arguments, Metal 31 buffers.
int arrays_for(int buffers) {
  return language() == Language::cuda ? 16 : 29 / buffers;
}

// How many blocks share the largest of arrays, where each has so much to do.
int parts_of(const Arrays& arrays, int count, size_t each, size_t most) {
  size_t largest = 0;
  for (int i = 0; i < count; i++) {
    largest = std::max(largest, arrays[i].size());
  }
  return int(std::clamp<size_t>(largest / each, 1, most));
}

} // namespace

int arrays_of_adam() {
  return arrays_for(9);
}

int arrays_of_squares() {
  return arrays_for(3);
}

bool is_one_of_many(const mx::array& x) {
  bool has_type = x.dtype() == mx::float32 || x.dtype() == mx::float16 || x.dtype() == mx::bfloat16;
  return has_type && x.size() >= 8 && x.size() < size_t(1) << 31; // MLX hands Metal smaller ones in another address space
}

Arrays adam(const Arrays& inputs, mx::Stream s) {
  static ManyKernels kernels(
      "adam", {"w#", "g#", "m#", "v#", "settings"}, {"new_w#", "new_m#", "new_v#"}, adam_head, adam_choice, adam_body);
  int count = int(inputs.size() - 1) / 4;
  std::vector<mx::Shape> shapes;
  std::vector<mx::Dtype> dtypes;
  for (int list : {0, 2, 3}) {
    for (int i = 0; i < count; i++) {
      shapes.push_back(inputs[list * count + i].shape());
      dtypes.push_back(inputs[list * count + i].dtype());
    }
  }
  const int width = 128, parts = parts_of(inputs, count, 8 * width, 1024);
  const std::vector<std::pair<std::string, mx::fast::TemplateArg>> options{
      {"T", dtypes[0]}, {"G", inputs[count].dtype()}, {"M", dtypes[count]}};
  return kernels.of(count)(inputs, shapes, dtypes, {parts * width, count, 1}, {width, 1, 1}, options, std::nullopt, false, s);
}

mx::array sum_of_squares(const Arrays& arrays, mx::Stream s) {
  static ManyKernels kernels("squares", {"x#"}, {"sums"}, squares_head, squares_choice, squares_body);
  int count = int(arrays.size());
  const int width = 256, parts = parts_of(arrays, count, 32 * width, 256);
  auto sums = kernels.of(count)(
      arrays, {{count, parts}}, {mx::float32}, {parts * width, count, 1}, {width, 1, 1}, {{"T", arrays[0].dtype()}}, std::nullopt, false, s);
  return mx::sum(sums[0], s);
}

} // namespace mlxffi::gpu
