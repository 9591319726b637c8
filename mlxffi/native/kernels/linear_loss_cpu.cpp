// The evaluation of linear losses on a CPU.
#include <cstring>

#include "linear_loss.h"
#include "recycled.h"

namespace mlxffi {

namespace {

// Rows of float32 to rows of an array of another dtype; those that nobody puts are 0.
class RowsTo {
 public:
  explicit RowsTo(mx::array& array) : size_(array.shape(-1)), bytes_(array.nbytes()), item_(array.itemsize()) {
    allocate(array);
    data_ = array.data<char>();
    narrow_ = row_kernels().layers.narrow[static_cast<int>(element_of(array.dtype()))];
  }
  void clear() const {
    std::memset(data_, 0, bytes_);
  }
  void put(const std::vector<int64_t>& rows, const float* from) const {
    parallel_rows(rows.size(), size_, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) {
        narrow_(from + i * size_, data_ + rows[i] * size_ * item_, size_, 1);
      }
    });
  }

 private:
  int64_t size_, bytes_, item_;
  char* data_;
  Narrow narrow_;
};

// Sums in float32 for an array: in its own memory where it is of that.
class SumTo {
 public:
  explicit SumTo(mx::array& array) : size_(array.size()) {
    allocate(array);
    out_ = array.data<char>();
    narrow_ = row_kernels().layers.narrow[static_cast<int>(element_of(array.dtype()))];
    if (array.dtype() != mx::float32) {
      own_.emplace(array.shape(), mx::float32, nullptr, Arrays{});
      allocate(*own_);
    }
    sums_ = own_ ? own_->data<float>() : reinterpret_cast<float*>(out_);
  }
  float* data() const {
    return sums_;
  }
  void clear() const {
    std::memset(sums_, 0, size_ * sizeof(float));
  }
  void finish() const {
    if (own_) {
      narrow_(sums_, out_, size_, 1);
    }
  }

 private:
  int64_t size_;
  char* out_;
  Narrow narrow_;
  std::optional<mx::array> own_;
  float* sums_;
};

std::vector<int64_t> counted(const RowLoss& loss, int64_t rows) {
  std::vector<int64_t> result;
  for (int64_t row = 0; row < rows; row++) {
    if (loss.counts(row)) {
      result.push_back(row);
    }
  }
  return result;
}

} // namespace

std::vector<HeadRows> LinearLoss::rows_of(const Arrays& inputs) const {
  std::vector<HeadRows> heads;
  for (size_t i = 0; i < heads_.size(); i++) {
    heads.emplace_back(inputs, first_of(i), heads_[i]);
  }
  return heads;
}

// Memory for the hidden states and the logits of a chunk, head by head. It is had before any thread computes, where
// an error for want of it can still be raised.
Arrays LinearLoss::chunk_memory(const std::vector<HeadRows>& heads, int64_t rows) const {
  int64_t step = std::min(rows, rows_at_once(chunk_on_cpu, heads[0].classes() * static_cast<int64_t>(sizeof(float))));
  Arrays memory;
  for (auto& head : heads) {
    for (int64_t columns : {head.features(), head.classes()}) {
      memory.emplace_back(mx::Shape{static_cast<int>(step), static_cast<int>(columns)}, mx::float32, nullptr, Arrays{});
      allocate(memory.back());
    }
  }
  return memory;
}

void LinearLoss::over_chunks(
    const std::vector<HeadRows>& heads, Arrays memory, const std::vector<int64_t>& rows, const std::function<void(Chunk&)>& body) const {
  Chunk chunk;
  for (size_t i = 0; i < memory.size(); i++) {
    (i % 2 ? chunk.logits : chunk.hidden).push_back(memory[i].data<float>());
  }
  int64_t all = rows.size(), step = memory[0].shape(0);
  for (int64_t begin = 0; begin < all; begin += step) {
    chunk.rows.assign(rows.begin() + begin, rows.begin() + std::min(begin + step, all));
    for (size_t i = 0; i < heads.size(); i++) {
      heads[i].hidden(chunk.rows, chunk.hidden[i]);
      heads[i].logits(chunk.hidden[i], chunk.rows.size(), chunk.logits[i]);
    }
    body(chunk);
  }
}

