#include "optimizer.h"

#include <map>

#include "composing.h"
#include "gpu.h"

namespace mlxffi {

namespace {

using Places = std::vector<int>;

bool has_kernel(const mx::array& x, mx::Stream s) {
  return s.device == mx::Device::gpu && !Composing::active() && gpu::is_one_of_many(x);
}

// Places of what goes together, of lists that are as long: arrays of the same dtypes for a kernel, others each alone.
std::vector<Places> together(const std::vector<Arrays>& lists, mx::Stream s, int (*most)()) {
  std::vector<Places> found;
  std::map<std::vector<mx::Dtype::Val>, size_t> open;
  for (size_t i = 0; i < lists[0].size(); i++) {
    std::vector<mx::Dtype::Val> kinds;
    for (auto& list : lists) {
      kinds.push_back(list[i].dtype().val());
    }
    bool alone = !has_kernel(lists[0][i], s);
    auto [group, is_new] = open.try_emplace(kinds, found.size());
    if (alone || is_new || int(found[group->second].size()) == most()) {
      group->second = found.size();
      found.emplace_back();
    }
    found[group->second].push_back(int(i));
    if (alone) {
      open.erase(group);
    }
  }
  return found;
}

// Many arrays on a GPU; elsewhere, it is the composed form.
class OptimizerOperation : public Fused {
 public:
  using Fused::Fused;

  static Arrays made_by(std::shared_ptr<OptimizerOperation> operation, const Arrays& inputs) {
    return has_kernel(inputs[0], operation->where()) ? Fused::apply(operation, inputs) : operation->composed(inputs);
  }

 protected:
  bool is_node() const override {
    return false;
  }
};

// All parameters, gradients, m and v, numbers -> all parameters, m and v.
class Adam : public OptimizerOperation {
 public:
  using OptimizerOperation::OptimizerOperation;

  const char* name() const override {
    return "FusedAdam";
  }
  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    std::vector<mx::Shape> shapes;
    for (auto& old : olds(inputs)) {
      shapes.push_back(old.shape());
    }
    return shapes;
  }

 protected:
  // What there is anew.
  static Arrays olds(const Arrays& inputs) {
    size_t count = inputs.size() / 4;
    Arrays found(inputs.begin(), inputs.begin() + count);
    found.insert(found.end(), inputs.begin() + 2 * count, inputs.end() - 1);
    return found;
  }
  std::vector<mx::Dtype> output_dtypes(const Arrays& inputs) const override {
    std::vector<mx::Dtype> dtypes;
    for (auto& old : olds(inputs)) {
      dtypes.push_back(old.dtype());
    }
    return dtypes;
  }
  Arrays as_graph(const Arrays& inputs) const override {
    auto given = inputs;
    given.back() = mx::astype(inputs.back(), mx::float32, where());
    return gpu::adam(given, where());
  }
  Arrays composed(const Arrays& inputs) const override {
    int count = int(inputs.size()) / 4;
    auto found = olds(inputs);
    for (int i = 0; i < count; i++) {
      auto made = stepped({inputs[i], inputs[count + i], inputs[2 * count + i], inputs[3 * count + i], inputs.back()});
      found = replaced(found, {i, count + i, 2 * count + i}, made);
    }
    return found;
  }

 private:
  Arrays stepped(const Arrays& inputs) const;
};

// Of one array.
Arrays Adam::stepped(const Arrays& inputs) const {
  auto s = where();
  auto dtype = sums_dtype(inputs[0]);
  auto wide = [&](int place) { return mx::astype(inputs[place], dtype, s); };
  auto numbers = mx::split(wide(4), adam_numbers, 0, s);
  auto scaled = [&](int number, const mx::array& x) { return mx::multiply(numbers[number], x, s); };
  auto g = scaled(1, wide(1));
  auto m = mx::add(scaled(4, wide(2)), scaled(5, g), s);
  auto v = mx::add(scaled(6, wide(3)), scaled(7, mx::square(g, s)), s);
  auto size = mx::add(scaled(8, mx::sqrt(v, s)), numbers[9], s);
  auto w = mx::subtract(scaled(3, wide(0)), scaled(2, mx::divide(m, size, s)), s);
  auto applied = mx::not_equal(numbers[0], mx::array(0, dtype), s);
  auto chosen = [&](const mx::array& made, int place) {
    auto& old = inputs[place];
    return mx::reshape(mx::where(applied, mx::astype(made, old.dtype(), s), old, s), old.shape(), s);
  };
  return {chosen(w, 0), chosen(m, 2), chosen(v, 3)};
}

// Arrays of one dtype -> a number.
class SumOfSquares : public OptimizerOperation {
 public:
  using OptimizerOperation::OptimizerOperation;

  const char* name() const override {
    return "FusedSumOfSquares";
  }
  std::vector<mx::Shape> output_shapes(const Arrays&) override {
    return {mx::Shape{}};
  }

 protected:
  std::vector<mx::Dtype> output_dtypes(const Arrays& inputs) const override {
    return {sums_dtype(inputs[0])};
  }
  Arrays as_graph(const Arrays& inputs) const override {
    return {gpu::sum_of_squares(inputs, where())};
  }
  Arrays composed(const Arrays& inputs) const override {
    auto squares = [&](const mx::array& x) { return mx::square(mx::astype(x, sums_dtype(x), where()), where()); };
    auto sum = mx::sum(squares(inputs[0]), false, where());
    for (size_t i = 1; i < inputs.size(); i++) {
      sum = mx::add(sum, mx::sum(squares(inputs[i]), false, where()), where());
    }
    return {sum};
  }
};

} // namespace

Arrays adam(const AdamArrays& arrays, const mx::array& numbers, mx::Stream s) {
  const std::vector<Arrays> lists{arrays.parameters, arrays.gradients, arrays.m, arrays.v};
  Arrays found[3] = {lists[0], lists[2], lists[3]};
  for (auto& places : together(lists, s, gpu::arrays_of_adam)) {
    Arrays inputs;
    for (auto& list : lists) {
      auto own = chosen(list, places);
      inputs.insert(inputs.end(), own.begin(), own.end());
    }
    inputs.push_back(numbers);
    auto made = OptimizerOperation::made_by(std::make_shared<Adam>(s), inputs);
    for (size_t i = 0; i < made.size(); i++) {
      found[i / places.size()][places[i % places.size()]] = made[i];
    }
  }
  for (int list : {1, 2}) {
    found[0].insert(found[0].end(), found[list].begin(), found[list].end());
  }
  return found[0];
}

mx::array sum_of_squares(const Arrays& arrays, mx::Stream s) {
  auto sum = mx::array(0.0f);
  for (auto& places : together({arrays}, s, gpu::arrays_of_squares)) {
    auto made = OptimizerOperation::made_by(std::make_shared<SumOfSquares>(s), chosen(arrays, places));
    sum = mx::add(sum, made[0], s);
  }
  return sum;
}

} // namespace mlxffi
