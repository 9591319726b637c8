// What MLX's allocator for CPUs lacks. An allocation that fails is an error: it gives a null pointer then, and its kernels
// write there. Arrays get large pages, large ones memory that is used again.
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <string>

#include "attempt.h"
#include "handles.h"
#include "process.h"
#include "recycled.h"

#ifndef __APPLE__ // where the allocator is Metal's
#include <sys/mman.h>

namespace mlxc {

namespace {

using mx::allocator::Allocator;
using mx::allocator::Buffer;

// A table of virtual functions as the C++ ABI of Linux lays it out: two words before the first function.
constexpr size_t before = 2, functions = 7;
using Malloc = Buffer (*)(Allocator*, size_t);
using Free = void (*)(Allocator*, Buffer);

struct NoMemory : std::bad_alloc {
  explicit NoMemory(size_t size) : text("[malloc] there is no memory for an array of " + std::to_string(size) + " bytes") {}
  const char* what() const noexcept override {
    return text.c_str();
  }
  std::string text;
};

Malloc original_malloc;
Free original_free;
void* table[before + functions];

// From here on memory is asked for first: MLX counts what it did not get as in use.
constexpr size_t large = size_t(1) << 26;

bool is_there(size_t size) {
  void* volatile memory = std::malloc(size + sizeof(size_t));
  std::free(memory);
  return memory != nullptr;
}

// From here on memory is asked for in pages of 2 MB where the system has them, as numpy does: the first touch of small
// pages takes longer than most kernels take to fill them.
constexpr size_t many_pages = size_t(1) << 22, page_size = 4096;

void ask_for_large_pages(void* memory, size_t size) {
#ifdef MADV_HUGEPAGE
  auto begin = (reinterpret_cast<uintptr_t>(memory) + page_size - 1) / page_size * page_size;
  madvise(reinterpret_cast<void*>(begin), size - page_size, MADV_HUGEPAGE);
#endif
}

// Smaller arrays lie side by side in what malloc takes from the system piece by piece, and touch it before there is a whole
// large page of it. Where two of them meet within an array, all of one is there by now, and is made one after the event.
constexpr size_t part_of_page = size_t(1) << 14, large_page = size_t(2) << 20;

#ifdef __linux__
// What is asked for after the event disregards this setting otherwise.
bool large_pages_are_wanted() {
  std::ifstream file("/sys/kernel/mm/transparent_hugepage/enabled");
  std::string setting;
  return std::getline(file, setting) && setting.find("[never]") == std::string::npos;
}
#endif

void join_pages(void* memory, size_t size) {
#ifdef __linux__
  constexpr int collapse = 25;  // MADV_COLLAPSE: Linux has it since 6.1, and older headers have not
  static const bool wanted = large_pages_are_wanted();
  auto begin = reinterpret_cast<uintptr_t>(memory), place = (begin + large_page - 1) / large_page * large_page;
  if (wanted && place < begin + size) {
    madvise(reinterpret_cast<void*>(place - large_page), 2 * large_page, collapse);
  }
#endif
}

[[noreturn]] void refuse(size_t size) {
  Attempt::ask_streams();
  throw NoMemory(size);
}

Buffer there(Buffer buffer, size_t size) {
  if (!buffer.ptr() && size) {
    refuse(size);
  }
  return buffer;
}

// In a forked child MLX's allocator may wait for ever for its lock, which another thread of the parent held. Its pieces lie
// behind their sizes; where they do not, it is asked all the same.
bool has_sizes = false;

bool goes_without_lock() {
  return has_sizes && is_forked();
}

bool lies_behind_its_size(Buffer buffer, size_t size) {
  auto* start = static_cast<size_t*>(buffer.ptr());
  return start && *start == size && buffer.raw_ptr() == start + 1;
}

Buffer malloc_without_lock(size_t size) {
  auto* start = static_cast<size_t*>(std::malloc(size + sizeof(size_t)));
  if (!start) {
    throw NoMemory(size);
  }
  *start = size;
  return Buffer{start};
}

Buffer large_malloc(Allocator* allocator, size_t size) {
  if (auto kept = mlxffi::recycled(size)) {
    return *kept;
  }
  if (size >= large && !is_there(size)) {
    refuse(size);
  }
  auto buffer = there(original_malloc(allocator, size), size);
  ask_for_large_pages(buffer.raw_ptr(), size);
  mlxffi::to_be_recycled(buffer);
  return buffer;
}

Buffer checked_malloc(Allocator* allocator, size_t size) {
  if (goes_without_lock()) {
    return malloc_without_lock(size);
  }
  if (size >= many_pages) {
    return large_malloc(allocator, size);
  }
  auto buffer = there(original_malloc(allocator, size), size);
  if (size >= part_of_page) {
    join_pages(buffer.raw_ptr(), size);
  }
  return buffer;
}

void recycling_free(Allocator* allocator, Buffer buffer) {
  if (goes_without_lock()) {
    return std::free(buffer.ptr());
  }
  if (auto unused = mlxffi::recycle(buffer, allocator->size(buffer))) {
    original_free(allocator, *unused);
  }
}

// Where there is nothing to be had, as from CUDA's allocator without a GPU, loading goes on all the same.
bool lie_behind_their_sizes() {
  auto* allocator = &mx::allocator::allocator();
  try {
    auto tried = original_malloc(allocator, 1);
    bool found = lies_behind_its_size(tried, 1);
    original_free(allocator, tried);
    return found;
  } catch (const std::exception&) {
    return false;
  }
}

// `malloc` and `free` are the first of Allocator's virtual functions. CUDA's allocator throws by itself.
bool check_allocations() {
  if (!mx::cu::is_available()) {
    auto& functions_of = reinterpret_cast<void**&>(mx::allocator::allocator());
    std::copy_n(functions_of - before, before + functions, table);
    original_malloc = reinterpret_cast<Malloc>(table[before]);
    original_free = reinterpret_cast<Free>(table[before + 1]);
    table[before] = reinterpret_cast<void*>(checked_malloc);
    table[before + 1] = reinterpret_cast<void*>(recycling_free);
    functions_of = table + before;
    has_sizes = lie_behind_their_sizes();
  }
  return true;
}

[[maybe_unused]] const bool checked = check_allocations();

} // namespace

} // namespace mlxc

#endif
