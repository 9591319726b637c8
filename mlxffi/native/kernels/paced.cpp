#include "paced.h"

#include <algorithm>
#include <deque>
#include <map>
#include <mutex>
#include <optional>

namespace mlxffi {

namespace {

// An array that is there when all is done that its stream was given before it.
class Mark : public mx::Primitive {
 public:
  using Primitive::Primitive;

  const char* name() const override {
    return "Mark";
  }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    outputs[0].copy_shared_buffer(inputs[0]);
  }
  void eval_gpu(const Arrays& inputs, Arrays& outputs) override {
    eval_cpu(inputs, outputs);
  }
};

mx::array marked(mx::Stream s) {
  mx::array mark(mx::Shape{}, mx::bool_, std::make_shared<Mark>(s), {mx::array(true)});
  mx::async_eval({mark});
  return mark;
}

// The latest places of each stream that the host has come to.
class Places {
 public:
  // Of all streams. Never destroyed: threads may evaluate while the process ends.
  static Places& all() {
    static auto& made = *new Places;
    return made;
  }
  // Adds one; of the places before it, the `ahead`-th last, where there are as many.
  std::optional<mx::array> exchange(int stream, const mx::array& mark, size_t ahead) {
    std::lock_guard<std::mutex> lock(mutex_);
    auto& marks = by_stream_[stream];
    std::optional<mx::array> found;
    while (marks.size() >= ahead) {
      found = marks.front();
      marks.pop_front();
    }
    marks.push_back(mark);
    return found;
  }

 private:
  std::mutex mutex_;
  std::map<int, std::deque<mx::array>> by_stream_;
};

class Paced : public mx::Primitive {
 public:
  Paced(mx::Stream s, int ahead) : Primitive(s), ahead_(ahead) {}

  const char* name() const override {
    return "Paced";
  }
  bool is_equivalent(const Primitive& other) const override {
    return ahead_ == static_cast<const Paced&>(other).ahead_;
  }
  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    std::vector<mx::Shape> shapes;
    for (auto& input : inputs) {
      shapes.push_back(input.shape());
    }
    return shapes;
  }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    for (size_t i = 0; i < inputs.size(); i++) {
      outputs[i].copy_shared_buffer(inputs[i]);
    }
  }
  void eval_gpu(const Arrays& inputs, Arrays& outputs) override;
  Arrays jvp(const Arrays& primals, const Arrays& tangents, const std::vector<int>& argnums) override;
  Arrays vjp(const Arrays& primals, const Arrays& cotangents, const std::vector<int>& argnums, const Arrays& outputs) override;
  std::pair<Arrays, std::vector<int>> vmap(const Arrays& inputs, const std::vector<int>& axes) override {
    return {paced(inputs, ahead_, stream()), axes};
  }

 private:
  int ahead_;
};

void Paced::eval_gpu(const Arrays& inputs, Arrays& outputs) {
  eval_cpu(inputs, outputs);
  if (auto before = Places::all().exchange(stream().index, marked(stream()), ahead_)) {
    before->wait();
  }
}

Arrays Paced::jvp(const Arrays& primals, const Arrays& tangents, const std::vector<int>& argnums) {
  Arrays results;
  for (auto& primal : primals) {
    results.push_back(mx::zeros_like(primal, stream()));
  }
  return replaced(results, argnums, paced(tangents, ahead_, stream()));
}

Arrays Paced::vjp(const Arrays&, const Arrays& cotangents, const std::vector<int>& argnums, const Arrays&) {
  return paced(chosen(cotangents, argnums), ahead_, stream());
}

// What a transformation does not follow stays as it is, where it follows others: it would be taken for differentiated.
std::vector<int> followed(const Arrays& arrays) {
  auto is_followed = [](const mx::array& array) { return array.is_tracer(); };
  bool any = std::any_of(arrays.begin(), arrays.end(), is_followed);
  std::vector<int> places;
  for (size_t i = 0; i < arrays.size(); i++) {
    if (!any || is_followed(arrays[i])) {
      places.push_back(static_cast<int>(i));
    }
  }
  return places;
}

} // namespace

Arrays paced(const Arrays& arrays, int ahead, mx::Stream s) {
  auto places = followed(arrays);
  auto inputs = chosen(arrays, places);
  auto node = std::make_shared<Paced>(s, ahead);
  std::vector<mx::Dtype> dtypes;
  for (auto& input : inputs) {
    dtypes.push_back(input.dtype());
  }
  auto outputs = mx::array::make_arrays(node->output_shapes(inputs), dtypes, node, inputs);
  return replaced(arrays, places, outputs);
}

} // namespace mlxffi
