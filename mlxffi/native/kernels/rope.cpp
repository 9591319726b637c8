#include "rope.h"

namespace mlxffi {

namespace {

// Cosines and sines for consecutive positions: of every 16th one and of the first 16, the rest by the addition theorems.
// In double, so that a late position loses no digits.
class Angles {
 public:
  // Angles are `units` radians a position.
  Angles(const std::vector<double>& units, double first, int64_t positions)
      : half_(units.size()), fine_(units, 0, 1, spacing), coarse_(units, first, spacing, (positions + spacing - 1) / spacing) {}

  template <class T>
  void write(int64_t position, T* cosines, T* sines) const {
    auto c = &coarse_.cosines[position / spacing * half_], s = &coarse_.sines[position / spacing * half_];
    auto fine_c = &fine_.cosines[position % spacing * half_], fine_s = &fine_.sines[position % spacing * half_];
    for (size_t i = 0; i < half_; i++) {
      cosines[i] = static_cast<T>(c[i] * fine_c[i] - s[i] * fine_s[i]);
      sines[i] = static_cast<T>(s[i] * fine_c[i] + c[i] * fine_s[i]);
    }
  }

 private:
  static constexpr int64_t spacing = 16;

  struct Grid {
    Grid(const std::vector<double>& units, double first, double step, int64_t count) {
      for (int64_t k = 0; k < count; k++) {
        for (double unit : units) {
          cosines.push_back(std::cos((first + k * step) * unit));
          sines.push_back(std::sin((first + k * step) * unit));
        }
      }
    }
    std::vector<double> cosines, sines;
  };

  size_t half_;
  Grid fine_, coarse_;
};

// x, offset (one, or one for each element of axis 0), [freqs] -> x turned by its positions, or back if `inverse`.
class Rope : public Fused {
 public:
  Rope(mx::Stream stream, RopeOptions options, bool inverse) : Fused(stream), options_(options), inverse_(inverse) {}

  const char* name() const override {
    return "FusedRoPE";
  }
  bool is_equivalent(const Primitive& other) const override {
    auto& rope = static_cast<const Rope&>(other);
    return options_ == rope.options_ && inverse_ == rope.inverse_;
  }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    allocate_like(inputs[0], outputs[0]);
    inputs[0].dtype() == mx::float64 ? turn<double>(inputs, outputs[0]) : turn<float>(inputs, outputs[0]);
  }
  // A rotation's gradient is the rotation back.
  Arrays vjp(const Arrays& primals, const Arrays& cotangents, const std::vector<int>& argnums, const Arrays& outputs) override {
    if (argnums != std::vector<int>{0}) {
      return Fused::vjp(primals, cotangents, argnums, outputs);
    }
    auto inputs = primals;
    inputs[0].overwrite_descriptor(cotangents[0]);
    return apply(std::make_shared<Rope>(where(), options_, !inverse_), inputs);
  }

 protected:
  Arrays composed(const Arrays& inputs) const override {
    auto freqs = inputs.size() > 2 ? std::optional(inputs[2]) : std::nullopt;
    auto [dims, traditional, base, scale] = options_;
    return {mx::fast::rope(inputs[0], dims, traditional, base, inverse_ ? -scale : scale, inputs[1], freqs, where())};
  }

 private:
  template <class T>
  void turn(const Arrays& inputs, mx::array& output);

  RopeOptions options_;
  bool inverse_;
};

template <class T>
void Rope::turn(const Arrays& inputs, mx::array& output) {
  RowsOf x(inputs[0]);
  NumbersOf offsets(inputs[1]);
  auto freqs = inputs.size() > 2 ? std::optional(NumbersOf(inputs[2], 1)) : std::nullopt;
  auto out = output.data<char>();
  int64_t length = x.length(), stride = length * output.itemsize(), half = options_.dims / 2;
  int64_t positions = output.shape(-2), group = x.count() / output.shape(0), tables = inputs[1].size() > 1 ? output.shape(0) : 1;
  auto kernel = row_kernels().layers.rotate[static_cast<int>(element_of(output.dtype()))];
  auto options = options_;
  options.scale = inverse_ ? -options.scale : options.scale;
  on_stream(stream(), [=] {
    std::vector<double> firsts;
    for (int64_t table = 0; table < tables; table++) {
      firsts.push_back(static_cast<double>(offsets.integer(table)));
    }
    auto& angles = turns<T>(radians(options, freqs), firsts, positions);
    parallel_rows(x.count(), length, [&](int64_t begin, int64_t end) {
      std::vector<char> scratch;
      for (int64_t row = begin; row < end; row++) {
        int64_t place = ((tables > 1 ? row / group * positions : 0) + row % positions) * half;
        kernel(x.row(row, scratch), out + row * stride, length, half, options.traditional, &angles.cosines[place], &angles.sines[place]);
      }
    });
  });
}

bool is_fused(
    const mx::array& x, const RopeOptions& options, const mx::array& offset, const std::optional<mx::array>& freqs, mx::Stream s) {
  if (!has_kernels(s) || !mx::issubdtype(x.dtype(), mx::floating) || x.ndim() < 3 || x.size() == 0) {
    return false;
  }
  bool one_offset = offset.ndim() == 0, one_each = offset.ndim() == 1 && (offset.size() == 1 || offset.shape(0) == x.shape(0));
  bool counts = mx::issubdtype(offset.dtype(), mx::integer) && (one_offset || one_each);
  bool turns = options.dims > 0 && options.dims % 2 == 0 && options.dims <= x.shape(-1);
  bool by_freqs = freqs && freqs->dtype() == mx::float32 && freqs->shape() == mx::Shape{options.dims / 2};
  return counts && turns && (options.base ? !freqs : by_freqs);
}

} // namespace

std::vector<double> radians(const RopeOptions& options, const std::optional<NumbersOf>& freqs) {
  std::vector<double> result;
  int half = options.dims / 2;
  for (int i = 0; i < half; i++) {
    double frequency = freqs ? 1 / freqs->number(0, i) : std::pow(static_cast<double>(*options.base), -i / double(half));
    result.push_back(frequency * options.scale);
  }
  return result;
}

template <class T>
const Turns<T>& turns(const std::vector<double>& radians, const std::vector<double>& firsts, int64_t positions) {
  thread_local Turns<T> last;
  if (last.radians == radians && last.firsts == firsts && last.positions == positions) {
    return last;
  }
  int64_t half = radians.size();
  last = {radians, firsts, positions};
  last.cosines.resize(firsts.size() * positions * half);
  last.sines.resize(last.cosines.size());
  for (size_t table = 0; table < firsts.size(); table++) {
    Angles angles(radians, firsts[table], positions);
    for (int64_t t = 0; t < positions; t++) {
      int64_t place = (table * positions + t) * half;
      angles.write(t, &last.cosines[place], &last.sines[place]);
    }
  }
  return last;
}

template const Turns<float>& turns(const std::vector<double>&, const std::vector<double>&, int64_t);
template const Turns<double>& turns(const std::vector<double>&, const std::vector<double>&, int64_t);

mx::array rope(
    const mx::array& x, const RopeOptions& options, const mx::array& offset, const std::optional<mx::array>& freqs, mx::Stream s) {
  if (!is_fused(x, options, offset, freqs, s)) {
    return mx::fast::rope(x, options.dims, options.traditional, options.base, options.scale, offset, freqs, s);
  }
  Arrays inputs{x, offset};
  if (freqs) {
    inputs.push_back(*freqs);
  }
  return Fused::apply(std::make_shared<Rope>(s, options, false), inputs)[0];
}

} // namespace mlxffi
