// Running logarithms of sums of exponentials of rows of float32. What is summed up so far is kept as a double.
#pragma once

#include "elementwise.h"

namespace mlxffi {
namespace {

// The row from its beginning, or from its end.
class LogSums {
 public:
  LogSums(const float* from, float* to, int64_t length, bool reverse) : from_(from), to_(to), length_(length), reverse_(reverse) {}

  void run() {
    for (int64_t start = 0; start < length_; start += block) {
      int64_t count = length_ - start < block ? length_ - start : block;
      float part[block] = {};
      copy(from_ + place(start, count), part, count);
      double first = larger(top_, double(part[0])), top = larger(top_, highest<Float32>(part, count));
      top - first <= most_apart ? at_once(part, count, top) : one_by_one(part, count);
      copy(part, to_ + place(start, count), count);
    }
  }

 private:
  static constexpr int64_t block = 256;
  // Exponentials of numbers so far below others are no 0 yet, and do not count beside them.
  static constexpr double most_apart = 100;

  // Where so many numbers from one on lie in the row.
  int64_t place(int64_t start, int64_t count) const {
    return reverse_ ? length_ - start - count : start;
  }

  void copy(const float* from, float* to, int64_t count) const {
    if (!reverse_) {
      std::memcpy(to, from, count * sizeof(float));
      return;
    }
    for (int64_t i = 0; i < count; i++) {
      to[i] = from[count - 1 - i];
    }
  }

  // Numbers of which none is as much above the first, or what came before, that this is lost beside it.
  void at_once(float* part, int64_t count, double top) {
    double sums[block];
    for (int64_t i = 0; i < count; i += lanes<double>) {
      put(sums + i, numbers::exp_of(wide(read_as<Singles>(part + i)) - top));
    }
    // In a register: what is put might be a member.
    double sum = sum_ * std::exp(top_ - top);
    for (int64_t i = 0; i < count; i++) {
      sums[i] = sum += sums[i];
    }
    for (int64_t i = 0; i < count; i += lanes<double>) {
      put(part + i, narrow(numbers::log_of(read_as<Doubles>(sums + i)) + top));
    }
    top_ = top;
    sum_ = sum;
  }

  void one_by_one(float* part, int64_t count) {
    double log = top_ + std::log(sum_);
    for (int64_t i = 0; i < count; i++) {
      log = numbers::logaddexp_of(all(log), all(double(part[i])))[0];
      part[i] = static_cast<float>(log);
    }
    top_ = log;
    sum_ = 1;
  }

  const float* from_;
  float* to_;
  int64_t length_;
  bool reverse_;
  // The sum so far is sum_ exp(top_).
  double top_ = -INFINITY, sum_ = 0;
};

void log_sums(const char* from, char* to, int64_t rows, int64_t length, bool reverse) {
  for (int64_t row = 0; row < rows; row++) {
    LogSums(reinterpret_cast<const float*>(from) + row * length, reinterpret_cast<float*>(to) + row * length, length, reverse).run();
  }
}

} // namespace
} // namespace mlxffi
