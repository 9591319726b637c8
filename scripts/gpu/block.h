// A block of threads that take turns on one: each runs to where it meets the others, a barrier or a sum over its warp.
#pragma once

#include <ucontext.h>

#include <functional>
#include <memory>
#include <vector>

class Block {
 public:
  static constexpr int warp = 32;

  // Runs a function once for each thread of the block.
  Block(int threads, std::function<void(unsigned)> body) : body_(std::move(body)) {
    for (int i = 0; i < threads; i++) {
      threads_.push_back(std::make_unique<Thread>());
    }
    current() = this;
    for (place_ = 0; place_ < threads; place_++) {
      start(*threads_[place_]);
    }
    for (bool some = true; some;) {
      some = false;
      for (place_ = 0; place_ < threads; place_++) {
        if (!threads_[place_]->done) {
          some = true;
          swapcontext(&caller_, &threads_[place_]->context);
        }
      }
    }
  }

  static Block*& current() {
    static Block* found = nullptr;
    return found;
  }

  void meet() {
    auto& here = *threads_[place_];
    swapcontext(&here.context, &caller_);
  }

  float sum(float x) {
    auto &here = *threads_[place_];
    // Two places by turns: whoever is ahead does not overwrite what others are still to read.
    int turn = here.sums++ % 2, first = place_ / warp * warp;
    here.given[turn] = x;
    meet();
    float total = 0;
    for (int i = first; i < first + warp; i++) {
      total += threads_[i]->given[turn];
    }
    return total;
  }

 private:
  struct Thread {
    ucontext_t context;
    std::vector<char> stack = std::vector<char>(256 * 1024);
    float given[2] = {0, 0};
    int sums = 0;
    bool done = false;
  };

  void start(Thread& thread) {
    getcontext(&thread.context);
    thread.context.uc_stack.ss_sp = thread.stack.data();
    thread.context.uc_stack.ss_size = thread.stack.size();
    thread.context.uc_link = &caller_;
    makecontext(&thread.context, &Block::run, 0);
  }

  static void run() {
    auto block = current();
    int place = block->place_;
    block->body_(place);
    block->threads_[place]->done = true;
  }

  std::function<void(unsigned)> body_;
  std::vector<std::unique_ptr<Thread>> threads_;
  ucontext_t caller_;
  int place_ = 0;
};

inline float simd_sum(float x) {
  return Block::current()->sum(x);
}
inline float simd_max(float x) {
  return x; // no kernel of a layer asks for it
}

struct mem_flags {
  enum { mem_threadgroup };
};
inline void threadgroup_barrier(int) {
  Block::current()->meet();
}
