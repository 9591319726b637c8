#include "transforms.h"

#include "derivatives/transforms.h"

namespace mlxc {

namespace {

void check_count(const char* what, size_t wanted, size_t got) {
  if (wanted != got) {
    throw std::invalid_argument(std::string(what) + ": expected " + std::to_string(wanted) + ", got " + std::to_string(got));
  }
}

// How many arrays a function last returned: known by the time a rule for its derivative runs.
using OutputCount = std::shared_ptr<std::atomic<size_t>>;

Function counted(Function fun, OutputCount count) {
  return [fun = shared(non_empty(std::move(fun))), count](const Arrays& inputs) {
    auto outputs = (*fun)(inputs);
    *count = outputs.size();
    return outputs;
  };
}

// One gradient per primal, of its shape: MLX would read past the end, or take a cotangent for a gradient.
CustomVjp checked_vjp(CustomVjp fun) {
  return [fun = shared(std::move(fun))](const Arrays& primals, const Arrays& cotangents, const Arrays& outputs) {
    auto gradients = (*fun)(primals, cotangents, outputs);
    check_count("[custom_vjp] gradients returned, one for each primal", primals.size(), gradients.size());
    for (size_t i = 0; i < primals.size(); i++) {
      if (gradients[i].shape() != primals[i].shape()) {
        throw std::invalid_argument("[custom_vjp] gradient " + std::to_string(i) + ": expected the shape of its primal " + printed(primals[i].shape()) + ", got " + printed(gradients[i].shape()));
      }
    }
    return gradients;
  };
}

CustomJvp checked_jvp(CustomJvp fun, OutputCount count) {
  return [fun = shared(std::move(fun)), count](const Arrays& primals, const Arrays& tangents, const std::vector<int>& argnums) {
    auto results = (*fun)(primals, tangents, argnums);
    check_count("[custom_jvp] tangents returned, one for each output", *count, results.size());
    return results;
  };
}

CustomVmap checked_vmap(CustomVmap fun, OutputCount count) {
  return [fun = shared(std::move(fun)), count](const Arrays& inputs, const std::vector<int>& axes) {
    auto result = (*fun)(inputs, axes);
    check_count("[custom_vmap] arrays returned, one for each output", *count, result.first.size());
    check_count("[custom_vmap] axes returned, one for each output", *count, result.second.size());
    return result;
  };
}

} // namespace

Function non_empty(Function fun) {
  return [fun = shared(std::move(fun))](const Arrays& inputs) {
    if (inputs.empty()) {
      throw std::invalid_argument("the function of a transform takes at least 1 array, got 0");
    }
    auto outputs = (*fun)(inputs);
    if (outputs.empty()) {
      throw std::invalid_argument("the function of a transform returns at least 1 array, got 0");
    }
    return outputs;
  };
}

Function vmap(const Function& fun, std::vector<int> in_axes, std::vector<int> out_axes) {
  bool any_in = std::any_of(in_axes.begin(), in_axes.end(), [](int axis) { return axis >= 0; });
  bool any_out = std::any_of(out_axes.begin(), out_axes.end(), [](int axis) { return axis >= 0; });
  if ((!in_axes.empty() && !any_in && (any_out || out_axes.empty())) || (!out_axes.empty() && !any_out && (any_in || in_axes.empty()))) {
    throw std::invalid_argument("[vmap] Input (or output) axes must be specified if output (or input) axes are.");
  }
  return [fun = non_empty(fun), in_axes, out_axes](const Arrays& inputs) {
    auto from = in_axes.empty() ? std::vector<int>(inputs.size(), 0) : in_axes;
    auto [slices, outputs] = vmap_trace(fun, inputs, from);
    auto to = out_axes.empty() ? std::vector<int>(outputs.size(), 0) : out_axes;
    return vmap_replace(inputs, slices, outputs, from, to);
  };
}

std::pair<Arrays, Arrays> vmap_trace(const Function& fun, const Arrays& inputs, std::vector<int> in_axes) {
  check_count("[vmap] in_axes, one for each input", inputs.size(), in_axes.size());
  return traced_slices(non_empty(fun), inputs, in_axes);
}

Arrays vmap_replace(const Arrays& inputs, const Arrays& s_inputs, const Arrays& s_outputs, std::vector<int> in_axes, std::vector<int> out_axes) {
  check_count("[vmap] s_inputs, one for each input", inputs.size(), s_inputs.size());
  check_count("[vmap] in_axes, one for each input", inputs.size(), in_axes.size());
  check_count("[vmap] out_axes, one for each output", s_outputs.size(), out_axes.size());
  return replaced_slices(inputs, s_inputs, s_outputs, in_axes, out_axes);
}

} // namespace mlxc

using namespace mlxc;

extern "C" int mlx_custom_vjp(mlx_closure* res, const mlx_closure fun, const mlx_closure_custom fun_vjp) {
  return guarded(__func__, [&] {
    put(res, with_rules(non_empty(get(fun, "fun")), checked_vjp(get(fun_vjp, "fun_vjp")), std::nullopt, std::nullopt));
  });
}

extern "C" int mlx_custom_function(
    mlx_closure* res,
    const mlx_closure fun,
    const mlx_closure_custom fun_vjp,
    const mlx_closure_custom_jvp fun_jvp,
    const mlx_closure_custom_vmap fun_vmap) {
  return guarded(__func__, [&] {
    auto count = std::make_shared<std::atomic<size_t>>(0);
    auto vjp = maybe(fun_vjp, "fun_vjp");
    auto jvp = maybe(fun_jvp, "fun_jvp");
    auto vmap = maybe(fun_vmap, "fun_vmap");
    put(res,
        with_rules(
            counted(get(fun, "fun"), count),
            vjp ? std::optional(checked_vjp(std::move(*vjp))) : std::nullopt,
            jvp ? std::optional(checked_jvp(std::move(*jvp), count)) : std::nullopt,
            vmap ? std::optional(checked_vmap(std::move(*vmap), count)) : std::nullopt));
  });
}
