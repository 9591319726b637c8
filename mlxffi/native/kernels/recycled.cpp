// Pieces that wait to be used again are offered to the system (MADV_FREE): it takes their pages where memory is short.
// MLX counts them as active memory, for it has not got them back.
#include "recycled.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <mutex>
#include <unordered_set>
#include <vector>

namespace mlxffi {

namespace {

constexpr size_t large = size_t(8) << 20;
constexpr size_t most_kept = 2;

struct Piece {
  Buffer buffer;
  size_t size;
};

// What the system should know of the whole pages of a piece.
void advise(Piece piece, int advice) {
  static const uintptr_t page = sysconf(_SC_PAGESIZE);
  auto begin = reinterpret_cast<uintptr_t>(piece.buffer.raw_ptr()), end = begin + piece.size;
  begin = (begin + page - 1) / page * page;
  // Advice that is not taken changes nothing but the time it takes.
  madvise(reinterpret_cast<void*>(begin), (end - begin) / page * page, advice);
}

class Store {
 public:
  // A piece that is large enough, and not by more than a quarter.
  std::optional<Buffer> take(size_t size) {
    std::lock_guard lock(mutex_);
    auto fits = [&](const Piece& piece) { return piece.size >= size && piece.size - size <= size / 4; };
    auto found = std::find_if(kept_.begin(), kept_.end(), fits);
    if (found == kept_.end()) {
      return std::nullopt;
    }
    Buffer buffer = found->buffer;
    kept_.erase(found);
    return buffer;
  }

  void remember(Buffer buffer) {
    std::lock_guard lock(mutex_);
    known_.insert(buffer.ptr());
  }

  // The buffer to be freed for it: the oldest where there are too many; itself where it is not known.
  std::optional<Buffer> put(Piece piece) {
    std::lock_guard lock(mutex_);
    if (!known_.count(piece.buffer.ptr())) {
      return piece.buffer;
    }
    advise(piece, MADV_FREE);
    kept_.push_back(piece);
    if (kept_.size() <= most_kept) {
      return std::nullopt;
    }
    Buffer oldest = kept_.front().buffer;
    kept_.erase(kept_.begin());
    known_.erase(oldest.ptr());
    return oldest;
  }

 private:
  std::mutex mutex_;
  std::vector<Piece> kept_;
  std::unordered_set<const void*> known_;
};

// Never destroyed: arrays may die while the process ends.
Store& store() {
  static auto* the_store = new Store;
  return *the_store;
}

// Whether what this thread allocates is for allocate().
thread_local bool recycling = false;

struct Recycling {
  explicit Recycling(bool is) {
    recycling = is;
  }
  ~Recycling() {
    recycling = false;
  }
};

} // namespace

void allocate(mx::array& array) {
  Recycling scope(array.nbytes() >= large);
  array.set_data(mx::allocator::malloc(array.nbytes()));
}

std::optional<Buffer> recycled(size_t size) {
  return recycling ? store().take(size) : std::nullopt;
}

void to_be_recycled(Buffer buffer) {
  if (recycling) {
    store().remember(buffer);
  }
}

std::optional<Buffer> recycle(Buffer buffer, size_t size) {
  return size >= large ? store().put({buffer, size}) : buffer;
}

} // namespace mlxffi
