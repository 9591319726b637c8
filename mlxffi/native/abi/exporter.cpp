#include "exporter.h"

#include <map>

#include "composing.h"
#include "exported_file.h"
#include "graph_depth.h"

namespace mlxc {

namespace {

// Positional arrays, then the named ones in the order of their names.
Arrays all_of(const Arrays& args, const ArrayMap& named) {
  Arrays all = args;
  for (auto& [name, array] : std::map<std::string, mx::array>(named.begin(), named.end())) {
    all.push_back(array);
  }
  return all;
}

} // namespace

KwargsFunction positional(Function fun) {
  return [fun = std::move(fun)](const Arrays& args, const ArrayMap& named) {
    if (!named.empty()) {
      throw std::invalid_argument("[export_function] the function takes no named arrays, got " + std::to_string(named.size()));
    }
    return fun(args);
  };
}

void exporting(const KwargsFunction& fun, const Arrays& args, const ArrayMap& named, bool shapeless, const std::function<void(const KwargsFunction&)>& write) {
  mlxffi::Composing composing;
  auto traced = [&](const Arrays& args, const ArrayMap& named) -> Arrays { throw Graph(all_of(args, named), fun(args, named)); };
  try {
    mx::export_function(mx::ExportCallback([](auto&) {}), KwargsFunction(traced), args, named, shapeless);
  } catch (const Graph& graph) {
    auto same = [&](const Arrays& args, const ArrayMap& named) { return graph(all_of(args, named)); };
    graph.walk([&] { write(same); });
  }
}

Exporter::Exporter(const std::string& file, KwargsFunction fun, bool shapeless, const std::string& metadata)
    : file_(file),
      fun_(std::move(fun)),
      traced_(std::make_shared<KwargsFunction>()),
      shapeless_(shapeless),
      writer_(mx::exporter(file, KwargsFunction([traced = traced_](auto& args, auto& named) { return (*traced)(args, named); }), shapeless, metadata)) {}

void Exporter::operator()(const Arrays& args, const ArrayMap& named) {
  tracing_ = true;
  auto finish = [&] {
    tracing_ = false;
    if (closing_) {
      end();
    }
  };
  try {
    exporting(fun_, args, named, shapeless_, [&](const KwargsFunction& graph) {
      *traced_ = graph;
      writer_(args, named);
    });
  } catch (...) {
    finish();
    throw;
  }
  finish();
}

void Exporter::close() {
  closing_ = true;
  if (!tracing_) {
    end();
  }
}

void Exporter::end() {
  if (!std::exchange(closed_, true)) {
    writer_.close();
    seal(file_);
  }
}

void export_once(const std::string& file, KwargsFunction fun, bool shapeless, const Arrays& args, const ArrayMap& named, const std::string& metadata) {
  Exporter writer(file, std::move(fun), shapeless, metadata);
  writer(args, named);
  writer.close();
}

} // namespace mlxc
