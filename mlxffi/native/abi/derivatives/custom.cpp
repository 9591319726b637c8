// Functions with rules of their own for their derivatives, which hold under every other transform.
#include <mlx/primitives.h>

#include <cstring>
#include <numeric>

#include "composing.h"
#include "derivatives/captured.h"
#include "derivatives/draws.h"
#include "derivatives/rerun.h"
#include "derivatives/rules.h"
#include "derivatives/tracing.h"
#include "derivatives/transforms.h"
#include "kernel_arguments.h"

namespace mlxc {

namespace {

struct Rules {
  Function fun;
  std::optional<CustomVjp> reverse;
  std::optional<CustomJvp> forward;
  std::optional<CustomVmap> map;
  // Whether the function is run again for its gradient.
  bool again = false;
};

constexpr const char* checkpointed = "Checkpoint";

Arrays part(const Arrays& arrays, size_t begin, size_t end) {
  return {arrays.begin() + begin, arrays.begin() + end};
}

Arrays joined(std::initializer_list<const Arrays*> lists) {
  Arrays all;
  for (auto* list : lists) {
    all.insert(all.end(), list->begin(), list->end());
  }
  return all;
}

// The arguments of a function, and what it made of them: that is what its outputs are.
class WithRules : public mx::Primitive {
 public:
  WithRules(mx::Stream s, Rules rules, size_t arguments) : Primitive(s), rules_(std::move(rules)), arguments_(arguments) {}

  static Arrays apply(Rules rules, const Arrays& arguments, Arrays outputs);

  const char* name() const override {
    return rules_.again ? checkpointed : "WithRules";
  }
  Rerun rerun(const mx::array& result, const Arrays& after) const;
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    for (size_t i = 0; i < outputs.size(); i++) {
      outputs[i].copy_shared_buffer(inputs[arguments_ + i]);
    }
  }
  void eval_gpu(const Arrays& inputs, Arrays& outputs) override {
    eval_cpu(inputs, outputs);
  }
  Arrays vjp(const Arrays& primals, const Arrays& cotangents, const std::vector<int>& argnums, const Arrays& outputs) override {
    auto arguments = part(primals, 0, arguments_);
    auto gradients = rules_.reverse ? (*rules_.reverse)(arguments, cotangents, outputs) : mlxc::vjp(rules_.fun, arguments, cotangents).second;
    Arrays wanted;
    for (int argnum : argnums) {
      wanted.push_back(gradients[argnum]);
    }
    return wanted;
  }
  Arrays jvp(const Arrays& primals, const Arrays& tangents, const std::vector<int>& argnums) override;
  Mapped vmap(const Arrays& inputs, const std::vector<int>& axes) override;

