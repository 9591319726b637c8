#include "elementwise_blocks.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>

#include <mlx/backend/common/utils.h>

#include "pool.h"
#include "recycled.h"
#include "row_access.h"
#include "rows.h"
#include "strided_copy.h"

namespace mlxffi {

namespace {

// How many numbers a block has, and one that no thread copies anything for.
constexpr int64_t small_block = 2048, large_block = 16384;
// Rows from this length on are worth blocks of their own: where their numbers lie side by side, nothing is copied.
constexpr int64_t long_row = 256;

// What an operation takes for a number, as a multiple of an addition; what MLX does number by number counts as more.
int64_t work_of(Operation operation) {
  bool is_function = operation < Operation::Add, is_slow = operation >= Operation::Sign && operation <= Operation::Round;
  return is_function ? 16 : is_slow || operation == Operation::Select ? 4 : 1;
}

using Table = std::unordered_map<std::string_view, Operation>;

const Table& operations() {
  static const Table table = {
#define MLXFFI_NAMED(name, ...) {#name, Operation::name},
      MLXFFI_FOR_FUNCTIONS(MLXFFI_NAMED) MLXFFI_FOR_FUNCTIONS_OF_TWO(MLXFFI_NAMED) MLXFFI_FOR_ARITHMETIC(MLXFFI_NAMED)
          MLXFFI_FOR_COMPARISONS(MLXFFI_NAMED){"Select", Operation::Select}
#undef MLXFFI_NAMED
  };
  return table;
}

// What only converts or copies: MLX's Full makes copies of a number that stands for all, Real takes parts.
bool converts(std::string_view operation) {
  return operation == "AsType" || operation == "Full" || operation == "Real";
}

NumbersKernel conversion(mx::Dtype from, mx::Dtype to) {
  return row_kernels().numbers.conversion(from.val(), to.val());
}

} // namespace

int Blocks::add_register(int item) {
  items_.push_back(item);
  return static_cast<int>(items_.size()) - 1;
}

int Blocks::add_step(NumbersKernel kernel, std::vector<int> from, int item) {
  int to = add_register(item);
  steps_.push_back({kernel, std::move(from), to});
  return to;
}

Blocks::Value Blocks::input(mx::Dtype dtype) {
  int stored = add_register(dtype.size());
  values_.push_back({dtype, stored, is_half(dtype) ? -1 : stored});
  return inputs_++;
}

int Blocks::wide(Value value) {
  auto& known = values_[value];
  if (known.wide < 0) {
    known.wide = add_step(conversion(known.dtype, mx::float32), {known.stored}, mx::float32.size());
  }
  return known.wide;
}

Blocks::Value Blocks::rounded(int wide, mx::Dtype dtype) {
  int stored = is_half(dtype) ? add_step(conversion(mx::float32, dtype), {wide}, dtype.size()) : wide;
  values_.push_back({dtype, stored, is_half(dtype) ? -1 : wide});
  return static_cast<int>(values_.size()) - 1;
}

std::optional<Blocks::Value> Blocks::converted(Value from, mx::Dtype to) {
  auto source = computed_in(values_[from].dtype), target = computed_in(to);
  if (values_[from].dtype == to) {
    return from;
  }
  // MLX makes halves number by number.
  work_ += is_half(to) ? 4 : 1;
  if (source == target) {
    return rounded(wide(from), to);
  }
  auto kernel = conversion(source, target);
  return kernel ? std::optional(rounded(add_step(kernel, {wide(from)}, target.size()), to)) : std::nullopt;
}

bool Blocks::has(std::string_view operation) {
  return converts(operation) || operations().count(operation);
}

std::optional<Blocks::Value> Blocks::apply(std::string_view operation, const std::vector<Value>& from, mx::Dtype to) {
  if (converts(operation)) {
    return converted(from[0], to);
  }
  auto found = operations().find(operation);
  if (found == operations().end()) {
    return std::nullopt;
  }
  bool chooses = found->second == Operation::Select;
  auto dtype = values_[from.back()].dtype;
  auto kernel = row_kernels().numbers.of(found->second, (chooses ? dtype : computed_in(dtype)).val());
  if (!kernel) {
    return std::nullopt;
  }
  work_ += work_of(found->second);
  std::vector<int> registers;
  for (Value value : from) {
    registers.push_back(chooses ? values_[value].stored : wide(value));
  }
  if (!chooses) {
    return rounded(add_step(kernel, registers, computed_in(to).size()), to);
  }
  int stored = add_step(kernel, registers, to.size());
  values_.push_back({to, stored, is_half(to) ? -1 : stored});
  return static_cast<int>(values_.size()) - 1;
}

void Blocks::output(Value value) {
  outputs_.push_back(values_[value].stored);
}

// --- where inputs stand ---

namespace {

// The steps from one number to the next along each axis of the output: none along axes that are broadcast.
std::vector<int64_t> broadcast_strides(const mx::array& input, const mx::Shape& shape) {
  std::vector<int64_t> strides(shape.size());
  size_t before = shape.size() - input.ndim();
  for (size_t i = 0; i < input.ndim(); i++) {
    strides[before + i] = input.shape(i) == 1 ? 0 : input.strides()[i];
  }
  return strides;
}

// How an input's numbers lie for the order of the output: side by side, as one number for all, side by side in each of its
// long rows, or otherwise.
enum class Lies { dense, as_one, in_rows, apart };

// Axes as few as there can be, and for each input its steps along them.
struct Axes {
  std::vector<int64_t> sizes;
  std::vector<std::vector<int64_t>> strides;

