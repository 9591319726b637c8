#include "checked.h"

#include "row_access.h"

namespace mlxffi {

mx::array Checked::apply(const mx::array& array, Check check, mx::Stream s) {
  return Fused::apply(std::make_shared<Checked>(s, std::move(check)), {array})[0];
}

void Checked::eval_cpu(const Arrays& inputs, Arrays& outputs) {
  outputs[0].copy_shared_buffer(inputs[0]);
  on_stream(stream(), [computed = mx::array::unsafe_weak_copy(inputs[0]), check = check_] { check(computed); });
}

} // namespace mlxffi
