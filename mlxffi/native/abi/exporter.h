// Functions written for others to run: with MLX's own operations alone, and graphs of any depth.
#pragma once

// export_impl.h names what export.h declares.
#include <mlx/export.h>
#include <mlx/export_impl.h>

#include <functional>
#include <memory>
#include <string>

#include "handles.h"

namespace mlxc {

// A writer of several traces of one function to a file. A function that fails leaves it as it was.
class Exporter {
 public:
  Exporter(const std::string& file, KwargsFunction fun, bool shapeless, const std::string& metadata = "");

  void operator()(const Arrays& args, const ArrayMap& named = {});
  // In the function itself: when its trace is written.
  void close();

 private:
  void end();

  std::string file_;
  KwargsFunction fun_;
  // What MLX traces, in place of the function: its graph.
  std::shared_ptr<KwargsFunction> traced_;
  bool shapeless_;
  bool tracing_ = false, closing_ = false, closed_ = false;
  mx::FunctionExporter writer_;
};

// Writes one trace to a file.
void export_once(
    const std::string& file,
    KwargsFunction fun,
    bool shapeless,
    const Arrays& args,
    const ArrayMap& named = {},
    const std::string& metadata = "");

// The function as one of positional arrays alone.
KwargsFunction positional(Function fun);

// Traces the function, and calls `write` with its graph as a function, on a thread that has the stack to walk it.
void exporting(const KwargsFunction& fun, const Arrays& args, const ArrayMap& named, bool shapeless, const std::function<void(const KwargsFunction&)>& write);

} // namespace mlxc
