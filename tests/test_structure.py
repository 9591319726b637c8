"""The shape of the code: arrows between files go down and in no circle, files and functions stay small."""

import ast
import re
from collections import defaultdict
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "mlxffi"

# The floors of each room from the ground up, by the names of its files and folders (in C, a header and its source are
# one). An arrow goes to the same floor or a lower one; among those of one floor, and in a room without floors, there is
# no circle.
GROUND = [
    "native _build_info _dynamic _native _abi _mlxc _graph _backend _errors",
    "_bindings _loader _elements _exporters _files _pickles",
]
BINDING = [
    "_ffi dtype",
    "_garbage _registry",
    "_handles",
    "_arguments _containers _structs device",
    "_ops",
    "_closures _memory memory",
    "_convert _dlpack _indexing _values",
    "array",
    "blocks fast fft fused kernels linalg losses random transforms",
    "export graphs io",
    "_api",
    "__init__",
]
FLOORS = {
    "": [*GROUND, *BINDING, "core", "compat tuner", "_config _doctor _run _trace", "__main__"],
    "core": [
        "_binding",
        "_dtype",
        "generated",
        "_device cuda",
        "_array_api _convert _numpy",
        "_arguments _methods _printing",
        "_operators",
        "_at",
        "_array",
        "_creation _io _numeric _trees distributed fast fft linalg",
        "_configuration _evaluation _export random",
        "_transforms metal",
        "_compile _custom",
        "__init__",
    ],
    "tuner": [
        "checks files trees",
        "hub",
        "layers optimizers schedules",
        "datasets lora",
        "losses models",
        "distributed preferences trainer",
        "cli",
        "__main__",
        "__init__",
    ],
    "native": ["blas dynamic", "kernels", "abi dlpack", "cffi python trace"],
    "native/python": [
        "configuration errors free_threads native",
        "objects",
        "dispatch",
        "convert",
        "indexing",
        "generated ops",
        "transforms",
        "module",
    ],
}
EVERYTHING = set(" ".join(FLOORS[""]).split())

# (room, who, whom): what never points at each other, whatever its floor.
NEVER = [
    ("", {"core"}, " ".join(BINDING)),
    ("", EVERYTHING - {"core"}, "_native _abi"),
    ("", EVERYTHING - {"_ffi"}, "_mlxc _graph"),
    ("native", {"python"}, "cffi"),
    ("native", {"cffi"}, "python"),
]


# --- reading ---


class WithoutTypes(ast.NodeTransformer):
    """Drops what stands under `if TYPE_CHECKING`: names for annotations are no arrows."""

    def visit_If(self, node):
        return None if ast.unparse(node.test) == "TYPE_CHECKING" else self.generic_visit(node)


def imports_of(path):
    """The files of the package that a Python file imports; the extension too where another module hands it on."""
    for node in ast.walk(WithoutTypes().visit(ast.parse(path.read_text()))):
        if isinstance(node, ast.ImportFrom):
            folder = path.parents[node.level - 1] if node.level else ROOT
            base = folder.joinpath(*(node.module or "").split("."))
            yield from (module_at(base / alias.name) or module_at(base) for alias in node.names)
            yield from (PACKAGE / "_native.pyi" for alias in node.names if alias.name == "native")
        elif isinstance(node, ast.Import):
            yield from (module_at(ROOT.joinpath(*alias.name.split("."))) for alias in node.names)


def module_at(place):
    files = (place / "__init__.py", place.with_suffix(".py"), place.with_suffix(".pyi"))
    return next((path for path in files if path.is_relative_to(PACKAGE) and path.is_file()), None)


def includes_of(path):
    """The files of the package that a C or C++ file includes."""
    folders = [path.parent, *(PACKAGE / "native" / room for room in (".", "python", "cffi", "abi", "kernels", "blas"))]
    for mark, name in re.findall(r'^\s*#\s*include (["<])(.+)[">]', path.read_text(), re.M):
        found = [folder / name for folder in folders if (folder / name).is_file()]
        public = name.startswith("mlx/") or (ROOT / "include" / name).is_file()
        assert found or public or mark == "<", f"{path}: nothing knows where {name} is"
        yield from (file.resolve() for file in found[:1])


