#include "derivatives/rules.h"

namespace mlxc {

RuleList rules_of_numbers() {
  return {};
}

} // namespace mlxc
