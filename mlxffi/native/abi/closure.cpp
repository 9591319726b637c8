// C callbacks as C++ functions.
//
// A callback borrows its argument vectors and fills result slots that arrive empty. Every handle made for a call
// is a Scoped, so it is freed on every path: success, a failing status, an empty slot, a C++ exception.
#include "graph_depth.h"
#include "payload.h"

using namespace mlxc;

namespace {

// What a callback takes of the stack (bytes; twice what one was measured to take that transforms another, on x86-64).
constexpr size_t callback_stack = 16 * 1024;

// Run a callback; when it fails, prefer the error that was reported on this thread while it ran.
template <class Call>
void run(Call&& call) {
  if (stack_left() < callback_stack) {
    throw std::runtime_error("callbacks are nested deeper than the stack of this thread allows; run them on a thread with a larger one");
  }
  mlxffi_clear_error();
  int status = call();
  if (!status) {
    return;
  }
  auto kind = mlxffi_last_error_kind();
  if (kind != MLXFFI_ERROR_NONE) {
    throw CallbackError(kind, mlxffi_last_error_text());
  }
  throw std::runtime_error("the callback failed with status " + std::to_string(status));
}

// Take over what a callback left in its result slot.
template <class Handle>
Object<Handle> take(Scoped<Handle>& slot) {
  if (!slot.handle.ctx) {
    throw std::runtime_error(std::string("the callback succeeded but left its ") + Traits<Handle>::name + " empty");
  }
  if (!PoolOf<Handle>::holds(slot.handle.ctx)) {
    throw std::runtime_error("the callback succeeded but left no result: " + not_living(std::exchange(slot.handle, {})));
  }
  return std::move(cell(slot.handle).object);
}

template <class Fun>
Fun checked(Fun fun) {
  return fun ? fun : throw BadArgument("fun", "expected a function, got NULL");
}

// A callback with its payload as its last argument. The payload is adopted first: it is freed if `fun` is NULL.
template <class Fun>
auto bound(Fun fun, void* payload, void (*dtor)(void*)) {
  auto held = adopt(payload, dtor);
  return [fun = checked(fun), held](auto... arguments) { return fun(arguments..., held.get()); };
}

template <class Call>
Function function(Call call) {
  return [call](const Arrays& inputs) {
    Scoped<mlx_vector_array> result, in(inputs);
    run([&] { return call(&result.handle, in.handle); });
    return take(result);
  };
}

Function unary(int (*fun)(mlx_array*, const mlx_array)) {
  return [fun](const Arrays& inputs) -> Arrays {
    if (inputs.size() != 1) {
      throw std::invalid_argument("a unary closure takes 1 array, got " + std::to_string(inputs.size()));
    }
    Scoped<mlx_array> result, in(inputs[0]);
    run([&] { return fun(&result.handle, in.handle); });
    return {take(result)};
  };
}

template <class Call>
KwargsFunction kwargs_function(Call call) {
  return [call](const Arrays& inputs, const ArrayMap& named) {
    Scoped<mlx_vector_array> result, in(inputs);
    Scoped<mlx_map_string_to_array> kwargs(named);
    run([&] { return call(&result.handle, in.handle, kwargs.handle); });
    return take(result);
  };
}

template <class Call>
mx::ValueAndGradFn value_and_grad_function(Call call) {
  return [call](const Arrays& inputs) {
    Scoped<mlx_vector_array> values, gradients, in(inputs);
    run([&] { return call(&values.handle, &gradients.handle, in.handle); });
    return std::pair(take(values), take(gradients));
  };
}

template <class Call>
CustomVjp custom_vjp(Call call) {
  return [call](const Arrays& primals, const Arrays& cotangents, const Arrays& outputs) {
    Scoped<mlx_vector_array> result, first(primals), second(cotangents), third(outputs);
    run([&] { return call(&result.handle, first.handle, second.handle, third.handle); });
    return take(result);
  };
}

template <class Call>
CustomJvp custom_jvp(Call call) {
  return [call](const Arrays& primals, const Arrays& tangents, const std::vector<int>& argnums) {
    Scoped<mlx_vector_array> result, first(primals), second(tangents);
    run([&] { return call(&result.handle, first.handle, second.handle, argnums.data(), argnums.size()); });
    return take(result);
  };
}

template <class Call>
CustomVmap custom_vmap(Call call) {
  return [call](const Arrays& inputs, const std::vector<int>& axes) {
    Scoped<mlx_vector_array> result, in(inputs);
    Scoped<mlx_vector_int> out_axes;
    run([&] { return call(&result.handle, &out_axes.handle, in.handle, axes.data(), axes.size()); });
    return std::pair(take(result), take(out_axes));
  };
}

} // namespace

extern "C" mlx_closure mlx_closure_new_unary(int (*fun)(mlx_array*, const mlx_array)) {
  return made<mlx_closure>(__func__, [&] { return unary(checked(fun)); });
}

// The two constructors of each kind: a bare function, and a function with a payload.
#define MLXC_CLOSURE(name, build, ...)                                                                        \
  extern "C" name name##_new_func(int (*fun)(__VA_ARGS__)) {                                                  \
    return made<name>(__func__, [&] { return build(checked(fun)); });                                         \
  }                                                                                                           \
  extern "C" name name##_new_func_payload(int (*fun)(__VA_ARGS__, void*), void* payload, void (*dtor)(void*)) { \
    return made<name>(__func__, [&] { return build(bound(fun, payload, dtor)); });                            \
  }

MLXC_CLOSURE(mlx_closure, function, mlx_vector_array*, const mlx_vector_array)
MLXC_CLOSURE(mlx_closure_kwargs, kwargs_function, mlx_vector_array*, const mlx_vector_array, const mlx_map_string_to_array)
MLXC_CLOSURE(mlx_closure_value_and_grad, value_and_grad_function, mlx_vector_array*, mlx_vector_array*, const mlx_vector_array)
MLXC_CLOSURE(mlx_closure_custom, custom_vjp, mlx_vector_array*, const mlx_vector_array, const mlx_vector_array, const mlx_vector_array)
MLXC_CLOSURE(mlx_closure_custom_jvp, custom_jvp, mlx_vector_array*, const mlx_vector_array, const mlx_vector_array, const int*, size_t)
MLXC_CLOSURE(mlx_closure_custom_vmap, custom_vmap, mlx_vector_array*, mlx_vector_int*, const mlx_vector_array, const int*, size_t)
