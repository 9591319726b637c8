#include "derivatives/rules.h"

namespace mlxc {

RuleList rules_of_shapes() {
  return {};
}

} // namespace mlxc
