"""The shape of the code: arrows between modules go down, functions and files stay small."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "mlxffi"
GENERATED = {"_build_info.py", "_ops.py", "fast.py", "fft.py", "linalg.py", "random.py"}

# Rooms from the ground up: a module imports from rooms below its own, and from its own where that makes no cycle.
ROOMS = [
    {"_backend", "_build_info", "_mlxc", "_graph", "_array_owner"},
    {"_loader"},
    {"_ffi"},
    {"_errors", "dtype"},
    {"_handles"},
    {"_arguments", "_containers", "device"},
    {"_ops", "fft", "linalg", "random", "fast", "fused", "kernels", "reductions"},
    {"_closures", "_owners", "_process"},
    {"_tracing", "memory"},
    {"_buffers", "_convert", "_dlpack", "_indexing", "_numpy", "_operators", "_printing"},
    {"array"},
    {"transforms"},
    {"export", "graphs", "io", "losses"},
    {"_api"},
    {"__init__"},
    {"compat"},
    {"_config", "_doctor", "_run"},
    {"__main__"},
]

PYTHON = sorted(path for folder in ("mlxffi", "scripts", "tests") for path in (ROOT / folder).rglob("*.py"))
NATIVE = sorted(path for path in (PACKAGE / "native").rglob("*") if path.suffix in (".h", ".c", ".cpp"))
BY_HAND = [path for path in [*PYTHON, *NATIVE] if "generated" not in path.parts and path.name not in GENERATED]


def floor_of(module):
    name = module.split(".")[0]
    for floor, room in enumerate(ROOMS):
        if name in room:
            return floor
    raise AssertionError(f"{module} has no room in ROOMS")


class WithoutTypes(ast.NodeTransformer):
    """Drops what stands under `if TYPE_CHECKING`: names for annotations are no arrows."""

    def visit_If(self, node):
        return None if ast.unparse(node.test) == "TYPE_CHECKING" else self.generic_visit(node)


def imports_of(path):
    """The modules of the package that a module imports."""
    for node in ast.walk(WithoutTypes().visit(ast.parse(path.read_text()))):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            yield from [node.module] if node.module else [alias.name for alias in node.names]


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*.py")), ids=lambda path: path.stem)
def test_imports_go_down(path):
    here = floor_of(path.stem)
    for module in imports_of(path):
        if (PACKAGE / f"{module.split('.')[0]}.py").exists():
            assert floor_of(module) <= here, f"{path.name} imports {module}, which stands above it"


# The same for what stands in mlxffi/tuner; a folder is one room there.
TUNER_ROOMS = [
    {"checks", "files", "kernels", "trees"},
    {"layers", "optimizers", "schedules"},
    {"datasets", "lora"},
    {"losses", "models"},
    {"distributed", "trainer"},
    {"cli"},
    {"__main__"},
]


def tuner_imports_of(path):
    """What stands in mlxffi/tuner and is imported by a module below it."""
    package = path.relative_to(PACKAGE / "tuner").parent.parts
    for node in ast.walk(WithoutTypes().visit(ast.parse(path.read_text()))):
        if isinstance(node, ast.ImportFrom) and 0 < node.level <= len(package) + 1:
            start = package[: len(package) + 1 - node.level]
            named = node.module.split(".") if node.module else []
            yield from [[*start, *named][0]] if start or named else [alias.name for alias in node.names]


def room_in_tuner(name):
    return next(floor for floor, room in enumerate(TUNER_ROOMS) if name in room)


TUNER = sorted((PACKAGE / "tuner").rglob("*.py"))


@pytest.mark.parametrize("path", TUNER, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_of_the_tuner_go_down(path):
    if path == PACKAGE / "tuner/__init__.py":
        return
    here = room_in_tuner(path.relative_to(PACKAGE / "tuner").parts[0].removesuffix(".py"))
    for name in tuner_imports_of(path):
        assert room_in_tuner(name) <= here, f"{path.name} imports {name}, which stands above it"


@pytest.mark.parametrize("path", sorted((PACKAGE / "core").rglob("*.py")), ids=lambda path: path.stem)
def test_the_core_knows_nothing_of_what_stands_on_it(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert not {"tuner", "compat"} & set((node.module or "").split(".")), path.name


def test_only_one_module_imports_the_compiled_ones():
    importers = {
        path.stem for path in PACKAGE.glob("*.py") if {"_mlxc", "_graph", "_array_owner"} & set(imports_of(path))
    }
    assert importers == {"_loader"}


@pytest.mark.parametrize("path", BY_HAND, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_are_short(path):
    assert path.read_text().count("\n") <= 500


@pytest.mark.parametrize("path", set(BY_HAND) & set(PYTHON), ids=lambda path: str(path.relative_to(ROOT)))
def test_functions_are_short(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            docstring = ast.get_docstring(node, clean=False) or ""
            assert node.end_lineno - node.lineno + 1 - docstring.count("\n") <= 40, node.name


def is_temporary(node):
    """Whether an expression makes an object that dies as soon as its handle has been read."""
    if isinstance(node, ast.BoolOp):
        return any(map(is_temporary, node.values))
    if isinstance(node, ast.IfExp):
        return is_temporary(node.body) or is_temporary(node.orelse)
    if isinstance(node, ast.Call):
        return not (isinstance(node.func, ast.Attribute) and node.func.attr == "eval")  # gives back its object
    return isinstance(node, (ast.BinOp, ast.ListComp, ast.List))


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_handle_is_taken_of_a_temporary(path):
    """`f(make()._h)` frees what `make` made before `f` runs."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and node.attr == "_h":
            assert not is_temporary(node.value), f"{path.name}:{node.lineno}: {ast.unparse(node)}"
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("handles") and node.args:
            assert not is_temporary(node.args[0]), f"{path.name}:{node.lineno}: {ast.unparse(node)}"