def imported_by_text(path):
    """Modules of ours that a file imports by a name in a text, where no reader and no tool sees the arrow."""
    if path == PACKAGE / "__init__.py":
        return  # whose names come with their first use
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.alias) and node.name == "import_module" and node.asname:
            yield path, f"calls import_module {node.asname}"
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            name = ", ".join(map(ast.unparse, node.args))
            if re.search(r"mlxffi|__package__|__name__|^f?'\.", name):
                yield path, f"imports by text: {name}"


PYTHON = sorted(PACKAGE.rglob("*.py"))
NATIVE = sorted(path for path in (PACKAGE / "native").rglob("*") if path.suffix in (".h", ".c", ".cpp"))


def arrows():
    read = chain(((path, imports_of(path)) for path in PYTHON), ((path, includes_of(path)) for path in NATIVE))
    return sorted({(path, target) for path, targets in read for target in targets if target and target != path})


# --- judging ---


def place_in(room, path):
    """The name under which a file or its folder stands in a room, None where it does not."""
    parts = path.relative_to(PACKAGE / room).parts if path.is_relative_to(PACKAGE / room) else ()
    return parts[0].partition(".")[0] if parts else None


def edges(room):
    for path, target in ARROWS:
        here, there = place_in(room, path), place_in(room, target)
        if here and there and here != there:
            yield path, here, there


def misplaced(room, floors):
    """Arrows that go up, names without a floor and floors without a name."""
    floor = {name: number for number, names in enumerate(floors) for name in names.split()}
    there = {place_in(room, path): path for path in [*PYTHON, *NATIVE, *PACKAGE.glob("*.pyi")]}
    there.pop(None, None)
    yield from ((path, "has no floor") for name, path in there.items() if name not in floor)
    yield from ((PACKAGE / room / name, "has a floor and is not there") for name in floor.keys() - there.keys())
    for path, here, target in edges(room):
        if floor.get(target, 0) > floor.get(here, 0):
            yield path, f"points at {target}, which stands above {here}"


def circular(room, floors):
    """Arrows that are part of a circle within a floor."""
    floor = {name: number for number, names in enumerate(floors) for name in names.split()}
    level = [edge for edge in edges(room) if floor.get(edge[1]) == floor.get(edge[2])]
    graph = defaultdict(set)
    for _, here, there in level:
        graph[here].add(there)
    for path, here, there in level:
        if here in reachable(graph, there):
            yield path, f"points at {there}, which leads back to {here}"


def reachable(graph, start):
    found, waiting = {start}, [start]
    while waiting:
        new = graph[waiting.pop()] - found
        found |= new
        waiting += new
    return found


def forbidden():
    for room, who, whom in NEVER:
        for path, here, there in edges(room):
            if here in who and there in whom.split():
                yield path, f"points at {there}, which {here} must not know"


def complaints():
    """What is wrong with each file that something is wrong with, by its path in the package."""
    folders = {path.parent for path in [*PYTHON, *(PACKAGE / "native/python").rglob("*.[ch]")]} - {PACKAGE}
    rooms = {"", *(folder.relative_to(PACKAGE).as_posix() for folder in folders)} | FLOORS.keys()
    found = defaultdict(set)
    judged = [*(misplaced(room, floors) for room, floors in FLOORS.items()), forbidden()]
    judged += [circular(room, FLOORS.get(room, [])) for room in sorted(rooms)]
    judged += map(imported_by_text, PYTHON)
    for path, complaint in chain.from_iterable(judged):
        found[path.relative_to(PACKAGE).as_posix()].add(complaint)
    return found


ARROWS = arrows()
COMPLAINTS = complaints()
FILES = {path.relative_to(PACKAGE).as_posix() for path in [*PYTHON, *NATIVE]}


@pytest.mark.parametrize("path", sorted(FILES | COMPLAINTS.keys()))
def test_arrows_go_down(path):
    found = sorted(COMPLAINTS.get(path, ()))
    assert not found, f"{path} {'; '.join(found)}"


