"""mlx_lm on mlxffi.core: its model and its cache, in our loop. `python -m mlxffi run` runs it."""

from __future__ import annotations

from typing import Any

from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.utils import load_model

from benchmarks._real import common
from benchmarks._real.ours import decode


class Model:
    """mlx_lm's model, called as ours is."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def __call__(self, tokens: Any, cache: Any) -> Any:
        return self._model(tokens, cache=cache)

    def new_cache(self) -> Any:
        return make_prompt_cache(self._model)


if __name__ == "__main__":
    decode(Model(load_model(common.FOLDER)[0]))