// The losses of a chunk; with `gradients`, those for a cotangent of 1 take the places of the logits.
void LinearLoss::losses_of(
    const std::vector<HeadRows>& heads, const RowLoss& loss, Chunk& chunk, bool gradients,
    const std::function<void(int64_t, double)>& put) const {
  int64_t classes = heads[0].classes();
  size_t learning = gradients ? this->learning() : 0;
  parallel_rows(chunk.rows.size(), classes, [&](int64_t begin, int64_t end) {
    std::vector<std::vector<float>> own(heads.size());
    std::vector<float*> logits(heads.size()), out(heads.size());
    for (int64_t i = begin; i < end; i++) {
      for (size_t head = 0; head < heads.size(); head++) {
        logits[head] = chunk.logits[head] + i * classes;
        own[head].resize(head < learning && heads[head].soft_cap() ? classes : 0);
        out[head] = own[head].empty() ? logits[head] : own[head].data();
      }
      put(i, loss.loss(logits.data(), gradients ? out.data() : nullptr, chunk.rows[i]));
      for (size_t head = 0; head < learning; head++) {
        heads[head].uncap(out[head], logits[head]);
      }
    }
  });
}

void LinearLoss::eval_cpu(const Arrays& inputs, Arrays& outputs) {
  NumbersTo losses(outputs[0]);
  std::vector<RowsTo> kept;
  for (size_t i = 1; i < outputs.size(); i++) {
    kept.emplace_back(outputs[i]);
  }
  auto heads = rows_of(inputs);
  auto loss = on_cpu(others(inputs), heads[0].classes());
  int64_t rows = inputs[0].shape(0);
  on_stream(stream(), [=, self = shared_from_this(), memory = chunk_memory(heads, rows)] {
    for (int64_t row = 0; row < rows; row++) {
      losses.put(row, 0);
    }
    for (auto& gradient : kept) {
      gradient.clear();
    }
    self->over_chunks(heads, memory, counted(loss, rows), [&](Chunk& chunk) {
      self->losses_of(heads, loss, chunk, !kept.empty(), [&](int64_t i, double value) { losses.put(chunk.rows[i], value); });
      for (size_t i = 0; i < kept.size(); i++) {
        heads[i].back(chunk.logits[i], chunk.rows.size(), chunk.hidden[i]);
        kept[i].put(chunk.rows, chunk.hidden[i]);
      }
    });
  });
}

namespace {

// Multiplies each row of gradients by its cotangent.
void scale(float* gradients, const std::vector<int64_t>& rows, int64_t size, const NumbersOf& cotangents) {
  parallel_rows(rows.size(), size, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      auto factor = static_cast<float>(cotangents.number(rows[i]));
      for (int64_t j = 0; j < size; j++) {
        gradients[i * size + j] *= factor;
      }
    }
  });
}

// Adds up rows.
void add_rows(const float* from, int64_t count, int64_t size, float* to) {
  parallel_for(size, 1024, [&](int64_t begin, int64_t end) {
    for (int64_t i = 0; i < count; i++) {
      for (int64_t j = begin; j < end; j++) {
        to[j] += from[i * size + j];
      }
    }
  });
}

} // namespace

// Of rows with a cotangent of 0 nothing is made.
void LinearLoss::eval_parameters(mx::Stream s, const Arrays& inputs, Arrays& outputs) const {
  std::vector<SumTo> sums;
  for (auto& output : outputs) {
    sums.emplace_back(output);
  }
  auto heads = rows_of(inputs);
  auto loss = on_cpu({inputs.begin() + first_of(heads_.size()), inputs.end() - 1}, heads[0].classes());
  NumbersOf cotangents(inputs.back());
  auto counts = loss.counts;
  loss.counts = [=](int64_t row) { return counts(row) && cotangents.number(row) != 0; };
  int64_t rows = inputs[0].shape(0);
  on_stream(s, [=, self = shared_from_this(), memory = chunk_memory(heads, rows)] {
    for (auto& sum : sums) {
      sum.clear();
    }
    self->over_chunks(heads, memory, counted(loss, rows), [&](Chunk& chunk) {
      self->losses_of(heads, loss, chunk, true, [](int64_t, double) {});
      auto sum = sums.begin();
      for (size_t i = 0; i < self->learning(); i++) {
        int64_t count = chunk.rows.size(), classes = heads[i].classes(), features = heads[i].features();
        scale(chunk.logits[i], chunk.rows, classes, cotangents);
        if (!self->heads_[i].packed) {
          product(classes, features, count, 1, {chunk.logits[i], classes}, Side::transposed, {chunk.hidden[i], features}, Side::as_is, 1, (sum++)->data(), features);
        }
        if (self->heads_[i].biased) {
          add_rows(chunk.logits[i], count, classes, (sum++)->data());
        }
      }
    });
    for (auto& sum : sums) {
      sum.finish();
    }
  });
}

} // namespace mlxffi
