// Numbers that are checked when they are computed.
#pragma once

#include "fused.h"

namespace mlxffi {

using Check = std::function<void(const mx::array&)>;

class Checked : public Fused {
 public:
  Checked(mx::Stream s, Check check) : Fused(s), check_(std::move(check)) {}

  // The same array: evaluating it fails with what `check` throws. On a CPU stream.
  static mx::array apply(const mx::array& array, Check check, mx::Stream s);

  const char* name() const override {
    return "Checked";
  }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override;

 protected:
  Arrays composed(const Arrays& inputs) const override {
    return inputs;
  }
  std::shared_ptr<Fused> again() const override {
    return std::make_shared<Checked>(where(), check_);
  }

 private:
  Check check_;
};

} // namespace mlxffi