FAULTY = {
    "ground.py": "def late():\n    from .top import x\n",
    "top.py": "from . import ground\nimport importlib\nimportlib.import_module('.ground', __package__)",
    "left.py": "from .right import x",
    "right.py": "import mlxffi.left",
    "fine.py": "if TYPE_CHECKING:\n    from .top import x\nfrom ._extension import native",
    "native/low.c": '#include "python/high.h"',
    "native/python/high.h": '#include "mlx/c/mlx.h"',
    "_native.pyi": "",
    "_extension.py": "",
}


def test_faults_are_found(tmp_path, monkeypatch):
    package = tmp_path / "mlxffi"
    for name, text in FAULTY.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    floors = {"": ["_native _extension native ground", "fine left right", "top gone"], "native": ["low", "python"]}
    python, native = sorted(package.glob("*.py")), [package / "native/low.c", package / "native/python/high.h"]
    changed = {"ROOT": tmp_path, "PACKAGE": package, "PYTHON": python, "NATIVE": native, "FLOORS": floors}
    for name, value in {**changed, "NEVER": [("", {"fine"}, "_native")]}.items():
        monkeypatch.setitem(globals(), name, value)
    monkeypatch.setitem(globals(), "ARROWS", arrows())
    assert {path: sorted(found) for path, found in complaints().items()} == {
        "ground.py": ["points at top, which stands above ground"],
        "top.py": ["imports by text: '.ground', __package__"],
        "left.py": ["points at right, which leads back to left"],
        "right.py": ["points at left, which leads back to right"],
        "fine.py": ["points at _native, which fine must not know"],
        "native/low.c": ["points at python, which stands above low"],
        "gone": ["has a floor and is not there"],
    }


# --- sizes ---


def is_generated(path):
    return re.search("Generated by scripts/generate.py|Written by build_ffi.py", path.read_text()[:600])


CODE = [path for folder in ("mlxffi", "scripts", "tests") for path in sorted((ROOT / folder).rglob("*.py"))]
BY_HAND = [path for path in [*CODE, *NATIVE] if not is_generated(path)]


@pytest.mark.parametrize("path", BY_HAND, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_are_short(path):
    assert path.read_text().count("\n") <= 500


@pytest.mark.parametrize(
    "path", [path for path in BY_HAND if path.suffix == ".py"], ids=lambda path: str(path.relative_to(ROOT))
)
def test_functions_are_short(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            docstring = ast.get_docstring(node, clean=False) or ""
            assert node.end_lineno - node.lineno + 1 - docstring.count("\n") <= 40, node.name


# A function of C or C++, or a method that stands in its class: up to the brace below its first letter.
C_FUNCTION = re.compile(
    r"^( {0}| {2})(?=[\w~])(?!namespace|struct|class|enum|union|[A-Z_]+\()([^;={}#]*\)[^;={}]*)\{\n.*?^\1\}",
    re.M | re.S,
)
# A switch with a line or two for each letter of the table.
SWITCHES = {"read_value", "converted_value"}


def long_functions(text):
    found = [(match[0].count("\n") + 1, match[2].partition("(")[0].split()[-1]) for match in C_FUNCTION.finditer(text)]
    return [name for lines, name in found if lines > 40 and name not in SWITCHES]


@pytest.mark.parametrize(
    "path", [path for path in BY_HAND if path.suffix != ".py"], ids=lambda path: str(path.relative_to(ROOT))
)
def test_functions_in_c_are_short(path):
    assert not long_functions(path.read_text())


def test_a_long_function_in_c_is_found():
    short, long = ("static int %s(void) {\n" + "  if (a) {\n  }\n" * count + "}\n" for count in (19, 20))
    assert long_functions(short % "short" + long % "long" + short % "other") == ["long"]


# --- handles ---


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


def raises_another(function):
    """Whether a function turns an exception into another one."""
    handlers = [node for node in ast.walk(function) if isinstance(node, ast.ExceptHandler)]
    return any(isinstance(node, ast.Raise) and node.exc for handler in handlers for node in ast.walk(handler))


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_generator_of_a_context_raises_another_error(path):
    """From CPython 3.12 on, that leaves a cycle which holds all arrays of the block's frames: it takes a class."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef) and any("contextmanager" in ast.unparse(d) for d in node.decorator_list):
            assert not raises_another(node), f"{path.name}:{node.lineno}: {node.name}"
