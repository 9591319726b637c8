// A walk meets each node once, leaves a walk around it as it was, and keeps memory for the next one, but not without bound.
#include "walk.h"

#include <malloc.h>

#include <cstdio>
#include <cstdlib>
#include <new>

#include <mlx/ops.h>

using namespace mlxffi;

namespace {

int64_t bytes = 0, allocations = 0;

void check(bool right, const char* what) {
  if (!right) {
    std::printf("not so: %s\n", what);
    std::exit(1);
  }
}

// So many nodes, each of which has two users, and what joins them.
Arrays wide(int width) {
  Arrays parts;
  for (int i = 0; i < width; i++) {
    auto part = mx::negative(mx::ones({1}));
    parts.insert(parts.end(), {part, part});
  }
  return {mx::concatenate(std::move(parts))};
}

// Of which only the node that joins them is yet to be scheduled.
Arrays of_scheduled(int width) {
  Arrays parts(width, mx::array(1.0f));
  for (auto& part : parts) {
    part = mx::array({1.0f});
    part.set_status(mx::array::Status::evaluated);
  }
  return {mx::concatenate(std::move(parts))};
}

void check_nodes() {
  auto shared = mx::negative(mx::ones({1}));
  Arrays outputs{mx::add(shared, shared), shared};
  Walk walk(outputs);
  // What fills with ones may be a node, or there already.
  int64_t own = 0;
  for (auto* node : walk.nodes()) {
    own += node->id() == shared.id() || node->id() == outputs[0].id();
  }
  check(own == 2 && walk.scheduled().empty(), "each node is met once");
}

void check_walk_within() {
  auto outer = wide(100), inner = wide(3);
  Walk around(outer);
  auto before = around.nodes();
  { check(Walk(inner).nodes().size() < before.size(), "a walk within sees its own graph"); }
  check(around.nodes() == before, "a walk within leaves the one around it as it was");
}

void check_small_walks_take_nothing() {
  auto small = wide(200);
  { Walk first(small); }
  { Walk second(small); }
  auto before = allocations;
  for (int i = 0; i < 10; i++) {
    Walk walk(small);
  }
  check(allocations == before, "walks of small graphs allocate nothing");
}

void check_bound(const Arrays& large) {
  auto before = bytes;
  { Walk walk(large); }
  check(bytes <= before + (256 << 10), "memory for large graphs is given back");
  auto small = wide(3);
  { Walk walk(small); }
  check(bytes <= before + (256 << 10) + (16 << 10), "and not kept by small ones");
}

} // namespace

void* operator new(size_t size) {
  auto* made = std::malloc(size);
  if (!made) {
    throw std::bad_alloc();
  }
  bytes += malloc_usable_size(made);
  allocations++;
  return made;
}

void operator delete(void* memory) noexcept {
  bytes -= memory ? malloc_usable_size(memory) : 0;
  std::free(memory);
}

void operator delete(void* memory, size_t) noexcept {
  operator delete(memory);
}

int main() {
  check_nodes();
  check_walk_within();
  check_small_walks_take_nothing();
  check_bound(wide(50'000));
  check_bound(of_scheduled(100'000));
  check_small_walks_take_nothing();
  std::puts("ok");
}
