"""Evaluates what fails, again and again, and in between what does not: prints how many failed."""

from __future__ import annotations

import sys
from pathlib import Path

from mlxffi import lib

from .native import Scope, default_stream
from .specs import Array

scope = Scope(Path())
matrix = scope.handle("mlx_array", Array())
no_indices = scope.handle("mlx_array", Array((1, 4)))
failed = 0
for _ in range(int(sys.argv[1])):
    each = Scope(Path())
    slot = each.new("mlx_array *")
    lib.mlx_take_along_axis(slot, matrix, no_indices, 0, default_stream())
    failed += lib.mlx_array_eval(each.owned("mlx_array", slot[0]))
    assert lib.mlx_array_eval(each.handle("mlx_array", "lazy")) == 0
    each.close()
print(failed)
