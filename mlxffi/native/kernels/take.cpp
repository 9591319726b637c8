#include "take.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include <mlx/dtype_utils.h>

#include "fused.h"
#include "row_access.h"

namespace mlxffi {

namespace {

class TakeSlices : public Fused {
 public:
  TakeSlices(mx::Stream s, int axis) : Fused(s), axis_(axis) {}

  const char* name() const override {
    return "FusedTake";
  }
  bool is_equivalent(const Primitive& other) const override {
    return axis_ == static_cast<const TakeSlices&>(other).axis_;
  }
  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    auto shape = inputs[0].shape();
    shape.erase(shape.begin() + axis_);
    shape.insert(shape.begin() + axis_, inputs[1].shape().begin(), inputs[1].shape().end());
    return {shape};
  }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override;

 protected:
  Arrays composed(const Arrays& inputs) const override {
    return {mx::take(inputs[0], inputs[1], axis_, where())};
  }

 private:
  int axis_;
};

int64_t product(const mx::Shape& shape, int begin, int end) {
  int64_t count = 1;
  for (int i = begin; i < end; i++) {
    count *= shape[i];
  }
  return count;
}

void TakeSlices::eval_cpu(const Arrays& inputs, Arrays& outputs) {
  auto& a = inputs[0];
  Places places(a, 0);
  NumbersOf indices(inputs[1]);
  outputs[0].set_data(mx::allocator::malloc(outputs[0].nbytes()));
  auto from = a.data<char>();
  auto to = outputs[0].data<char>();
  int64_t length = a.shape(axis_), count = inputs[1].size(), item = a.itemsize();
  int64_t outer = product(a.shape(), 0, axis_), inner = product(a.shape(), axis_ + 1, a.ndim());
  on_stream(stream(), [=, dense = a.flags().row_contiguous] {
    for (int64_t i = 0; i < outer * count; i++) {
      int64_t index = indices.integer(i % count);
      int64_t first = ((i / count) * length + (index < 0 ? index + length : index)) * inner;
      if (dense) {
        std::memcpy(to + i * inner * item, from + first * item, inner * item);
        continue;
      }
      for (int64_t j = 0; j < inner; j++) {
        std::memcpy(to + (i * inner + j) * item, from + places[first + j] * item, item);
      }
    }
  });
}

// The index of the nearest place, of the same sign where the type has such a number.
template <class Value>
class Nearest {
 public:
  explicit Nearest(PlacesOnAxis places) {
    using Limits = std::numeric_limits<Value>;
    int64_t last = places.count - 1, last_negative = last - places.from_end;
    last_ = or_else(last, Limits::max());
    least_ = std::in_range<Value>(last_negative) ? or_else(-places.from_end, Limits::min()) : last_;
    last_negative_ = or_else(last_negative, last_);
  }

  Value operator()(Value index) const {
    return between(index < 0 ? least_ : Value(0), index, index < 0 ? last_negative_ : last_);
  }
  // Where negative indices reach up to the first place, two bounds do for all.
  void operator()(const Value* from, int64_t size, Value* to) const {
    if (std::is_unsigned_v<Value> || last_negative_ == static_cast<Value>(-1)) {
      Value least = std::is_unsigned_v<Value> ? Value(0) : least_;
      in_blocks([least, last = last_](Value index) { return between(least, index, last); }, from, size, to);
    } else {
      in_blocks(*this, from, size, to);
    }
  }

 private:
  static Value between(Value least, Value index, Value last) {
    Value raised = index < least ? least : index;
    return raised > last ? last : raised;
  }
  // Blocks of a fixed size become vector code.
  template <class Nearer>
  static void in_blocks(Nearer nearest, const Value* from, int64_t size, Value* to) {
    constexpr int64_t block = 64;
    int64_t i = 0;
    for (Value some[block]; i + block <= size; i += block) {
      std::copy_n(from + i, block, some);
      for (auto& index : some) {
        index = nearest(index);
      }
      std::copy_n(some, block, to + i);
    }
    std::transform(from + i, from + size, to + i, nearest);
  }
  static Value or_else(int64_t number, Value otherwise) {
    return std::in_range<Value>(number) ? static_cast<Value>(number) : otherwise;
  }

  Value least_, last_negative_, last_;
};

class ClampIndices : public Fused {
 public:
  ClampIndices(mx::Stream s, PlacesOnAxis places) : Fused(s), places_(places) {}

  const char* name() const override {
    return "FusedClampIndices";
  }
  bool is_equivalent(const Primitive& other) const override {
    auto& places = static_cast<const ClampIndices&>(other).places_;
    return places_.count == places.count && places_.from_end == places.from_end;
  }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override;

 protected:
  Arrays composed(const Arrays& inputs) const override {
    return inputs;
  }
  std::shared_ptr<Fused> again() const override {
    return std::make_shared<ClampIndices>(where(), places_);
  }

 private:
  PlacesOnAxis places_;
};

void ClampIndices::eval_cpu(const Arrays& inputs, Arrays& outputs) {
  Places at(inputs[0], 0);
  bool dense = inputs[0].flags().row_contiguous;
  allocate_like(inputs[0], outputs[0]);
  mx::dispatch_int_types(inputs[0].dtype(), "indices", [&](auto type) {
    using Value = MLX_GET_TYPE(type);
    auto from = inputs[0].data<Value>();
    auto to = outputs[0].data<Value>();
    over_rows(stream(), outputs[0].size(), 1, [=, nearest = Nearest<Value>(places_)](int64_t begin, int64_t end) {
      if (dense) {
        return nearest(from + begin, end - begin, to + begin);
      }
      for (int64_t i = begin; i < end; i++) {
        to[i] = nearest(from[at[i]]);
      }
    });
  });
}

} // namespace

mx::array clamp_indices(const mx::array& indices, PlacesOnAxis places, mx::Stream s) {
  return {indices.shape(), indices.dtype(), std::make_shared<ClampIndices>(s, places), Arrays(1, indices)};
}

mx::array take_slices(const mx::array& a, const mx::array& indices, int axis, mx::Stream s) {
  return Fused::apply(std::make_shared<TakeSlices>(s, axis), {a, indices})[0];
}

} // namespace mlxffi
