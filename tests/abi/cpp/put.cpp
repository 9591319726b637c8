// A result that fails half way leaves every slot as it was, with the object that it held.
#include <cstdio>
#include <cstdlib>

#include "containers.h"

using namespace mlxc;

// What the library does, beside which this program is not linked.
void mlxc::report(mlxffi_error_kind, const char*) noexcept {}

namespace {

void check(bool right, const char* what) {
  if (!right) {
    std::printf("not so: %s\n", what);
    std::exit(1);
  }
}

// A value that cannot be made.
struct Fails {
  template <class Value>
  operator Value() const {
    throw std::bad_alloc();
  }
};

template <class Body>
void check_throws(Body&& body) {
  try {
    body();
  } catch (const std::bad_alloc&) {
    return;
  }
  check(false, "it throws");
}

size_t live() {
  size_t total = 0;
  for (auto& counts : alive) {
    for (auto& count : counts.of) {
      total += count.load();
    }
  }
  return total;
}

void one_result() {
  mlx_string full{own<mlx_string>("before")}, empty{};
  void* object = full.ctx;
  check_throws([&] { put(&full, Fails()); });
  check_throws([&] { put(&empty, Fails()); });
  check(full.ctx == object && get(full, "full") == "before", "a failing value leaves the slot as it was");
  check(!empty.ctx, "a failing value leaves an empty slot empty");
  put(&full, std::string("after"));
  check(full.ctx == object && get(full, "full") == "after", "a value goes under the handle that is there");
  release(full);
}

void two_results() {
  mlx_string first{own<mlx_string>("before")}, second{}, third{};
  check_throws([&] { put(&first, &second, std::pair(std::string("after"), Fails())); });
  check_throws([&] { put(&third, &first, std::pair(Fails(), std::string("after"))); });
  check(get(first, "first") == "before" && !second.ctx && !third.ctx, "both results or none");
  put(&second, &first, std::pair(std::string("a"), std::string("b")));
  check(get(second, "second") == "a" && get(first, "first") == "b", "each result has its slot");
  release(first);
  release(second);
}

} // namespace

int main() {
  one_result();
  two_results();
  check(live() == 0, "nothing is left");
  std::puts("ok");
}
