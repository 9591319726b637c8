// The parts of a traced function as JSON.
#include <cmath>
#include <concepts>
#include <cstdio>
#include <sstream>

#include "convert.h"
#include "exporter.h"

using namespace mlxc;

namespace {

using Part = mx::ExportCallbackInput;

// A part of a trace, written to a stream; arrays go to a list.
class Describer {
 public:
  Describer(std::ostream& out, Arrays& arrays) : out_(out), arrays_(arrays) {}

  void operator()(const Part& part) {
    char before = '{';
    for (auto& [key, value] : part) {
      out_ << before;
      write(key);
      out_ << ':';
      std::visit([this](auto& held) { write(held); }, value);
      before = ',';
    }
    out_ << '}';
  }

 private:
  void write(bool value) {
    out_ << (value ? "true" : "false");
  }

  // Which types size_t and int64_t are, and whether they differ from uint64_t, depends on the system.
  void write(std::integral auto value) {
    out_ << value;
  }

  void write(double value) {
    char text[40];
    std::snprintf(text, sizeof text, std::isfinite(value) ? "%.17e" : "{\"float\":\"%f\"}", value);
    out_ << text;
  }

  void write(float value) {
    write(static_cast<double>(value));
  }

  void write(const std::string& value) {
    out_ << '"';
    for (unsigned char letter : value) {
      char text[8];
      bool plain = letter >= ' ' && letter != '"' && letter != '\\';
      std::snprintf(text, sizeof text, plain ? "%c" : "\\u%04x", letter);
      out_ << text;
    }
    out_ << '"';
  }

  void write(const mx::Dtype& value) {
    out_ << "{\"dtype\":" << static_cast<int>(value.val()) << '}';
  }

  void write(const mx::array& value) {
    out_ << "{\"array\":" << arrays_.size() << '}';
    arrays_.push_back(value);
  }

  void write(const std::optional<float>& value) {
    if (value) {
      write(*value);
    } else {
      out_ << "null";
    }
  }

  template <typename... T>
  void write(const std::variant<T...>& value) {
    std::visit([this](auto& held) { this->write(held); }, value);
  }

  template <typename T>
  void list(const T& values) {
    using Value = typename T::value_type;
    out_ << '[';
    bool first = true;
    for (const auto& value : values) {
      out_ << (first ? "" : ",");
      first = false;
      // A vector of booleans may give other things than booleans.
      write(static_cast<const Value&>(value));
    }
    out_ << ']';
  }

  template <typename T>
  void write(const std::vector<T>& values) {
    list(values);
  }

  void write(const std::vector<bool>& values) {
    list(values);
  }

  template <typename T>
  void sizes(const T& values) {
    out_ << "{\"tuple\":";
    list(values);
    out_ << '}';
  }

  void write(const mx::Shape& values) {
    sizes(values);
  }

  void write(const mx::Strides& values) {
    sizes(values);
  }

  template <typename... T>
  void write(const std::tuple<T...>& values) {
    out_ << "{\"tuple\":[";
    bool first = true;
    auto one = [&](auto& value) {
      out_ << (first ? "" : ",");
      first = false;
      write(value);
    };
    std::apply([&](auto&... value) { (one(value), ...); }, values);
    out_ << "]}";
  }

  template <typename A, typename B>
  void write(const std::pair<A, B>& values) {
    write(std::tuple<A, B>(values.first, values.second));
  }

  std::ostream& out_;
  Arrays& arrays_;
};

} // namespace

extern "C" int mlxffi_export_describe(
    mlx_string* parts,
    mlx_vector_array* arrays,
    const mlx_closure_kwargs fun,
    const mlx_vector_array args,
    const mlx_map_string_to_array kwargs,
    bool shapeless) {
  return guarded(__func__, [&] {
    require(parts);
    require(arrays);
    std::ostringstream out;
    Arrays found;
    Describer describe(out, found);
    const char* before = "[";
    auto told = [&](const Part& part) {
      out << before;
      before = ",";
      describe(part);
    };
    auto &given = get(args, "args");
    auto &named = get(kwargs, "kwargs");
    exporting(get(fun, "fun"), given, named, shapeless, [&](const KwargsFunction& graph) {
      mx::export_function(mx::ExportCallback(told), graph, given, named, shapeless);
    });
    out << ']';
    put(arrays, parts, std::pair(std::move(found), out.str()));
  });
}
