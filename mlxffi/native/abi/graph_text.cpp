// Graphs as text, written to a C file.
#include <cstdio>

#include "graph_depth.h"
#include "c_abi.h"

using namespace mlxc;

namespace {

void write(FILE* os, const std::string& text) {
  if (!os) {
    throw BadArgument("os", "expected an open FILE, got NULL");
  }
  if (std::fwrite(text.data(), 1, text.size(), os) != text.size()) {
    throw std::runtime_error("could not write the graph to the file");
  }
}

} // namespace

extern "C" int mlx_export_to_dot(FILE* os, const mlx_node_namer namer, const mlx_vector_array outputs) {
  return guarded(__func__, [&] {
    std::ostringstream text;
    walking(get(outputs, "outputs"), [&] { mx::export_to_dot(text, get(namer, "namer"), get(outputs, "outputs")); });
    write(os, text.str());
  });
}

extern "C" int mlxffi_export_dot(mlx_string* dot, const mlx_vector_array outputs, const mlx_map_string_to_array names) {
  return guarded(__func__, [&] {
    require(dot);
    mx::NodeNamer namer;
    for (auto& [name, array] : get(names, "names")) {
      namer.set_name(array, name);
    }
    std::ostringstream text;
    walking(get(outputs, "outputs"), [&] { mx::export_to_dot(text, namer, get(outputs, "outputs")); });
    put(dot, text.str());
  });
}

extern "C" int mlx_print_graph(FILE* os, const mlx_node_namer namer, const mlx_vector_array outputs) {
  return guarded(__func__, [&] {
    std::ostringstream text;
    walking(get(outputs, "outputs"), [&] { mx::print_graph(text, get(namer, "namer"), get(outputs, "outputs")); });
    write(os, text.str());
  });
}
