import ast
import json
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from io import StringIO
from pathlib import Path
from tokenize import COMMENT, DEDENT, ENDMARKER, INDENT, NEWLINE, NL, generate_tokens

import pytest

import loom
import loom.errors
import loom.types
from tests.programs import ROOT, run_python

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DOORS = ["loom", "loom.types"]


def modules() -> Iterator[Path]:
    """Every module of ours, relative to the root, each once: nodes/ and graphs/ by their real path."""
    for folder in ("loom", "nodes", "graphs"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT).parts
            if parts[:2] not in {("loom", "nodes"), ("loom", "graphs")}:
                yield Path(*parts)


def mirror(module: Path) -> Path:
    below = module.parts[1:] if module.parts[0] == "loom" else module.parts
    return Path("tests", *below[:-1], f"test_{below[-1]}")


def dotted(module: Path) -> str:
    parts = module.with_suffix("").parts
    name = ".".join(parts if parts[0] == "loom" else ("loom", *parts))
    return name.removesuffix(".__init__")


def imports(module: Path) -> Iterator[tuple[str, str]]:
    """Yield (module, name) for every import in a file; name is empty for `import module`."""
    for part in ast.walk(ast.parse((ROOT / module).read_text())):
        if isinstance(part, ast.Import):
            yield from ((alias.name, "") for alias in part.names)
        elif isinstance(part, ast.ImportFrom):
            yield from ((part.module or "", alias.name) for alias in part.names)


def loaded_by(code: str) -> set[str]:
    return set(json.loads(run_python(f"{code}\nimport json, sys\nprint(json.dumps(list(sys.modules)))")))


@pytest.mark.parametrize("door", DOORS)
def test_every_name_at_the_door_comes_from_its_home(door: str) -> None:
    face = import_module(door)
    homes = {
        alias.name: part.module
        for block in ast.parse(Path(face.__file__ or "").read_text()).body
        if isinstance(block, ast.If)
        for part in block.body
        if isinstance(part, ast.ImportFrom)
        for alias in part.names
    }
    assert sorted(homes) == sorted(face.__all__)
    for name, home in homes.items():
        assert getattr(face, name) is getattr(import_module(home or ""), name), f"{name} from {home}"


@pytest.mark.parametrize("door", DOORS)
def test_the_door_lists_its_names_and_refuses_others(door: str) -> None:
    face = import_module(door)
    assert set(face.__all__) <= set(dir(face))
    with pytest.raises(AttributeError, match=f'module "{door}" has no name "nothing"'):
        _ = face.nothing


def test_every_error_is_at_the_door() -> None:
    errors = {
        name
        for name, value in vars(loom.errors).items()
        if isinstance(value, type) and issubclass(value, loom.errors.LoomError)
    }
    assert errors | {"Problem", "Change"} <= set(loom.__all__)


def test_every_record_is_at_the_door_of_types() -> None:
    records = {
        name
        for module in modules()
        if module.parts[:2] == ("loom", "types") and module.name != "__init__.py"
        for name, value in vars(import_module(dotted(module))).items()
        if isinstance(value, type) and value.__module__ == dotted(module) and not name.startswith("_")
    }
    assert records <= set(loom.types.__all__)


def test_importing_loom_loads_nothing_but_its_door() -> None:
    assert loaded_by("import loom") - loaded_by("import importlib, typing") == {"loom"}


def test_declaring_a_graph_loads_no_heavy_client() -> None:
    heavy = {"litellm", "mcp", "networkx", "jinja2", "graphviz", "rich", "typer", "numpy", "sqlite3"}
    loaded = loaded_by("from loom import END, START, Context, Graph, Node, Retry, Runtime, State, append, node")
    assert not heavy & loaded


def test_importing_loom_writes_no_file(tmp_path: Path) -> None:
    run_python("import sys; sys.dont_write_bytecode = True\nfrom loom import *", cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_version_is_the_one_of_the_package() -> None:
    assert loom.__version__ == PROJECT["project"]["version"]


def test_every_module_has_a_test_of_its_own() -> None:
    lacking = {
        str(module) for module in modules() if module.name != "__init__.py" and not (ROOT / mirror(module)).exists()
    }
    assert lacking == set()


def test_every_test_mirrors_a_module() -> None:
    houses = {"test_house.py", "test_package.py", "test_docs.py", "test_examples.py"}
    houses |= {"test_bench.py", "test_crash.py", "test_crash_agent.py", "test_cut.py", "test_storage.py"}
    houses |= {"test_product_readme.py", "test_secrets_canary.py", "test_left_behind.py"}
    known = {ROOT / mirror(module) for module in modules()}
    # What the tests of a theme share stands beside them: doubt.py and test_doubt.py.
    known |= {path.with_name(f"test_{path.name}") for path in (ROOT / "tests").rglob("*.py")}
    tests = {path for path in (ROOT / "tests").rglob("test_*.py") if path.name not in houses}
    assert {str(path.relative_to(ROOT)) for path in tests - known} == set()


@pytest.mark.parametrize("module", list(modules()), ids=str)
def test_a_module_imports_no_face_and_no_private_name_of_another(module: Path) -> None:
    faces = {dotted(path) for path in modules() if path.name == "__init__.py"}
    for source, name in imports(module):
        if module.name == "__init__.py" and source.startswith(dotted(module)):
            continue  # a face gathers its own room
        assert source not in faces or f"{source}.{name}" in known_modules(), f"{module} imports from the face {source}"
        assert not (source.startswith("loom") and name.startswith("_")), f"{module} imports {source}.{name}"


def known_modules() -> set[str]:
    return {dotted(module) for module in modules()}


def test_the_engine_needs_pydantic_anyio_and_networkx_alone() -> None:
    roots = {
        source.split(".")[0]
        for module in modules()
        if dotted(module).startswith(("loom.core", "loom.errors", "loom.runs", "loom.types"))
        for source, _ in imports(module)
    }
    assert roots - sys.stdlib_module_names <= {
        "loom",
        "pydantic",
        "pydantic_core",
        "anyio",
        "networkx",
        "typing_extensions",
    }


def lines_of_code(path: Path) -> int:
    """Count the lines that hold more than comments and docstrings."""
    text = path.read_text()
    not_code = {COMMENT, DEDENT, ENDMARKER, INDENT, NEWLINE, NL}
    tokens = [token for token in generate_tokens(StringIO(text).readline) if token.type not in not_code]
    code = {line for token in tokens for line in range(token.start[0], token.end[0] + 1)}
    for part in ast.walk(ast.parse(text)):
        if isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant) and isinstance(part.value.value, str):
            code -= set(range(part.lineno, (part.end_lineno or part.lineno) + 1))
    return len(code)


def test_core_reads_in_an_afternoon() -> None:
    assert sum(lines_of_code(ROOT / module) for module in modules() if dotted(module).startswith("loom.core.")) < 3000


def test_no_file_is_over_400_lines() -> None:
    sizes = {str(module): len((ROOT / module).read_text().splitlines()) for module in modules()}
    assert {module: size for module, size in sizes.items() if size > 400} == {}
