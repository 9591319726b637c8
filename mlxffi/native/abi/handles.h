// Handles: what C holds is a pointer to one C++ object, made, rebound and deleted here and nowhere else.
//
// An out-slot that is empty gets a new object; one that holds an object has that object rebound, so copies of
// the handle struct, as C programs make them, stay valid.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "c_abi.h"
#include "error.h"
#include "mlx/graph_utils.h"
#include "mlx/mlx.h"
#include "object_pool.h"
#include "scheduling.h"

namespace mx = mlx::core;

namespace mlxc {

using Arrays = std::vector<mx::array>;
using ArrayMap = std::unordered_map<std::string, mx::array>;
using StringMap = std::unordered_map<std::string, std::string>;
using DeviceInfo = std::unordered_map<std::string, std::variant<std::string, size_t>>;
using Function = std::function<Arrays(const Arrays&)>;
using KwargsFunction = std::function<Arrays(const Arrays&, const ArrayMap&)>;
using CustomVjp = std::function<Arrays(const Arrays&, const Arrays&, const Arrays&)>;
using CustomJvp = std::function<Arrays(const Arrays&, const Arrays&, const std::vector<int>&)>;
using CustomVmap = std::function<std::pair<Arrays, std::vector<int>>(const Arrays&, const std::vector<int>&)>;

struct KernelConfig;
template <class Map>
struct MapIterator;
class Event;
class Exporter;
class Reader;
class Writer;


// One row for each handle type: the C name and the C++ object behind it.
#define MLXC_HANDLES(ROW)                                        \
  ROW(mlx_array, mx::array)                                      \
  ROW(mlx_string, std::string)                                   \
  ROW(mlx_vector_array, Arrays)                                  \
  ROW(mlx_vector_vector_array, std::vector<Arrays>)              \
  ROW(mlx_vector_int, std::vector<int>)                          \
  ROW(mlx_vector_string, std::vector<std::string>)               \
  ROW(mlx_map_string_to_array, ArrayMap)                         \
  ROW(mlx_map_string_to_string, StringMap)                       \
  ROW(mlx_map_string_to_array_iterator, MapIterator<ArrayMap>)   \
  ROW(mlx_map_string_to_string_iterator, MapIterator<StringMap>) \
  ROW(mlx_device, mx::Device)                                    \
  ROW(mlx_device_info, DeviceInfo)                               \
  ROW(mlx_stream, mx::Stream)                                    \
  ROW(mlx_thread_local_stream, mx::ThreadLocalStream)            \
  ROW(mlx_closure, Function)                                     \
  ROW(mlx_closure_kwargs, KwargsFunction)                        \
  ROW(mlx_closure_value_and_grad, mx::ValueAndGradFn)            \
  ROW(mlx_closure_custom, CustomVjp)                             \
  ROW(mlx_closure_custom_jvp, CustomJvp)                         \
  ROW(mlx_closure_custom_vmap, CustomVmap)                       \
  ROW(mlx_distributed_group, mx::distributed::Group)             \
  ROW(mlx_io_reader, std::shared_ptr<Reader>)                    \
  ROW(mlx_io_writer, std::shared_ptr<Writer>)                    \
  ROW(mlx_io_gguf, mx::GGUFLoad)                                 \
  ROW(mlx_function_exporter, Exporter)                           \
  ROW(mlx_imported_function, mx::ImportedFunction)               \
  ROW(mlx_fast_cuda_kernel_config, KernelConfig)                 \
  ROW(mlx_fast_cuda_kernel, mx::fast::CustomKernelFunction)      \
  ROW(mlx_fast_metal_kernel_config, KernelConfig)                \
  ROW(mlx_fast_metal_kernel, mx::fast::CustomKernelFunction)     \
  ROW(mlx_node_namer, mx::NodeNamer)                             \
  ROW(mlxffi_event, std::shared_ptr<Event>)

enum class Kind {
#define MLXC_ROW(handle, object) handle##_kind,
  MLXC_HANDLES(MLXC_ROW)
#undef MLXC_ROW
      payload,
  count
};

template <class Handle>
struct Traits;
#define MLXC_ROW(handle, object)                     \
  template <>                                        \
  struct Traits<handle> {                            \
    using Object = object;                           \
    static constexpr Kind kind = Kind::handle##_kind; \
    static constexpr const char* name = #handle;     \
  };
MLXC_HANDLES(MLXC_ROW)
#undef MLXC_ROW

template <class Type, class = void>
inline constexpr bool is_handle = false;
template <class Type>
inline constexpr bool is_handle<Type, std::void_t<typename Traits<Type>::Object>> = true;

template <class Handle>
using Object = typename Traits<Handle>::Object;

template <class Handle>
Cell<Object<Handle>>& cell(Handle handle) {
  return *static_cast<Cell<Object<Handle>>*>(handle.ctx);
}

// How many objects of a kind are alive: what was counted in all places.
struct alignas(64) Counts {
  std::atomic<size_t> of[static_cast<size_t>(Kind::count)];
};
inline Counts alive[places];

inline std::atomic<size_t>& counter(Kind kind) {
  return alive[place].of[static_cast<size_t>(kind)];
}

template <class Handle>
using PoolOf = Pool<Handle, Object<Handle>>;

template <class Handle, class Value>
void* own(Value&& value) {
  auto* made = PoolOf<Handle>::make(std::forward<Value>(value));
  counter(Traits<Handle>::kind).fetch_add(1, std::memory_order_relaxed);
  return made;
}

template <class Handle>
std::string not_living(Handle handle) {
  auto expected = std::string("expected an ") + Traits<Handle>::name;
  return expected + (handle.ctx ? ", got a handle that was freed, or is none" : ", got an empty handle (ctx is NULL)");
}

// Of its own: what throws has registers to save.
template <class Handle>
[[noreturn, gnu::noinline]] void refuse(Handle handle, const char* argument) {
  throw BadArgument(argument, not_living(handle));
}

template <class Handle>
void require_living(Handle handle, const char* argument) {
  if (!PoolOf<Handle>::holds(handle.ctx)) [[unlikely]] {
    refuse(handle, argument);
  }
}

template <class Handle>
void destroy(Handle handle) {
  PoolOf<Handle>::destroy(&cell(handle));
}

void destroy(mlx_array handle);

template <class Handle>
int release(Handle handle) {
  if (!handle.ctx) {
    return 0;
  }
  if (!PoolOf<Handle>::holds(handle.ctx)) [[unlikely]] {
    report(MLXFFI_ERROR_INVALID_ARGUMENT, not_living(handle).c_str());
    return 1;
  }
  destroy(handle);
  counter(Traits<Handle>::kind).fetch_sub(1, std::memory_order_relaxed);
  return 0;
}

template <class Handle>
decltype(auto) get(Handle handle, const char* argument) {
  require_living(handle, argument);
  return cell(handle).read();
}

// An argument that may be empty.
template <class Handle>
std::optional<Object<Handle>> maybe(Handle handle, const char* argument) {
  if (!handle.ctx) {
    return std::nullopt;
  }
  return get(handle, argument);
}

// Every result slot must be there before anything is done for it.
template <class... Slots>
void require(Slots*... slots) {
  if (((slots == nullptr) || ...)) {
    throw BadArgument("res", "expected a place for each result, got NULL");
  }
}

// A closure lives through its own call, also when the callback frees the handle.
template <class Callable>
Callable kept(const Callable& callable) {
  return callable;
}

// A result that has a handle. The slot changes when the new value is complete, and not before.
template <class Handle, class Value, std::enable_if_t<is_handle<Handle>>* = nullptr>
void put(Handle* slot, Value&& value) {
  if (!slot) {
    throw BadArgument("res", std::string("expected a pointer to an ") + Traits<Handle>::name + ", got NULL");
  }
  if (slot->ctx) {
    require_living(*slot, "res");
    static_assert(std::is_nothrow_move_assignable_v<Object<Handle>>);
    cell(*slot).write(Object<Handle>(std::forward<Value>(value)));
  } else {
    slot->ctx = own<Handle>(std::forward<Value>(value));
  }
}

// A result that is a plain value.
template <class Plain, class Value, std::enable_if_t<!is_handle<Plain>>* = nullptr>
void put(Plain* slot, Value&& value) {
  if (!slot) {
    throw BadArgument("res", "expected a pointer to the place of the result, got NULL");
  }
  *slot = std::forward<Value>(value);
}


// A function that returns a handle; an empty one stands for an error.
template <class Handle, class Body>
Handle made(const char* function, Body&& body) noexcept {
  return value_or<Handle>(Handle{}, function, [&] {
    auto&& value = body();
    fail_if_asked();
    Handle handle{};
    handle.ctx = own<Handle>(std::forward<decltype(value)>(value));
    return handle;
  });
}

// A temporary handle around a C++ object, for a callback's arguments and results.
template <class Handle>
class Scoped {
 public:
  Scoped() = default;
  template <class Value>
  explicit Scoped(Value&& value) {
    handle.ctx = own<Handle>(std::forward<Value>(value));
  }
  Scoped(const Scoped&) = delete;
  Scoped& operator=(const Scoped&) = delete;
  ~Scoped() {
    release(handle);
  }
  // Into a slot, whose object, if it has one, gets the new value.
  void move_into(Handle* slot) noexcept {
    if (slot->ctx) {
      cell(*slot).write(std::move(cell(handle).object));
    } else {
      std::swap(slot->ctx, handle.ctx);
    }
  }
  Handle handle{};
};

// Two results, from a pair or a tuple: the first changes only when the second is complete.
template <class First, class Second, class Values>
void put(First* first, Second* second, Values&& values) {
  if (second->ctx) {
    require_living(*second, "res");
  }
  Scoped<Second> made(std::get<1>(std::forward<Values>(values)));
  put(first, std::get<0>(std::forward<Values>(values)));
  made.move_into(second);
}

} // namespace mlxc