 private:
  Rules rules_;
  size_t arguments_;
};

Arrays WithRules::apply(Rules rules, const Arrays& arguments, Arrays outputs) {
  auto s = stream_of_array(outputs[0]);
  std::vector<mx::Shape> shapes;
  std::vector<mx::Dtype> dtypes;
  for (auto& output : outputs) {
    shapes.push_back(output.shape());
    dtypes.push_back(output.dtype());
    output = mx::stop_gradient(output, s);
  }
  auto operation = std::make_shared<WithRules>(s, std::move(rules), arguments.size());
  return mx::array::make_arrays(shapes, dtypes, operation, joined({&arguments, &outputs}));
}

Arrays WithRules::jvp(const Arrays& primals, const Arrays& tangents, const std::vector<int>& argnums) {
  auto arguments = part(primals, 0, arguments_);
  if (rules_.forward) {
    return (*rules_.forward)(arguments, tangents, argnums);
  }
  Arrays chosen;
  for (int argnum : argnums) {
    chosen.push_back(arguments[argnum]);
  }
  auto fun = [&](const Arrays& given) {
    for (size_t i = 0; i < argnums.size(); i++) {
      arguments[argnums[i]] = given[i];
    }
    return rules_.fun(arguments);
  };
  return mlxc::jvp(fun, chosen, tangents).second;
}

std::string listed(const Arrays& arrays) {
  std::string all;
  for (auto& array : arrays) {
    all += (all.empty() ? "" : ", ") + described(array);
  }
  return all;
}

// A rule of MLX's or a kernel relies on shapes and dtypes.
void check_same(const Arrays& first, const Arrays& again) {
  auto alike = [](auto& one, auto& other) { return one.shape() == other.shape() && one.dtype() == other.dtype(); };
  if (!std::equal(first.begin(), first.end(), again.begin(), again.end(), alike)) {
    throw std::invalid_argument(
        "[checkpoint] the function made " + listed(first) + " at first and " + listed(again) +
        " when it was run again for its gradient: it must do the same each time");
  }
}

Rerun WithRules::rerun(const mx::array& result, const Arrays& after) const {
  auto arguments = tracers(mx::depends(part(result.inputs(), 0, arguments_), after));
  auto outputs = run_differentiated(rules_.fun, arguments);
  check_same(result.outputs(), outputs);
  return {arguments, outputs};
}

// --- the rules of a map ---

CustomVjp mapped_reverse(CustomVjp reverse, std::vector<int> axes) {
  return [reverse = std::move(reverse), axes = std::move(axes)](const Arrays& primals, const Arrays& cotangents, const Arrays& outputs) {
    size_t arguments = primals.size(), count = outputs.size();
    auto fun = [&](const Arrays& all) {
      return reverse(part(all, 0, arguments), part(all, arguments, arguments + count), part(all, arguments + count, all.size()));
    };
    auto all_axes = axes;
    all_axes.resize(arguments + 2 * count, 0);
    auto gradients = mapped(fun, all_axes)(joined({&primals, &cotangents, &outputs}));
    for (size_t i = 0; i < arguments; i++) {
      gradients[i] = axes[i] < 0 ? mx::sum(gradients[i], 0) : mx::moveaxis(gradients[i], 0, axes[i]);
    }
    return gradients;
  };
}

CustomJvp mapped_forward(CustomJvp forward, std::vector<int> axes) {
  return [forward = std::move(forward), axes = std::move(axes)](const Arrays& primals, const Arrays& tangents, const std::vector<int>& argnums) {
    auto fun = [&](const Arrays& all) { return forward(part(all, 0, primals.size()), part(all, primals.size(), all.size()), argnums); };
    auto all_axes = axes;
    for (int argnum : argnums) {
      all_axes.push_back(axes[argnum]);
    }
    return mapped(fun, all_axes)(joined({&primals, &tangents}));
  };
}

// The function by its rule for maps, with the mapped axis of each output in front.
Function by_rule(CustomVmap map, std::vector<int> axes) {
  return [map = std::move(map), axes = std::move(axes)](const Arrays& inputs) {
    auto [outputs, out_axes] = map(inputs, axes);
    int size = batch_size(inputs, axes);
    for (size_t i = 0; i < outputs.size(); i++) {
      outputs[i] = batched(outputs[i], out_axes[i], size, mx::default_stream(mx::default_device()));
    }
    return outputs;
  };
}

Mapped WithRules::vmap(const Arrays& inputs, const std::vector<int>& axes) {
  auto arguments = part(inputs, 0, arguments_);
  std::vector<int> in_axes(axes.begin(), axes.begin() + arguments_);
  Rules rules{rules_.map ? by_rule(*rules_.map, in_axes) : mapped(rules_.fun, in_axes), {}, {}, {}, rules_.again};
  if (rules_.reverse) {
    rules.reverse = mapped_reverse(*rules_.reverse, in_axes);
  }
  if (rules_.forward) {
    rules.forward = mapped_forward(*rules_.forward, in_axes);
  }
  auto outputs = rules_.map ? rules.fun(arguments) : batched(inputs, axes, stream());
  outputs = rules_.map ? outputs : part(outputs, arguments_, outputs.size());
  auto results = apply(std::move(rules), arguments, std::move(outputs));
  return {results, std::vector<int>(results.size(), 0)};
}

} // namespace

Function with_rules(Function fun, std::optional<CustomVjp> reverse, std::optional<CustomJvp> forward, std::optional<CustomVmap> map) {
  Rules rules{std::move(fun), std::move(reverse), std::move(forward), std::move(map)};
  return [rules = std::make_shared<const Rules>(std::move(rules))](const Arrays& arguments) {
    auto outputs = rules->fun(arguments);
    return mlxffi::Composing::active() ? outputs : WithRules::apply(*rules, arguments, std::move(outputs));
  };
}

namespace {

// A function run again: its arguments, and after them what it drew at first.
Arrays run_again(const Function& fun, const Arrays& arguments, Arrays keys) {
  Draws draws{std::move(keys)};
  DrawsOf known(draws, true);
  return fun(arguments);
}

} // namespace

Function checkpoint(Function fun) {
  return [fun = std::make_shared<const Function>(std::move(fun))](const Arrays& arguments) {
    Draws draws;
    auto outputs = [&] {
      DrawsOf unknown(draws, false);
      return (*fun)(arguments);
    }();
    check_captured(outputs, arguments);
    if (mlxffi::Composing::active()) {
      return outputs;
    }
    auto again = [fun, count = arguments.size()](const Arrays& inputs) {
      return run_again(*fun, part(inputs, 0, count), part(inputs, count, inputs.size()));
    };
    Rules rules{again, {}, {}, {}, true};
    return WithRules::apply(std::move(rules), joined({&arguments, &draws.keys}), std::move(outputs));
  };
}

bool is_checkpoint(const mx::array& array) {
  return array.has_primitive() && std::strcmp(array.primitive().name(), checkpointed) == 0;
}

Rerun rerun(const mx::array& result, const Arrays& after) {
  return static_cast<const WithRules&>(result.primitive()).rerun(result, after);
}

} // namespace mlxc
