// Exceptions become a status here and nowhere else.
//
// `guarded` runs a body, keeps the text and kind of what it throws for the calling thread, and calls the
// program's error handler. A text is never used as a printf format.
#pragma once

#include <atomic>
#include <exception>
#include <new>
#include <stdexcept>
#include <string>

#include "c_abi.h"

namespace mlxc {

// An argument that is not what the C function requires; `guarded` puts the function's name in front.
struct BadArgument : std::invalid_argument {
  BadArgument(const char* argument, const std::string& problem)
      : std::invalid_argument(std::string("argument `") + argument + "`: " + problem) {}
};

// The same of an argument that names one of several, of which it is none.
struct BadIndex : std::out_of_range {
  BadIndex(const char* argument, const std::string& problem)
      : std::out_of_range(std::string("argument `") + argument + "`: " + problem) {}
};

// An error of the user's callback, already reported on this thread: passes through MLX with its kind.
struct CallbackError : std::exception {
  CallbackError(mlxffi_error_kind kind, std::string text) : kind(kind), text(std::move(text)) {}
  const char* what() const noexcept override { return text.c_str(); }
  mlxffi_error_kind kind;
  std::string text;
};

// Keep an error for this thread, then call the program's handler with it.
void report(mlxffi_error_kind kind, const char* text) noexcept;

// Report the exception that is being handled, as raised by the C function of that name.
void report_current(const char* function) noexcept;

// How many calls it is to the one that fails on purpose (mlxffi_fail_after); 0: none does.
inline std::atomic<size_t> calls_to_failure{0};

inline void fail_if_asked() {
  if (calls_to_failure.load(std::memory_order_relaxed) && calls_to_failure.fetch_sub(1) == 1) {
    throw std::runtime_error("this call was asked to fail (mlxffi_fail_after)");
  }
}

template <class Body>
int guarded(const char* function, Body&& body) noexcept {
  try {
    fail_if_asked();
    body();
    return 0;
  } catch (...) {
    report_current(function);
    return 1;
  }
}

// For functions that return a value and no status: the fallback stands for an error.
template <class Value, class Body>
Value value_or(Value fallback, const char* function, Body&& body) noexcept {
  try {
    return body();
  } catch (...) {
    report_current(function);
    return fallback;
  }
}

} // namespace mlxc
