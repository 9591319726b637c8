#include "error.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <vector>

#include "c_abi.h"

namespace {

struct LastError {
  mlxffi_error_kind kind = MLXFFI_ERROR_NONE;
  std::string text;
};

// Handlers of exit run when the thread's own is gone, and may report errors.
thread_local bool is_gone = false;

struct OwnError : LastError {
  ~OwnError() {
    is_gone = true;
  }
};

LastError& last_error() {
  static auto* last = new LastError;
  thread_local OwnError error;
  return is_gone ? *last : error;
}

// What mlx_set_error_handler installed; a failing thread keeps its own reference while it calls the handler.
struct Handler {
  mlx_error_handler_func call;
  void* data;
  void (*destroy)(void*);
  ~Handler() {
    if (destroy) {
      destroy(data);
    }
  }
};

void print_and_exit(const char* message, void*) {
  std::fprintf(stderr, "MLX error: %s\n", message);
  std::exit(-1);
}

std::mutex& handler_mutex() {
  static auto* mutex = new std::mutex;
  return *mutex;
}

// Leaked with the mutex: static destructors of other libraries may still report errors.
std::shared_ptr<Handler>& installed_handler() {
  static auto* handler = new auto(std::make_shared<Handler>(Handler{print_and_exit, nullptr, nullptr}));
  return *handler;
}

std::shared_ptr<Handler> current_handler() {
  std::lock_guard<std::mutex> lock(handler_mutex());
  return installed_handler();
}

std::string printed(const char* format, va_list arguments) {
  va_list measured;
  va_copy(measured, arguments);
  int size = std::vsnprintf(nullptr, 0, format, measured);
  va_end(measured);
  std::vector<char> buffer(size < 0 ? 1 : size + 1);
  std::vsnprintf(buffer.data(), buffer.size(), format, arguments);
  return buffer.data();
}

} // namespace

namespace mlxc {

void report(mlxffi_error_kind kind, const char* text) noexcept {
  try {
    auto& error = last_error();
    error.kind = kind;
    error.text = text;
    auto handler = current_handler();
    // The handler gets a copy of its own: it may fail in turn and report another error.
    handler->call(std::string(error.text).c_str(), handler->data);
  } catch (...) {
    // No memory for the text: the kind alone says what happened.
  }
}

namespace {

void report_argument(mlxffi_error_kind kind, const char* function, const std::exception& error) noexcept {
  try {
    report(kind, ("[" + std::string(function) + "] " + error.what()).c_str());
  } catch (...) {
    report(MLXFFI_ERROR_BAD_ALLOC, "out of memory while reporting a bad argument");
  }
}

} // namespace

void report_current(const char* function) noexcept {
  try {
    throw;
  } catch (const BadArgument& error) {
    report_argument(MLXFFI_ERROR_INVALID_ARGUMENT, function, error);
  } catch (const BadIndex& error) {
    report_argument(MLXFFI_ERROR_OUT_OF_RANGE, function, error);
  } catch (const CallbackError& error) {
    report(error.kind, error.what());
  } catch (const std::invalid_argument& error) {
    report(MLXFFI_ERROR_INVALID_ARGUMENT, error.what());
  } catch (const std::length_error& error) {
    report(MLXFFI_ERROR_INVALID_ARGUMENT, error.what());
  } catch (const std::domain_error& error) {
    report(MLXFFI_ERROR_INVALID_ARGUMENT, error.what());
  } catch (const std::range_error& error) {
    report(MLXFFI_ERROR_INVALID_ARGUMENT, error.what());
  } catch (const std::out_of_range& error) {
    report(MLXFFI_ERROR_OUT_OF_RANGE, error.what());
  } catch (const std::bad_alloc& error) {
    report(MLXFFI_ERROR_BAD_ALLOC, error.what());
  } catch (const std::overflow_error& error) {
    report(MLXFFI_ERROR_OVERFLOW, error.what());
  } catch (const std::exception& error) {
    report(MLXFFI_ERROR_OTHER, error.what());
  } catch (...) {
    report(MLXFFI_ERROR_OTHER, "an exception that is not a std::exception");
  }
}

} // namespace mlxc

extern "C" void mlx_set_error_handler(mlx_error_handler_func handler, void* data, void (*dtor)(void*)) {
  mlxc::guarded(__func__, [&] {
    auto call = handler ? handler : print_and_exit;
    std::shared_ptr<Handler> next(new Handler{call, data, dtor});
    std::lock_guard<std::mutex> lock(handler_mutex());
    installed_handler().swap(next);
    // `next` now holds the old handler; it is destroyed after the lock is released.
  });
}

extern "C" void _mlx_error(const char* file, const int line, const char* fmt, ...) {
  va_list arguments;
  va_start(arguments, fmt);
  mlxc::guarded(__func__, [&] {
    auto text = printed(fmt ? fmt : "(no message)", arguments);
    auto place = " at " + std::string(file ? file : "?") + ":" + std::to_string(line);
    mlxc::report(MLXFFI_ERROR_OTHER, (text + place).c_str());
  });
  va_end(arguments);
}

extern "C" mlxffi_error_kind mlxffi_last_error_kind(void) {
  return last_error().kind;
}

extern "C" const char* mlxffi_last_error_text(void) {
  return last_error().text.c_str();
}

extern "C" void mlxffi_clear_error(void) {
  last_error().kind = MLXFFI_ERROR_NONE;
  last_error().text.clear();
}

extern "C" void mlxffi_fail_after(size_t calls) {
  mlxc::calls_to_failure.store(calls, std::memory_order_relaxed);
}

extern "C" void mlxffi_ignore_errors(const char*, void*) {}
