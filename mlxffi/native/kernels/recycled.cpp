// Pieces that wait to be used again are offered to the system (MADV_FREE): it takes their pages where memory is short.
// MLX counts them as active memory, for it has not got them back.
#include "recycled.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <mutex>
#include <vector>

#include <mlx/device.h>
#include <mlx/version.h>

namespace mlxffi {

namespace {

namespace mx = mlx::core;

constexpr size_t large = size_t(8) << 20;
constexpr size_t most_kept = 2;

struct Piece {
  mx::allocator::Buffer buffer;
  size_t size;
};

// What the system should know of the whole pages of a piece; a GPU's memory is not ours to speak of.
void advise(Piece piece, int advice) {
  static const bool pages_are_ours = !mx::is_available(mx::Device::gpu);
  static const uintptr_t page = sysconf(_SC_PAGESIZE);
  if (pages_are_ours) {
    auto begin = reinterpret_cast<uintptr_t>(piece.buffer.raw_ptr()), end = begin + piece.size;
    begin = (begin + page - 1) / page * page;
    // Advice that is not taken changes nothing but the time it takes.
    madvise(reinterpret_cast<void*>(begin), (end - begin) / page * page, advice);
  }
}

Piece fresh(size_t size) {
  return {mx::allocator::allocator().malloc(size), size};
}

class Store {
 public:
  // A piece that is large enough, and not by more than a quarter.
  Piece take(size_t size) {
    {
      std::lock_guard lock(mutex_);
      auto fits = [&](const Piece& piece) { return piece.size >= size && piece.size - size <= size / 4; };
      auto found = std::find_if(kept_.begin(), kept_.end(), fits);
      if (found != kept_.end()) {
        Piece piece = *found;
        kept_.erase(found);
        return piece;
      }
    }
    return fresh(size);
  }

  void put(Piece piece) {
    advise(piece, MADV_FREE);
    std::unique_lock lock(mutex_);
    kept_.push_back(piece);
    if (kept_.size() > most_kept) {
      Piece oldest = kept_.front();
      kept_.erase(kept_.begin());
      lock.unlock();
      mx::allocator::allocator().free(oldest.buffer);
    }
  }

 private:
  std::mutex mutex_;
  std::vector<Piece> kept_;
};

// Never destroyed: arrays may die while the process ends.
Store& store() {
  static auto* the_store = new Store;
  return *the_store;
}

} // namespace

void allocate(mx::array& array) {
  if (array.nbytes() < large) {
    array.set_data(mx::allocator::malloc(array.nbytes()));
    return;
  }
  Piece piece = store().take(array.nbytes());
  auto give_back = [piece](mx::allocator::Buffer) { store().put(piece); };
#if MLX_VERSION_NUMERIC < 32004
  array.set_data(piece.buffer, give_back);
#else
  array.set_data(mx::allocator::Data(piece.buffer, give_back));
#endif
}

} // namespace mlxffi
