// A block of threads that take turns in one: each runs until it waits for others (see metal.py).
#pragma once

#include <ucontext.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <vector>

namespace block {

inline constexpr int width = 64, warp_width = 32;

struct Thread {
  ucontext_t context;
  std::vector<char> stack = std::vector<char>(1 << 17);
  bool is_done;
};

inline ucontext_t scheduler;
inline std::array<Thread, width> threads;
inline int current; // thread
inline int idle; // turns since the last that changed anything
inline std::function<void()> body;

inline int lane() {
  return current % warp_width;
}

// Where so many threads wait until all have come.
class Meeting {
 public:
  explicit Meeting(int size) : size_(size) {}

  void meet() {
    long round = round_;
    if (++here_ == size_) {
      here_ = 0, round_++, idle = 0;
    }
    while (round_ == round) {
      if (++idle > 10 * width) {
        printf("threads wait for others that do not come\n");
        exit(1);
      }
      swapcontext(&threads[current].context, &scheduler);
    }
  }

 private:
  int size_, here_ = 0;
  long round_ = 0;
};

inline Meeting& all() {
  static Meeting everybody(width);
  return everybody;
}

// The numbers of a warp's threads, each of which brings one.
inline std::array<float, warp_width> exchanged(float x) {
  static std::array<std::array<float, warp_width>, width / warp_width> numbers;
  static std::array<Meeting, width / warp_width> warps{Meeting(warp_width), Meeting(warp_width)};
  int warp = current / warp_width;
  numbers[warp][lane()] = x;
  warps[warp].meet();
  auto found = numbers[warp];
  warps[warp].meet();
  return found;
}

inline void thread_begins() {
  body();
  threads[current].is_done = true, idle = 0;
}

inline void run(std::function<void()> of_each) {
  body = std::move(of_each);
  for (auto& thread : threads) {
    thread.is_done = false;
    getcontext(&thread.context);
    thread.context.uc_stack.ss_sp = thread.stack.data();
    thread.context.uc_stack.ss_size = thread.stack.size();
    thread.context.uc_link = &scheduler;
    makecontext(&thread.context, thread_begins, 0);
  }
  for (bool any = true; any;) {
    any = false;
    for (current = 0; current < width; current++) {
      if (!threads[current].is_done) {
        any = true;
        swapcontext(&scheduler, &threads[current].context);
      }
    }
  }
}

} // namespace block
