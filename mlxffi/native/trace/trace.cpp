#include "trace.h"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string_view>

namespace trace {

namespace {

// --- the real library ---

void* open_library() {
  Dl_info here;
  dladdr(reinterpret_cast<void*>(&open_library), &here);
  std::string folder = here.dli_fname;
  folder.resize(folder.rfind('/') + 1);
  // What the library calls of its own is not to be found here first.
  void* library = dlopen((folder + "../libmlxc.so").c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
  if (!library) {
    std::fprintf(stderr, "mlxffi: the library to be traced does not load: %s\n", dlerror());
    std::abort();
  }
  return library;
}

// --- the file ---

struct File {
  std::FILE* stream = nullptr;
  bool json = false;
  std::mutex lock;
};

constexpr std::string_view json_suffix = ".jsonl";

bool is_json(const std::string& name) {
  return name.size() > json_suffix.size() && name.compare(name.size() - json_suffix.size(), json_suffix.size(), json_suffix) == 0;
}

// MLXFFI_TRACE; in a program that a traced one started, which has it too, with the number of the process.
std::string file_name() {
  const char *given = std::getenv("MLXFFI_TRACE"), *first = std::getenv("MLXFFI_TRACE_PROCESS");
  std::string name = given ? given : "", process = std::to_string(getpid());
  if (!name.empty() && first && process != first) {
    name.insert(name.size() - (is_json(name) ? json_suffix.size() : 0), "." + process);
  }
  return name;
}

File* open_file() {
  auto* made = new File; // never closed: threads may outlive the destructors of statics
  auto name = file_name();
  made->json = is_json(name);
  if (!name.empty() && !(made->stream = std::fopen(name.c_str(), "we"))) {
    std::perror(("mlxffi: MLXFFI_TRACE: " + name).c_str());
  }
  setenv("MLXFFI_TRACE_PROCESS", std::to_string(getpid()).c_str(), 0);
  return made;
}

File& file() {
  static File* opened = open_file();
  return *opened;
}

// --- threads and handles by number ---

int thread_number() {
  static std::atomic<int> threads{0};
  thread_local int number = threads++;
  return number;
}

thread_local int depth = 0;

struct Numbers {
  std::mutex lock;
  std::map<std::pair<std::string, void*>, int> known;
  std::map<std::string, int> last;
};

Numbers& numbers() {
  static auto* made = new Numbers;
  return *made;
}

// --- what the library says of itself ---

std::string live_counts() {
  static const auto kinds = find(mlxffi_live_kinds, "mlxffi_live_kinds");
  static const auto kind = find(mlxffi_live_kind, "mlxffi_live_kind");
  static const auto objects = find(mlxffi_live_objects, "mlxffi_live_objects");
  std::string text;
  for (size_t i = 0; i < kinds(); i++) {
    if (auto count = objects(i)) {
      std::string name = kind(i);
      name = name.rfind("mlx_", 0) == 0 ? name.substr(4) : name;
      text += (text.empty() ? "" : ", ") + word(name) + ": " + std::to_string(count);
    }
  }
  return "{" + text + "}";
}

std::string last_error() {
  static const auto text = find(mlxffi_last_error_text, "mlxffi_last_error_text");
  return quoted(text());
}

} // namespace

void* find_address(const char* name) {
  static void* library = open_library();
  void* address = dlsym(library, name);
  if (!address) {
    std::fprintf(stderr, "mlxffi: the library to be traced lacks %s\n", name);
    std::abort();
  }
  return address;
}

bool active() {
  return file().stream;
}

// --- values ---

std::string word(const std::string& text) {
  return file().json ? "\"" + text + "\"" : text;
}

std::string quoted(const char* text) {
  if (!text) {
    return "null";
  }
  std::string result = "\"";
  for (; *text; text++) {
    char code[8];
    auto c = static_cast<unsigned char>(*text);
    std::snprintf(code, sizeof code, c < 32 ? "\\u%04x" : c == '"' || c == '\\' ? "\\%c" : "%c", c);
    result += code;
  }
  return result + "\"";
}

std::string number(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%.9g", value);
  return std::isfinite(value) ? text : word(text);
}

std::string printed(mlx_complex64_t value) {
  return "[" + number(value.real()) + ", " + number(value.imag()) + "]";
}

std::string printed(mlx_dtype dtype) {
  static constexpr const char* names[] = {"bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16",
                                          "int32", "int64", "float16", "float32", "float64", "bfloat16", "complex64"};
  auto index = static_cast<size_t>(dtype);
  return index < std::size(names) ? word(names[index]) : std::to_string(index);
}

std::string number_of(const char* kind, void* handle, bool fresh) {
  if (!handle) {
    return "null";
  }
  std::lock_guard<std::mutex> lock(numbers().lock);
  auto [found, unknown] = numbers().known.try_emplace({kind, handle}, 0);
  if (unknown || fresh) {
    found->second = ++numbers().last[kind];
  }
  return word(std::string(kind) + "#" + std::to_string(found->second));
}

std::string last_number_of(const char* kind, void* handle) {
  auto text = number_of(kind, handle);
  std::lock_guard<std::mutex> lock(numbers().lock);
  numbers().known.erase({kind, handle});
  return text;
}

std::string formatted(const char* format, va_list arguments) {
  va_list measured;
  va_copy(measured, arguments);
  std::vector<char> text(1 + std::max(0, std::vsnprintf(nullptr, 0, format, measured)));
  va_end(measured);
  std::vsnprintf(text.data(), text.size(), format, arguments);
  return text.data();
}

// --- calls ---

Call::Call(const char* name, std::vector<Argument> arguments) : name_(name), arguments_(std::move(arguments)) {
  depth++;
}

int Call::status(int status) {
  if (active()) {
    returned_text("status", std::to_string(status), status == 1);
  }
  return status;
}

void Call::returned_text(const char* what, const std::string& text, bool failed) {
  bool json = file().json, named = *what == 's';
  result_ = json ? std::string(", \"") + what + "\": " + text : (named ? " = " : " -> ") + text;
  if (failed) {
    result_ += (json ? ", \"error\": " : " ") + last_error();
  }
}

// A line: thread, depth, name, arguments, result, what is alive.
Call::~Call() {
  depth--;
  if (!active()) {
    return;
  }
  bool json = file().json;
  std::string shown;
  for (auto& argument : arguments_) {
    shown += shown.empty() ? "" : ", ";
    shown += (json ? "\"" + std::string(argument.name) + "\": " : argument.name + std::string("="));
    shown += argument.after ? argument.after() : argument.text;
  }
  auto thread = std::to_string(thread_number()), live = live_counts();
  std::string line = json
      ? "{\"thread\": " + thread + ", \"depth\": " + std::to_string(depth) + ", \"call\": \"" + name_ + "\", \"arguments\": {" +
          shown + "}" + result_ + ", \"live\": " + live + "}\n"
      : "[" + thread + "] " + std::string(2 * depth, ' ') + name_ + "(" + shown + ")" + result_ + "  live " + live + "\n";
  std::lock_guard<std::mutex> lock(file().lock);
  std::fputs(line.c_str(), file().stream);
  std::fflush(file().stream);
}

} // namespace trace

extern "C" void _mlx_error(const char* place, const int line, const char* format, ...) {
  static const auto real = trace::find(_mlx_error, "_mlx_error");
  va_list arguments;
  va_start(arguments, format);
  auto text = trace::formatted(format ? format : "(no message)", arguments);
  va_end(arguments);
  trace::Call call("_mlx_error", {trace::value("file", place), trace::value("line", line), trace::value("text", text.c_str())});
  real(place, line, "%s", text.c_str());
}
