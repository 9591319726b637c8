#include "askers.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <new>

namespace mlxc {

namespace {

struct Register {
  std::mutex mutex;
  std::vector<std::shared_ptr<Asked>> all;
};

// Never destroyed: threads may wait while the process ends.
Register& made() {
  static auto& made = *new Register;
  return made;
}
std::atomic<size_t> count{0};

// A forked child has none of these threads.
[[maybe_unused]] const int forked = pthread_atfork(nullptr, nullptr, [] {
  new (&made()) Register;
  count = 0;
});

} // namespace

Asker::Asker(const mx::Event& event) : asked_(std::make_shared<Asked>(Asked{event, {}})) {
  std::lock_guard<std::mutex> lock(made().mutex);
  made().all.push_back(asked_);
  count = made().all.size();
}

Asker::~Asker() {
  std::lock_guard<std::mutex> lock(made().mutex);
  auto& all = made().all;
  all.erase(std::remove(all.begin(), all.end(), asked_), all.end());
  count = all.size();
}

void Asker::tell(const std::string& text) {
  std::lock_guard<std::mutex> lock(made().mutex);
  asked_->told = text;
}

std::vector<std::shared_ptr<Asked>> all_asked() {
  if (count == 0) {
    return {};
  }
  std::lock_guard<std::mutex> lock(made().mutex);
  return made().all;
}

bool has_told(const Asked& asked) {
  std::lock_guard<std::mutex> lock(made().mutex);
  return asked.told.has_value();
}

} // namespace mlxc
