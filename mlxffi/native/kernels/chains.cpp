#include "chains.h"

#include <algorithm>

#include "references.h"

namespace mlxffi {

namespace {

// Numbers from which on it pays to look for a chain and to make a program of it.
constexpr size_t least = size_t(1) << 14;

class Links {
 public:
  Links(const mx::array& last, size_t most) : last_(last), most_(most) {
    collect(last);
  }

  std::optional<Chain> chain() const {
    if (length_ == 1) {
      return std::nullopt;
    }
    auto blocks = std::make_shared<Blocks>();
    for (auto& input : inputs_) {
      blocks->input(input.dtype());
    }
    auto result = apply(*blocks, last_);
    if (!result) {
      return std::nullopt;
    }
    blocks->output(*result);
    return Chain{std::move(blocks), inputs_, length_};
  }

 private:
  // Nobody else may ask for it.
  bool is_link(const mx::array& array) const {
    return array.status() == mx::array::Status::unscheduled && array.has_primitive() && references(array) == 1 && array.siblings().empty() &&
        !array.is_tracer() && array.shape() == last_.shape() && array.primitive().stream() == last_.primitive().stream() &&
        is_elementwise(array);
  }

  void collect(const mx::array& link) {
    length_++;
    for (auto& input : link.inputs()) {
      if (length_ < most_ && is_link(input)) {
        collect(input);
      } else if (place(input) == inputs_.size()) {
        inputs_.push_back(input);
      }
    }
  }

  size_t place(const mx::array& input) const {
    auto is_input = [&](auto& known) { return known.id() == input.id(); };
    return std::find_if(inputs_.begin(), inputs_.end(), is_input) - inputs_.begin();
  }

  std::optional<Blocks::Value> apply(Blocks& blocks, const mx::array& link) const {
    std::vector<Blocks::Value> from;
    for (auto& input : link.inputs()) {
      size_t known = place(input);
      auto value = known < inputs_.size() ? std::optional(static_cast<Blocks::Value>(known)) : apply(blocks, input);
      if (!value) {
        return std::nullopt;
      }
      from.push_back(*value);
    }
    return blocks.apply(link.primitive().name(), from, link.dtype());
  }

  const mx::array& last_;
  size_t most_, length_ = 0;
  Arrays inputs_;
};

} // namespace

std::optional<Chain> chain_of(const mx::array& node, size_t most) {
  return node.size() < least || most < 2 || !is_elementwise(node) ? std::nullopt : Links(node, most).chain();
}

} // namespace mlxffi