  // One axis of as many numbers as the memory of the inputs has that are more than one number.
  Axes(const Arrays& inputs, int64_t size) : sizes{size} {
    for (auto& input : inputs) {
      strides.push_back({input.data_size() == 1 ? 0 : 1});
    }
  }
  Axes(const Arrays& inputs, const mx::Shape& shape) : strides(inputs.size()) {
    std::vector<std::vector<int64_t>> all;
    for (auto& input : inputs) {
      all.push_back(broadcast_strides(input, shape));
    }
    for (size_t axis = 0; axis < shape.size(); axis++) {
      if (shape[axis] != 1) {
        add(shape[axis], axis, all);
      }
    }
    if (sizes.empty()) {
      *this = Axes(inputs, 1);
    }
  }

  Lies lies(size_t input) const {
    auto& steps = strides[input];
    if (std::all_of(steps.begin(), steps.end(), [](int64_t stride) { return stride == 0; })) {
      return Lies::as_one;
    }
    return is_dense(input) ? Lies::dense : steps.back() == 1 && sizes.back() >= long_row ? Lies::in_rows : Lies::apart;
  }
  int64_t offset(size_t input, int64_t row) const {
    int64_t offset = 0;
    for (size_t axis = sizes.size() - 1; axis-- > 0;) {
      offset += row % sizes[axis] * strides[input][axis];
      row /= sizes[axis];
    }
    return offset;
  }

