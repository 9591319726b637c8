// The threads that wait for events. MLX tells of a failure only once: until the one that was told has said so, what failed
// looks computed to all others.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "convert.h"

namespace mlxc {

struct Asked {
  mx::Event event;
  std::optional<std::string> told;
  // Under Scheduling.
  bool is_remembered = false;
};

// Of this thread, while it waits; it takes no other lock until it has told.
class Asker {
 public:
  explicit Asker(const mx::Event& event);
  ~Asker();
  Asker(const Asker&) = delete;
  Asker& operator=(const Asker&) = delete;

  void tell(const std::string& text);
  Asked& asked() const {
    return *asked_;
  }

 private:
  std::shared_ptr<Asked> asked_;
};

// Those of all threads, as they are now.
std::vector<std::shared_ptr<Asked>> all_asked();
bool has_told(const Asked& asked);

} // namespace mlxc
