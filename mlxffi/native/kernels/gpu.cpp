// The losses.
#include "gpu.h"

#include "gpu_common.h"
#include "gpu_cross_entropy.h"
#include "gpu_divergence.h"
#include "gpu_kernel.h"

namespace mlxffi::gpu {

namespace {

// A number that changes from call to call without a new compilation.
mx::array setting(float value) {
  return mx::array({value}, mx::float32);
}

} // namespace

Arrays cross_entropy_forward(const mx::array& logits, const mx::array& targets, float smoothing, mx::Stream s) {
  static const Kernel kernel(
      "cross_entropy_forward",
      {"logits", "targets", "settings"},
      {"loss", "lse"},
      cross_entropy_forward_body,
      {512, 4});
  return kernel({logits, targets, setting(smoothing)}, {2, 0, smoothing > 0}, s);
}

mx::array cross_entropy_backward(
    const mx::array& logits,
    const mx::array& targets,
    const mx::array& lse,
    const mx::array& cotangent,
    float smoothing,
    mx::Stream s) {
  static const Kernel kernel(
      "cross_entropy_backward",
      {"logits", "targets", "lse", "cotangent", "settings"},
      {"gradient"},
      cross_entropy_backward_body,
      {1024, 2, 4});
  return kernel({logits, targets, lse, cotangent, setting(smoothing)}, {0, 1, false}, s)[0];
}

Arrays divergence_forward(DivergenceKind kind, const mx::array& q, const mx::array& p, float temperature, mx::Stream s) {
  const Arrays inputs{q, p, setting(1.0f / temperature)};
  if (kind == DivergenceKind::kl) {
    static const Names rows{"loss", "lse_q", "lse_p"};
    static const Kernel kernel("kl_forward", {"q", "p", "settings"}, rows, kl_forward_body, {256, 2});
    return kernel(inputs, {3, 0, false}, s);
  }
  static const Names rows{"loss", "lse_q", "lse_p", "kl_q", "kl_p"};
  static const Kernel kernel("js_forward", {"q", "p", "settings"}, rows, js_forward_body, {512, 2});
  return kernel(inputs, {5, 0, false}, s);
}

namespace {

const Kernel& backward_kernel(DivergenceKind kind, bool teacher_gradient) {
  static const Names kl{"q", "p", "loss", "lse_q", "lse_p", "cotangent", "settings"};
  static const Names js{"q", "p", "loss", "lse_q", "lse_p", "kl_q", "kl_p", "cotangent", "settings"};
  static const std::string head = divergence_backward_head, alone = no_teacher_head + head;
  static const Tuning tuning{1024, 1, 8};
  if (kind == DivergenceKind::kl) {
    static const Kernel student("kl_backward", kl, {"dq"}, alone + kl_backward_body, tuning);
    static const Kernel both("kl_backward_both", kl, {"dq", "dp"}, head + kl_backward_body, tuning);
    return teacher_gradient ? both : student;
  }
  static const Kernel student("js_backward", js, {"dq"}, alone + js_backward_body, tuning);
  static const Kernel both("js_backward_both", js, {"dq", "dp"}, head + js_backward_body, tuning);
  return teacher_gradient ? both : student;
}

} // namespace

Arrays divergence_backward(
    DivergenceKind kind,
    const mx::array& q,
    const mx::array& p,
    const Arrays& rows,
    const mx::array& cotangent,
    float temperature,
    bool teacher_gradient,
    mx::Stream s) {
  Arrays inputs{q, p};
  inputs.insert(inputs.end(), rows.begin(), rows.end());
  inputs.push_back(cotangent);
  inputs.push_back(setting(1.0f / temperature));
  return backward_kernel(kind, teacher_gradient)(std::move(inputs), {0, teacher_gradient ? 2 : 1, teacher_gradient}, s);
}

} // namespace mlxffi::gpu
