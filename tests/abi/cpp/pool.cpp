// What a body throws comes to the caller of parallel_for, whichever thread it ran in, and the pool works on.
#include "pool.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

using namespace mlxffi;

namespace {

constexpr int64_t count = 1000;

void check(bool right, const char* what) {
  if (!right) {
    std::printf("not so: %s\n", what);
    std::exit(1);
  }
}

// The sum of the numbers below count, by loops within a loop.
void check_sums() {
  std::atomic<int64_t> sum{0};
  parallel_for(count, 10, [&](int64_t begin, int64_t end) {
    parallel_for(end - begin, 2, [&, begin](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; i++) {
        sum += begin + i;
      }
    });
  });
  check(sum == count * (count - 1) / 2, "every part is run once");
}

// Every part throws, so the first that each thread takes is its last.
void check_every_part_may_throw() {
  auto token = std::make_shared<int>();
  std::atomic<int> begun{0};
  bool failed = false;
  try {
    parallel_for(count, 1, [&, token](int64_t, int64_t) {
      begun++;
      throw std::bad_alloc();
    });
  } catch (const std::bad_alloc&) {
    failed = true;
  }
  check(failed && begun <= thread_count(), "no part is begun after a failure");
  check(token.use_count() == 1 && !within_parallel(), "nothing is left of a loop that failed");
}

// One part throws, in a loop within a loop.
void check_one_part_may_throw(int64_t which) {
  std::string told;
  try {
    parallel_for(count, 100, [&](int64_t begin, int64_t end) {
      parallel_for(end - begin, 1, [&, begin](int64_t first, int64_t) {
        if (begin + first == which) {
          throw std::string("part ") + std::to_string(which);
        }
      });
    });
  } catch (const std::string& error) {
    told = error;
  }
  check(told == "part " + std::to_string(which), "the failure is that of the body");
}

void check_all() {
  for (int64_t which = 0; which < count; which += 7) {
    check_one_part_may_throw(which);
    check_every_part_may_throw();
  }
  check_sums();
}

} // namespace

int main() {
  std::vector<std::thread> callers;
  for (int i = 0; i < 3; i++) {
    callers.emplace_back(check_all);
  }
  for (auto& caller : callers) {
    caller.join();
  }
  std::puts("ok");
}