 private:
  bool is_dense(size_t input) const {
    int64_t expected = 1;
    for (size_t axis = sizes.size(); axis-- > 0; expected *= sizes[axis]) {
      if (strides[input][axis] != expected) {
        return false;
      }
    }
    return true;
  }
  void add(int64_t size, size_t axis, const std::vector<std::vector<int64_t>>& all) {
    bool joins = !sizes.empty();
    for (size_t i = 0; i < all.size() && joins; i++) {
      joins = strides[i].back() == all[i][axis] * size;
    }
    sizes.resize(sizes.size() + !joins, 1);
    sizes.back() *= size;
    for (size_t i = 0; i < all.size(); i++) {
      strides[i].resize(sizes.size());
      strides[i].back() = all[i][axis];
    }
  }
};

// The array like which all inputs lie that are more than one number; NULL where they lie otherwise.
const mx::array* pattern_of(const Arrays& inputs, const mx::Shape& shape) {
  const mx::array* pattern = nullptr;
  for (auto& input : inputs) {
    if (input.data_size() == 1) {
      continue;
    }
    bool alike = input.flags().contiguous && input.data_size() <= input.size() && input.shape() == shape;
    if (!alike || (pattern && (input.strides() != pattern->strides() || input.data_size() != pattern->data_size()))) {
      return nullptr;
    }
    pattern = &input;
  }
  return pattern;
}

// The numbers of an input from place `begin` on, to where they lie side by side.
void gather(const Axes& axes, size_t input, const char* data, int item, int64_t begin, int64_t count, char* to) {
  int64_t length = axes.sizes.back(), stride = axes.strides[input].back(), column = begin % length, row = begin / length;
  bool has_rows = axes.sizes.size() > 1;
  int64_t beside = has_rows ? axes.sizes.end()[-2] : 1, apart = has_rows ? axes.strides[input].end()[-2] : 0;
  for (int64_t done = 0; done < count;) {
    // A part of a row, or rows that are as far from one another: only the first of them is looked up.
    int64_t part = std::min(length - column, count - done), whole = part < length ? 1 : std::min(beside - row % beside, (count - done) / length);
    auto from = data + (axes.offset(input, row) + column * stride) * item;
    copy_rows(from, {apart * item, stride * item}, to + done * item, {part * item, item}, whole, part, item);
    done += whole * part;
    row += whole;
    column = 0;
  }
}

} // namespace

// --- the run ---

struct Blocks::Task {
  std::shared_ptr<const Blocks> blocks;
  Axes axes;
  std::vector<Lies> lies;
  // What no block goes beyond: a row of the output, or all of it. Blocks are parts of such rows of nearly the same size.
  int64_t size, row, block;
  std::vector<const char*> inputs;
  std::vector<char*> outputs;

  Task(std::shared_ptr<const Blocks> blocks, Axes axes, int64_t size);
  int64_t pieces() const {
    return (row + block - 1) / block;
  }
  void operator()() const;

 private:
  bool any(Lies how) const {
    return std::find(lies.begin(), lies.end(), how) != lies.end();
  }

  class Worker;
};

Blocks::Task::Task(std::shared_ptr<const Blocks> blocks, Axes axes, int64_t size) : blocks(std::move(blocks)), axes(std::move(axes)), size(size) {
  for (size_t i = 0; i < this->axes.strides.size(); i++) {
    lies.push_back(this->axes.lies(i));
  }
  row = any(Lies::in_rows) || (any(Lies::apart) && this->axes.sizes.back() >= long_row) ? this->axes.sizes.back() : std::max<int64_t>(1, size);
  bool copies = this->blocks->steps_.size() > 1 || any(Lies::as_one) || any(Lies::apart);
  int64_t most = copies ? small_block : large_block, pieces = (row + most - 1) / most;
  block = (row + pieces - 1) / pieces;
}

// What one thread does of a task, with memory of its own for a block of each register.
class Blocks::Task::Worker {
 public:
  explicit Worker(const Task& task) : task_(task), blocks_(*task.blocks), now_(blocks_.items_.size()), kept_(now_.size()) {
    static thread_local std::vector<char> memory;
    memory.resize(std::max<size_t>(memory.size(), now_.size() * register_bytes));
    memory_ = memory.data();
    for (int i = 0; i < blocks_.inputs_; i++) {
      if (task_.lies[i] == Lies::as_one) {
        keep(i, task_.inputs[i]);
      }
    }
    for (auto& step : blocks_.steps_) {
      if (std::all_of(step.from.begin(), step.from.end(), [this](int place) { return kept_[place]; })) {
        compute(step, own(step.to), 1);
        keep(step.to, own(step.to));
      }
    }
  }

  void run(int64_t begin, int64_t end) {
    for (int64_t block = begin, pieces = task_.pieces(); block < end; block++) {
      int64_t first = block % pieces * task_.block;
      run_block(block / pieces * task_.row + first, std::min(task_.block, task_.row - first));
    }
  }

 private:
  static constexpr int64_t register_bytes = small_block * 8;

  char* own(int place) const {
    return memory_ + place * register_bytes;
  }

  // Fills a register with one number, which is the same in all blocks.
  void keep(int place, const char* number) {
    int item = blocks_.items_[place];
    copy_rows(number, {0, 0}, own(place), {0, item}, 1, task_.block, item);
    now_[place] = own(place);
    kept_[place] = true;
  }

  void compute(const Step& step, char* out, int64_t count) const {
    const void* in[3];
    for (size_t i = 0; i < step.from.size(); i++) {
      in[i] = now_[step.from[i]];
    }
    step.kernel(in, out, count);
  }

