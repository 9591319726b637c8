#include <algorithm>
#include <map>
#include <mutex>

#include "gpu_kernel.h"
#include "gpu_low_rank.h"

namespace mlxffi::gpu {

namespace {

Names numbered(const std::string& name, int count) {
  Names names;
  for (int i = 0; i < count; i++) {
    names.push_back(name + "_" + std::to_string(i));
  }
  return names;
}

Names operator+(Names names, const Names& more) {
  names.insert(names.end(), more.begin(), more.end());
  return names;
}

std::string joined(const Names& names, const std::string& between) {
  std::string all = names[0];
  for (size_t i = 1; i < names.size(); i++) {
    all += between + names[i];
  }
  return all;
}

// What stands for one of several, by the item of the block.
std::string chosen(const std::string& name, int count, const std::string& suffix = "") {
  std::string choice;
  for (int i = 0; i + 1 < count; i++) {
    choice += "place.item == " + std::to_string(i) + " ? " + name + "_" + std::to_string(i) + suffix + " : ";
  }
  return choice + name + "_" + std::to_string(count - 1) + suffix;
}

// The words of a kernel that are different arrays for one x and for several.
class Words {
 public:
  explicit Words(LowRank factors) : factors_(factors) {}

  Names x() const {
    return factors_.each ? numbered("x", factors_.count) : Names{"x"};
  }
  Names factors() const {
    return numbered("factor", factors_.count);
  }
  Names outputs(const std::string& name) const {
    return factors_.each ? numbered(name, factors_.count) : Names{name};
  }
  std::string define_x() const {
    if (!factors_.each) {
      return "";
    }
    return "const auto x = " + chosen("x", factors_.count) + ";\nconst auto x_shape = " +
           chosen("x", factors_.count, "_shape") + ";\nconst int x_ndim = x_0_ndim;\n";
  }
  std::string define_factors() const {
    return "const Inputs<F, COUNT> factors{{" + list("factor") + "}};\n";
  }
  // The columns of `low` that belong to the item.
  std::string define_low(const std::string& name) const {
    return "const auto " + name + " = low + place.item * RANK;\n";
  }
  std::string define_out() const {
    return factors_.each ? "const auto out = " + chosen("out", factors_.count) + ";\n" : "";
  }
  // Where in a part's gradients those of the item begin.
  std::string define_to() const {
    std::string all = "0", begin = "0";
    for (int i = 0; i < factors_.count; i++) {
      auto x = factors_.each ? "x_" + std::to_string(i) : "x";
      auto features = "uint(" + x + "_shape[" + x + "_ndim - 1])";
      all += " + " + features;
      begin += factors_.each ? " + (place.item > " + std::to_string(i) + " ? " + features + " : 0)" : "";
    }
    return "const auto to = parts + (size_t(place.part) * (" + all + ") + (" + begin + ")) * RANK;\n";
  }

 private:
  std::string list(const std::string& name) const {
    return factors_.each ? chosen(name, factors_.count) : joined(numbered(name, factors_.count), ", ");
  }

  LowRank factors_;
};

// The kernel for so many factors, made once.
template <class Make>
const Kernel& kernel_for(LowRank factors, const char* name, Make make) {
  static std::mutex mutex;
  static std::map<std::string, Kernel> kernels;
  std::lock_guard lock(mutex);
  auto key = std::string(name) + (factors.each ? "_each_" : "_") + std::to_string(factors.count);
  auto found = kernels.find(key);
  return (found == kernels.end() ? kernels.emplace(key, make(key, Words(factors))).first : found)->second;
}

// How many ranks a block works on at once.
int ranks(LowRank factors) {
  return factors.each ? factors.rank : factors.rank * factors.count;
}

Options options_of(LowRank factors) {
  int count = factors.each ? 1 : factors.count;
  return {{"COUNT", count}, {"RANK", factors.rank}, {"STRIDE", factors.rank * factors.count}, {"LAST", factors.last}};
}

int items(LowRank factors) {
  return factors.each ? factors.count : 1;
}

// Of several x, the one with most features.
int most_features(const Arrays& inputs, LowRank factors) {
  int most = 0;
  for (int i = 0; i < items(factors); i++) {
    most = std::max<int>(most, inputs[i].shape(-1));
  }
  return most;
}

} // namespace

Node low_rank_down(const Arrays& inputs, LowRank factors, float scale, mx::Stream s) {
  auto& kernel = kernel_for(factors, "low_rank_down", [](auto& name, Words words) {
    auto body = words.define_x() + words.define_factors() + words.define_low("to") + low_rank_down_body;
    return Kernel(name, words.x() + words.factors(), {"low"}, low_rank_source, body);
  });
  auto shape = batch(inputs[0]);
  shape.push_back(factors.rank * factors.count);
  constexpr int rows = 2;
  auto options = options_of(factors);
  // MLX tells kernels apart by their template arguments, not by the dtypes of their inputs.
  options.insert(options.end(), {{"F", inputs.back().dtype()}, {"ROWS", rows}, {"SCALE", bits(scale)}});
  Grid grid{parts_of(rows_of(inputs[0]), rows * usual_threads / warp), 1, items(factors)};
  return kernel(inputs, {{shape, mx::float32}}, grid, options, s);
}

Node low_rank_up(const Arrays& inputs, LowRank factors, mx::Stream s) {
  auto& kernel = kernel_for(factors, "low_rank_up", [](auto& name, Words words) {
    auto body = words.define_x() + words.define_factors() + words.define_low("from") + words.define_out() + low_rank_up_body;
    return Kernel(name, words.x() + Names{"low"} + words.factors(), words.outputs("out"), low_rank_source, body);
  });
  std::vector<Output> outputs;
  for (int i = 0; i < items(factors); i++) {
    outputs.push_back({inputs[i].shape(), inputs[i].dtype()});
  }
  constexpr int rows = 4, turns = 2;
  auto options = options_of(factors);
  options.insert(options.end(), {{"F", inputs.back().dtype()}, {"ROWS", rows}});
  auto parts = std::min<int64_t>(parts_of(rows_of(inputs[0]), rows * turns * usual_threads / warp), 32768);
  Grid grid{parts_of(most_features(inputs, factors), warp * chunk(inputs[0])), static_cast<int>(parts), items(factors)};
  return kernel(inputs, outputs, grid, options, s);
}

int outer_parts(const mx::array& x) {
  return static_cast<int>(std::min<int64_t>(parts_of(rows_of(x), 256), 64));
}

Node low_rank_outer(const Arrays& inputs, LowRank factors, mx::Stream s) {
  auto& kernel = kernel_for(factors, "low_rank_outer", [](auto& name, Words words) {
    auto body = words.define_x() + words.define_low("from") + words.define_to() + low_rank_outer_body;
    return Kernel(name, words.x() + Names{"low"}, {"parts"}, low_rank_source, body);
  });
  int size = 0, parts = outer_parts(inputs[0]);
  for (int i = 0; i < factors.count; i++) {
    size += inputs[factors.each ? i : 0].shape(-1) * factors.rank;
  }
  Grid grid{parts_of(most_features(inputs, factors), 2 * warp), parts, items(factors)};
  return kernel(inputs, {{{parts, size}, mx::float32}}, grid, options_of(factors), s);
}

} // namespace mlxffi::gpu
