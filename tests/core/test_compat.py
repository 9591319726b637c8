"""`mlxffi.compat.install()` and `python -m mlxffi run`, in processes of their own."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest


def python(*arguments, cwd=None, **options):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=300, cwd=cwd, **options)


def printed(code):
    done = python("-c", textwrap.dedent(code))
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_install():
    code = """
        import sys
        import mlxffi.compat
        mlxffi.compat.install()
        mlxffi.compat.install()
        import mlx.core as mx
        import mlx
        from mlx.core import array, random
        import mlx.core.linalg
        import mlx.core.fast as fast
        import mlx.nn, mlx.optimizers, mlx.utils
        import mlxffi.core
        print(mx is mlxffi.core, mlx.core is mx, array is mx.array, random is mx.random, mlx.core.linalg is mx.linalg)
        print(all(sys.modules["mlx.core." + name] is getattr(mx, name) for name in
            "cuda distributed fast fft linalg metal random".split()))

    """
    assert set(printed(code)) == {"True"}


def test_install_is_refused_beside_the_real_one():
    code = """
        import mlxffi
        import mlx.core
        import mlxffi.compat
        try:
            mlxffi.compat.install()
        except ImportError as error:
            assert "mlx.core is loaded already" in str(error) and "\\n" not in str(error)
            import mlx.core as mx
            print(mx.__name__)
    """
    assert printed(code) == ["mlx.core"]


def test_core_does_not_import_mlx():
    code = """
        import sys
        import mlxffi.core as mx
        mx.eval(mx.ones(3) + 1)
        print([name for name in sys.modules if name.split(".")[0] == "mlx"])
    """
    assert printed(code) == ["[]"]


@pytest.fixture
def script(tmp_path):
    def write(code, name="script.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(code))
        return path

    return write


def alike(arguments, cwd=None, **environment):
    """Run a program with Python and with `python -m mlxffi run`: all that can be seen of it must be the same."""
    real = python(*arguments, cwd=cwd, env={**os.environ, **environment})
    ours = python("-m", "mlxffi", "run", *arguments, cwd=cwd, env={**os.environ, **environment})
    assert (ours.returncode, ours.stdout, ours.stderr) == (real.returncode, real.stdout, real.stderr)
    return ours


REPORT = """
    import sys
    print(__name__, __file__, __package__, __spec__ and __spec__.name, __doc__, sys.argv, sys.path[0])
    names = sorted(name for name in globals() if name != "__annotations__")
    print(sys.modules["__main__"].__dict__ is globals(), names)
"""


def test_scripts_see_what_python_gives_them(script, tmp_path):
    alike([str(script(REPORT)), "-m", "--flag", "run", "a b"])
    alike([script(REPORT).name], cwd=tmp_path)
    script(REPORT, "folder/__main__.py")
    alike([str(tmp_path / "folder"), "x"])


def test_modules_see_what_python_gives_them(script, tmp_path):
    script(REPORT, "single.py")
    script("", "package/__init__.py")
    script(REPORT, "package/__main__.py")
    script(REPORT, "package/part.py")
    for name in ("single", "package", "package.part"):
        alike(["-m", name, "--flag", "-m", "x"], cwd=tmp_path)


ENDINGS = {
    "end": "print(1)",
    "exit": "import sys; sys.exit(3)",
    "text": "import sys; sys.exit('said')",
    "none": "raise SystemExit",
    "error": "def f():\n    1 / 0\nf()",
    "chained": "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise ValueError('x') from e",
    "group": "raise ExceptionGroup('g', [ValueError(1)])" if sys.version_info >= (3, 11) else "1 / 0",
    "syntax": "a b",
    "hook": "import sys\nsys.excepthook = lambda kind, e, tb: print(kind, tb.tb_frame.f_code.co_filename)\n1 / 0",
    "atexit": "import atexit\natexit.register(print, 'last')\n1 / 0",
    "os": "import os; os._exit(7)",
    "thread": "import threading\nthreading.Thread(target=print, args=('late',)).start()",
    "import": "import there_is_no_such_module",
}


@pytest.mark.parametrize("name", ENDINGS)
def test_endings(name, script, tmp_path):
    path = script(ENDINGS[name])
    alike([str(path)])
    alike(["-m", "script"], cwd=tmp_path)


def test_what_an_extension_made_for_mlx_says_is_explained(script):
    code = """
        import mlx.core as mx
        kind = type(mx.array(1))
        raise TypeError("f(): incompatible function arguments. The following argument types are supported:\\n"
            f"    1. f(x: array) -> array\\n\\nInvoked with types: {kind.__module__}.{kind.__name__}")
    """
    done = python("-m", "mlxffi", "run", str(script(code)))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("mlxffi: extensions that were compiled against mlx.core")


def test_missing_programs(tmp_path):
    alike([str(tmp_path / "nothing.py")])
    alike(["-m", "there_is_no_such_module"])


def test_interrupts(script):
    path = script("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nimport time\ntime.sleep(9)")
    assert alike([str(path)]).returncode == -signal.SIGINT


def test_programs_get_the_drop_in(script):
    path = script("import mlx.core as mx, mlx.nn as nn\nprint(mx.__name__, nn.Linear(2, 3)(mx.ones((1, 2))).shape)")
    done = python("-m", "mlxffi", "run", str(path))
    assert done.stdout == "mlxffi.core (1, 3)\n", done.stderr


def test_usage():
    for arguments, status in (([], 2), (["-m"], 2), (["-x"], 2), (["--help"], 0)):
        done = python("-m", "mlxffi", "run", *arguments)
        assert done.returncode == status
        assert "usage: python -m mlxffi run" in done.stdout + done.stderr
    assert "run" in python("-m", "mlxffi", "--help").stdout


def test_an_extension_that_takes_arrays_of_mlx_is_refused_with_a_sentence(tmp_path):
    (tmp_path / "fast_sums.abi3.so").write_bytes(b"\x7fELF libmlx.so\0 nb_internals\0")
    (tmp_path / "plain_sums.abi3.so").write_bytes(b"\x7fELF libmlx.so\0")
    (tmp_path / "program.py").write_text(
        "for name in ('fast_sums', 'plain_sums'):\n"
        "    try: __import__(name)\n"
        "    except ImportError as error: print(error)\n"
    )
    done = python("-m", "mlxffi", "run", "program.py", cwd=tmp_path)
    refused, unreadable = done.stdout.splitlines()
    assert refused == (
        "fast_sums is compiled against mlx.core's C++ arrays (nanobind), which mlxffi.core has not: "
        "run the program without mlxffi"
    )
    assert "plain_sums.abi3.so" in unreadable