  const char* source(int i, int64_t begin, int64_t count) const {
    int item = blocks_.items_[i];
    switch (task_.lies[i]) {
      case Lies::dense:
        return task_.inputs[i] + begin * item;
      case Lies::in_rows:
        return task_.inputs[i] + (task_.axes.offset(i, begin / task_.row) + begin % task_.row) * item;
      case Lies::apart:
        gather(task_.axes, i, task_.inputs[i], item, begin, count, own(i));
        break;
      case Lies::as_one:
        break;
    }
    return own(i);
  }

  // An output's memory, for the register that it is; else that of this thread.
  char* target(int place, int64_t begin) const {
    auto& outputs = blocks_.outputs_;
    auto found = std::find(outputs.begin(), outputs.end(), place);
    return found == outputs.end() ? own(place) : task_.outputs[found - outputs.begin()] + begin * blocks_.items_[place];
  }

  void run_block(int64_t begin, int64_t count) {
    for (int i = 0; i < blocks_.inputs_; i++) {
      now_[i] = source(i, begin, count);
    }
    for (auto& step : blocks_.steps_) {
      if (!kept_[step.to]) {
        char* out = target(step.to, begin);
        compute(step, out, count);
        now_[step.to] = out;
      }
    }
    for (size_t i = 0; i < blocks_.outputs_.size(); i++) {
      int place = blocks_.outputs_[i], item = blocks_.items_[place];
      char* out = task_.outputs[i] + begin * item;
      if (now_[place] != out) {
        std::memcpy(out, now_[place], count * item);
      }
    }
  }

  const Task& task_;
  const Blocks& blocks_;
  char* memory_;
  std::vector<const char*> now_;
  std::vector<bool> kept_;
};

void Blocks::Task::operator()() const {
  int64_t count = size / row * pieces();
  int64_t grain = std::max({int64_t(1), worth_a_thread / (block * std::max<int64_t>(1, blocks->work_)), count / (16 * thread_count())});
  parallel_for(count, grain, [this](int64_t begin, int64_t end) { Worker(*this).run(begin, end); });
}

// The memory of an input may become that of what the last step makes: nothing reads the input after that.
bool Blocks::reuse(const Arrays& inputs, const mx::array* pattern, size_t index, mx::array& out) const {
  if (steps_.empty() || steps_.back().to != outputs_[index]) {
    return false;
  }
  for (auto& input : inputs) {
    bool lies_alike = pattern ? input.data_size() == pattern->data_size() : input.flags().row_contiguous;
    if (lies_alike && input.shape() == out.shape() && mx::is_donatable(input, out)) {
      out.copy_shared_buffer(input);
      return true;
    }
  }
  return false;
}

void Blocks::allocate_outputs(const Arrays& inputs, const mx::array* pattern, Arrays& outputs) const {
  for (size_t i = 0; i < outputs.size(); i++) {
    auto& out = outputs[i];
    if (reuse(inputs, pattern, i, out)) {
      continue;
    }
    auto size = pattern ? pattern->data_size() : out.size();
    if (size < out.size()) {
      out.set_data(mx::allocator::malloc(size * out.itemsize()), size, pattern->strides(), pattern->flags());
      continue;
    }
    allocate(out);
    if (pattern) {
      out.copy_shared_buffer(out, pattern->strides(), pattern->flags(), size);
    }
  }
}

void Blocks::run(std::shared_ptr<const Blocks> blocks, const Arrays& inputs, Arrays& outputs, mx::Stream s) {
  auto& shape = outputs[0].shape();
  auto* pattern = pattern_of(inputs, shape);
  int64_t size = pattern ? pattern->data_size() : outputs[0].size();
  Task task(blocks, pattern ? Axes(inputs, size) : Axes(inputs, shape), size);
  for (auto& input : inputs) {
    task.inputs.push_back(input.data<char>());
  }
  blocks->allocate_outputs(inputs, pattern, outputs);
  for (auto& output : outputs) {
    task.outputs.push_back(output.data<char>());
  }
  on_stream(s, std::move(task));
}

} // namespace mlxffi
