#include "fused.h"

#include <numeric>

#include "composing.h"

namespace mlxffi {

namespace {

// The places, among those asked for, of inputs that can be differentiated: not integers.
std::vector<int> floating(const Arrays& primals, const std::vector<int>& argnums) {
  std::vector<int> found;
  for (int argnum : argnums) {
    if (mx::issubdtype(primals[argnum].dtype(), mx::floating)) {
      found.push_back(argnum);
    }
  }
  return found;
}

} // namespace

Arrays chosen(const Arrays& arrays, const std::vector<int>& places) {
  Arrays result;
  for (int place : places) {
    result.push_back(arrays[place]);
  }
  return result;
}

Arrays replaced(Arrays arrays, const std::vector<int>& places, const Arrays& values) {
  for (size_t i = 0; i < places.size(); i++) {
    arrays[places[i]].overwrite_descriptor(values[i]);
  }
  return arrays;
}

mx::array batched(const mx::array& input, int axis, int size, mx::Stream s) {
  if (axis >= 0) {
    return mx::moveaxis(input, axis, 0, s);
  }
  auto shape = input.shape();
  shape.insert(shape.begin(), size);
  return mx::broadcast_to(mx::expand_dims(input, 0, s), shape, s);
}

Arrays Fused::apply(std::shared_ptr<Fused> operation, Arrays inputs) {
  if (operation->is_node()) {
    auto shapes = operation->output_shapes(inputs);
    auto dtypes = operation->output_dtypes(inputs);
    if (shapes.size() > 1) {
      return mx::array::make_arrays(std::move(shapes), dtypes, operation, inputs);
    }
    Arrays made;
    made.emplace_back(std::move(shapes[0]), dtypes[0], std::move(operation), std::move(inputs));
    return made;
  }
  auto fun = [operation](const Arrays& given) { return operation->as_graph(given); };
  auto vjp = [operation](const Arrays& primals, const Arrays& cotangents, const Arrays& outputs) {
    std::vector<int> every(primals.size());
    std::iota(every.begin(), every.end(), 0);
    return operation->vjp(primals, cotangents, every, outputs);
  };
  auto jvp = [operation](const Arrays& primals, const Arrays& tangents, const std::vector<int>& argnums) {
    return operation->jvp(primals, tangents, argnums);
  };
  auto vmap = [operation](const Arrays& given, const std::vector<int>& axes) { return operation->vmap(given, axes); };
  return mx::custom_function(fun, vjp, jvp, vmap)(inputs);
}

bool Fused::is_node() const {
  return where().device == mx::Device::cpu;
}

void Fused::eval_cpu(const Arrays&, Arrays&) {
  throw std::logic_error(std::string("[") + name() + "] this operation is a graph of others and has no evaluation");
}

void Fused::eval_gpu(const Arrays&, Arrays&) {
  throw std::runtime_error(std::string("[") + name() + "] this node was built for a CPU stream and has no GPU evaluation");
}

Arrays Fused::jvp(const Arrays& primals, const Arrays& tangents, const std::vector<int>& argnums) {
  auto places = floating(primals, argnums);
  Arrays directions;
  for (size_t i = 0; i < argnums.size(); i++) {
    if (std::find(places.begin(), places.end(), argnums[i]) != places.end()) {
      directions.push_back(tangents[i]);
    }
  }
  auto fun = [&](const Arrays& values) { return composed(replaced(primals, places, values)); };
  Arrays results;
  if (!places.empty()) {
    results = mx::jvp(fun, chosen(primals, places), directions).second;
  }
  auto shapes = output_shapes(primals);
  auto dtypes = output_dtypes(primals);
  for (size_t i = results.size(); i < shapes.size(); i++) {
    results.push_back(mx::zeros(shapes[i], dtypes[i], where()));
  }
  return results;
}

Arrays Fused::vjp(const Arrays& primals, const Arrays& cotangents, const std::vector<int>& argnums, const Arrays&) {
  auto places = floating(primals, argnums);
  auto fun = [&](const Arrays& values) { return composed(replaced(primals, places, values)); };
  Arrays gradients;
  if (!places.empty()) {
    gradients = mx::vjp(fun, chosen(primals, places), cotangents).second;
  }
  Arrays results;
  for (int argnum : argnums) {
    auto place = std::find(places.begin(), places.end(), argnum);
    results.push_back(place == places.end() ? mx::zeros_like(primals[argnum], where()) : gradients[place - places.begin()]);
  }
  return results;
}

std::pair<Arrays, std::vector<int>> Fused::vmap(const Arrays& inputs, const std::vector<int>& axes) {
  int size = 1;
  for (size_t i = 0; i < inputs.size(); i++) {
    size = axes[i] >= 0 ? inputs[i].shape(axes[i]) : size;
  }
  auto operation = again();
  if (!operation) {
    return vmap_composed(inputs, axes, size);
  }
  Arrays mapped;
  for (size_t i = 0; i < inputs.size(); i++) {
    mapped.push_back(batched(inputs[i], axes[i], size, where()));
  }
  auto outputs = apply(operation, mapped);
  return {outputs, std::vector<int>(outputs.size(), 0)};
}

// What the forward keeps for its gradient is left at 0: a gradient's composed form does not read it.
std::pair<Arrays, std::vector<int>> Fused::vmap_composed(const Arrays& inputs, const std::vector<int>& axes, int size) {
  auto outputs = mx::vmap([this](const Arrays& values) { return composed(values); }, axes)(inputs);
  Arrays single;
  for (size_t i = 0; i < inputs.size(); i++) {
    single.push_back(axes[i] < 0 ? inputs[i] : mx::take(inputs[i], 0, axes[i], where()));
  }
  auto shapes = output_shapes(single);
  auto dtypes = output_dtypes(single);
  for (size_t i = outputs.size(); i < shapes.size(); i++) {
    shapes[i].insert(shapes[i].begin(), size);
    outputs.push_back(mx::zeros(shapes[i], dtypes[i], where()));
  }
  return {outputs, std::vector<int>(outputs.size(), 0)};
}

bool has_kernels(mx::Stream s) {
  return s.device == mx::Device::cpu && !Composing::active();
}

mx::Dtype sums_dtype(const mx::array& logits) {
  return logits.dtype() == mx::float64 ? mx::float64 : mx::float32;
}

mx::Shape batch_of(const mx::array& logits) {
  return {logits.shape().begin(), logits.shape().end() - 1};
}

} // namespace mlxffi
