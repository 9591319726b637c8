#include "derivatives/draws.h"

#include <chrono>

#include <mlx/primitives.h>

namespace mlxc {

namespace {

thread_local Draws* current = nullptr;

mx::random::KeySequence& generator() {
  using namespace std::chrono;
  thread_local mx::random::KeySequence keys(duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count());
  return keys;
}

mx::array drawn(const mx::array& key, Draws* draws) {
  if (!draws) {
    return key;
  }
  if (!draws->again) {
    return draws->keys.emplace_back(drawn(key, draws->outer));
  }
  if (draws->next == draws->keys.size()) {
    throw std::runtime_error("[checkpoint] the function drew more random numbers when it was run again for its gradient than at first: it must do the same each time");
  }
  return draws->keys[draws->next++];
}

// The keys of all slices as the key of one of them. Beside them it has an input that is mapped, so that it is.
class Spread : public mx::Primitive {
 public:
  using Primitive::Primitive;

  const char* name() const override {
    return "SpreadDraws";
  }
  void eval_cpu(const Arrays&, Arrays&) override {
    throw std::runtime_error("[vmap] random numbers of a mapped function cannot be evaluated in it");
  }
  void eval_gpu(const Arrays& inputs, Arrays& outputs) override {
    eval_cpu(inputs, outputs);
  }
  std::pair<Arrays, std::vector<int>> vmap(const Arrays& inputs, const std::vector<int>&) override {
    return {{inputs[0]}, {0}};
  }
};

struct Slices {
  mx::array slice;
  int size;
};

// The maps that this thread is tracing, the outermost first.
thread_local std::vector<Slices> maps;

mx::array spread(mx::array key) {
  for (auto& [slice, size] : maps) {
    auto s = mx::default_stream(mx::default_device());
    auto keys = mx::random::split(key, size, s);
    key = mx::array({2}, mx::uint32, std::make_shared<Spread>(s), {keys, mx::stop_gradient(slice, s)});
  }
  return key;
}

} // namespace

mx::array keyed(const std::optional<mx::array>& key) {
  return key ? *key : drawn(spread(generator().next()), current);
}

void seed_draws(uint64_t seed) {
  generator().seed(seed);
}

DrawsOf::DrawsOf(Draws& draws, bool again) {
  draws.next = 0;
  draws.outer = current;
  draws.again = again;
  current = &draws;
}

DrawsOf::~DrawsOf() {
  current = current->outer;
}

SpreadDraws::SpreadDraws(const mx::array& slice, int size) {
  maps.push_back({slice, size});
}

SpreadDraws::~SpreadDraws() {
  maps.pop_back();
}

bool SpreadDraws::active() {
  return !maps.empty();
}

} // namespace mlxc

using namespace mlxc;

extern "C" int mlxffi_random_next(mlx_array* res_0, mlx_array* res_1, const mlx_array before, const mlx_stream s) {
  return guarded(__func__, [&] {
    require(res_0, res_1);
    auto [first, second] = mx::random::split(get(before, "before"), stream_of(s, "s"));
    put(res_0, res_1, std::pair{first, drawn(spread(second), current)});
  });
}
