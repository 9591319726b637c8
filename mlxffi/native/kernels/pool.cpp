// A caller puts its loop on a list and works on it itself; idle workers help with whatever is on the list. So no loop
// waits for a thread that has other work: callers on several streams, and loops within loops, always get on.
#include "pool.h"

#include <pthread.h>
#include <signal.h>
#ifdef __linux__
#include <sched.h>
#endif

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <list>
#include <mutex>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

namespace mlxffi {

namespace {

using Clock = std::chrono::steady_clock;

constexpr int most_threads = 1024;
constexpr std::chrono::microseconds waiting(64);

#ifdef __linux__
// What a container's share of CPU time comes to: more threads would use it up waiting for each other.
int allowed_cpus() {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  double quota = 0, period = 0;
  return file >> quota >> period && quota < most_threads * period ? static_cast<int>(std::ceil(quota / period)) : most_threads;
}
#endif

int usable_cpus() {
#ifdef __linux__
  cpu_set_t set;
  if (!sched_getaffinity(0, sizeof(set), &set)) {
    return std::clamp(std::min(CPU_COUNT(&set), allowed_cpus()), 1, most_threads);
  }
#endif
  return std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, most_threads);
}

int wanted_threads() {
  const char* text = std::getenv("MLXFFI_NUM_THREADS");
  if (!text || !*text) {
    return usable_cpus();
  }
  char* end = nullptr;
  long count = std::strtol(text, &end, 10);
  if (*end || count < 1 || count > most_threads) {
    throw std::invalid_argument("MLXFFI_NUM_THREADS: expected a number from 1 to " + std::to_string(most_threads) + ", got \"" + text + "\"");
  }
  return static_cast<int>(count);
}

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Whether something holds soon, within less time than it takes to wake a thread. Products of one row follow each other so fast
// that threads which sleep in between would come too late for most. Threads that share a CPU do not wait like this.
template <class Predicate>
bool soon(Predicate holds) {
  static const bool alone = thread_count() <= usable_cpus();
  for (auto end = Clock::now() + waiting; alone && Clock::now() < end;) {
    for (int i = 0; i < 16; i++) {
      if (holds()) {
        return true;
      }
      pause();
    }
  }
  return false;
}

thread_local bool within = false;

// One parallel_for: it lives on its caller's stack, and leaves the list before it goes.
struct Loop {
  int64_t count, grain;
  const std::function<void(int64_t, int64_t)>& body;
  std::atomic<int64_t> next{0};
  std::atomic<int> helpers = 0;
  std::condition_variable left{};
  std::exception_ptr failure{};

  bool has_work() const {
    return next.load(std::memory_order_relaxed) < count;
  }
  // What a body throws, as out of memory: a worker that let it pass would end the process.
  std::exception_ptr work() {
    bool outside = std::exchange(within, true);
    std::exception_ptr failure;
    try {
      for (int64_t begin; (begin = next.fetch_add(grain, std::memory_order_relaxed)) < count;) {
        body(begin, std::min(begin + grain, count));
      }
    } catch (...) {
      next.store(count, std::memory_order_relaxed);
      failure = std::current_exception();
    }
    within = outside;
    return failure;
  }
};

class Pool {
 public:
  explicit Pool(int workers) {
    // Signals are for the program's own threads: Python's handlers want the main one.
    sigset_t every, before;
    sigfillset(&every);
    pthread_sigmask(SIG_SETMASK, &every, &before);
    try {
      for (int i = 0; i < workers; i++) {
        std::thread(&Pool::serve, this).detach();
      }
    } catch (const std::system_error&) {
      // No more threads to be had: those there are, at least the caller, do the work.
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  std::exception_ptr run(Loop& loop) {
    std::unique_lock lock(mutex_);
    auto place = loops_.insert(loops_.end(), &loop);
    begun_++;
    bool asleep = sleepers_ > 0;
    lock.unlock();
    if (asleep) {
      wake_.notify_all();
    }
    auto failure = loop.work();
    lock.lock();
    loops_.erase(place);
    if (loop.helpers > 0) {
      lock.unlock();
      soon([&] { return loop.helpers == 0; });
      lock.lock();
    }
    loop.left.wait(lock, [&] { return loop.helpers == 0; });
    return failure ? failure : loop.failure;
  }

 private:
  [[noreturn]] void serve() {
    std::unique_lock lock(mutex_);
    for (;;) {
      Loop* loop = wait(lock);
      loop->helpers++;
      lock.unlock();
      auto failure = loop->work();
      lock.lock();
      if (failure) {
        loop->failure = std::move(failure);
      }
      if (--loop->helpers == 0) {
        loop->left.notify_one();
      }
    }
  }

  Loop* wait(std::unique_lock<std::mutex>& lock) {
    for (;;) {
      if (Loop* loop = find()) {
        return loop;
      }
      int64_t before = begun_;
      lock.unlock();
      bool came = soon([&] { return begun_ != before; });
      lock.lock();
      if (!came) {
        sleepers_++;
        wake_.wait(lock, [&] { return find() != nullptr; });
        sleepers_--;
      }
    }
  }

  Loop* find() {
    auto found = std::find_if(loops_.begin(), loops_.end(), [](Loop* loop) { return loop->has_work(); });
    return found == loops_.end() ? nullptr : *found;
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::list<Loop*> loops_;
  std::atomic<int64_t> begun_ = 0;
  int sleepers_ = 0;
};

// Never destroyed: the process may end while workers sleep, and while MLX's streams still compute.
std::atomic<Pool*> the_pool{nullptr};
std::mutex making;

// A forked child has none of the threads, and locks that will stay locked.
void forget_after_fork() {
  the_pool = nullptr;
  new (&making) std::mutex;
}

Pool& pool() {
  if (Pool* there = the_pool.load(std::memory_order_acquire)) {
    return *there;
  }
  std::lock_guard lock(making);
  if (!the_pool.load()) {
    [[maybe_unused]] static int registered = pthread_atfork(nullptr, nullptr, forget_after_fork);
    the_pool.store(new Pool(thread_count() - 1), std::memory_order_release);
  }
  return *the_pool.load();
}

} // namespace

int thread_count() {
  static const int count = wanted_threads();
  return count;
}

bool within_parallel() {
  return within;
}

void parallel_for(int64_t count, int64_t grain, const std::function<void(int64_t, int64_t)>& body) {
  if (count <= grain) {
    if (count > 0) {
      body(0, count);
    }
    return;
  }
  Loop loop{count, grain, body};
  // One thread works on the same parts as several do: a BLAS rounds a product otherwise than its halves.
  if (auto failure = thread_count() == 1 ? loop.work() : pool().run(loop)) {
    std::rethrow_exception(failure);
  }
}

} // namespace mlxffi
