// A stand-in for libmlxc that writes down each call and passes it on to the real one.
//
// The functions themselves are generated. A call shows its arguments before it happens, since it may free them, and what
// came of it afterwards.
#pragma once

#include <stdarg.h>

#include <functional>
#include <string>
#include <type_traits>
#include <vector>

#define MLX_NO_HALF
#pragma GCC visibility push(default)
#include "mlx/c/mlx.h"
#include "mlxffi/mlxffi.h"
#pragma GCC visibility pop

namespace trace {

// The function of that name in the real library.
void* find_address(const char* name);

template <class Function>
Function* find(Function*, const char* name) {
  return reinterpret_cast<Function*>(find_address(name));
}

// --- values as text ---

std::string word(const std::string& text); // a name, which JSON has in quotes
std::string quoted(const char* text);
std::string formatted(const char* format, va_list arguments);
std::string number(double value);
std::string number_of(const char* kind, void* handle, bool fresh = false);
std::string last_number_of(const char* kind, void* handle); // of one that goes, whose address may come again
std::string printed(mlx_dtype dtype);
std::string printed(mlx_complex64_t value);
inline std::string printed(const char* text) {
  return quoted(text);
}
inline std::string printed(bool value) {
  return value ? "true" : "false";
}
template <class Value>
std::string printed(Value value) {
  if constexpr (std::is_pointer_v<Value>) {
    return value ? word("given") : "null";
  } else if constexpr (std::is_floating_point_v<Value>) {
    return number(value);
  } else {
    return std::to_string(+value);
  }
}

template <class Item, class Print>
std::string listed(const Item* items, long long count, Print print) {
  std::string text;
  for (long long i = 0; items && i < count; i++) {
    text += (i ? ", " : "") + print(items[i]);
  }
  return items ? "[" + text + "]" : "null";
}

// --- arguments ---

// Whether this process writes a trace.
bool active();

// An argument's text; where the call writes to it, how to get that afterwards.
struct Argument {
  const char* name;
  std::string text;
  std::function<std::string()> after = {};
};

template <class Value>
Argument value(const char* name, Value value) {
  return {name, active() ? printed(value) : ""};
}
template <class Pointer>
Argument given(const char* name, Pointer pointer) {
  return {name, active() ? pointer ? word("given") : "null" : ""};
}
template <class Optional>
Argument optional(const char* name, Optional optional) {
  return {name, !active() ? "" : optional.has_value ? printed(optional.value) : "null"};
}
template <class Item>
Argument list(const char* name, const Item* items, long long count) {
  return {name, active() ? listed(items, count, [](Item item) { return printed(item); }) : ""};
}
template <class Handle>
Argument handles(const char* name, const char* kind, const Handle* items, long long count) {
  return {name, active() ? listed(items, count, [&](Handle item) { return number_of(kind, item.ctx); }) : ""};
}
template <class Value>
Argument out(const char* name, Value* place) {
  return {name, "null", active() && place ? [place] { return printed(*place); } : std::function<std::string()>{}};
}
inline Argument handle(const char* name, const char* kind, void* handle) {
  return {name, active() ? number_of(kind, handle) : ""};
}
inline Argument freed(const char* name, const char* kind, void* handle) {
  return {name, active() ? last_number_of(kind, handle) : ""};
}
template <class Handle>
Argument slot(const char* name, const char* kind, Handle* place) {
  if (!active() || !place) {
    return {name, "null"};
  }
  return {name, "", [=, before = place->ctx] { return number_of(kind, place->ctx, place->ctx != before); }};
}

// --- a call ---

class Call {
 public:
  Call(const char* name, std::vector<Argument> arguments);

  int status(int status);
  template <class Handle>
  Handle made(const char* kind, Handle handle) {
    if (active()) {
      returned_text("returns", number_of(kind, handle.ctx, true), !handle.ctx);
    }
    return handle;
  }
  template <class Value>
  Value returned(Value value) {
    if (active()) {
      returned_text("returns", printed(value), false);
    }
    return value;
  }
  ~Call();

 private:
  void returned_text(const char* what, const std::string& text, bool failed);

  const char* name_;
  std::vector<Argument> arguments_;
  std::string result_;
};

} // namespace trace
