"""What the tests of the command line begin with."""

import pytest


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with `model`, which has random weights, and `data`; tests may put more into it."""
    from end_to_end import write_data, write_random_model

    import mlxffi.core as mx

    # The state of random numbers, which is made when it is first used, is no leak of the test that does.
    mx.random.seed(0)
    made = tmp_path_factory.mktemp("command")
    write_random_model(made / "model")
    write_data(made / "data", counts=(8, 4, 4))
    return made
