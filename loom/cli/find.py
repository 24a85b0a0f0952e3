"""From the GRAPH of a command to what it names: a graph, or the function that makes one."""

import importlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, TypeGuard, get_origin

from loom.cli.exits import LoadError, place_of, shown
from loom.core.graph import Graph
from loom.errors import ConfigError, GraphError, SpecError, did_you_mean, quoted
from loom.runs.app import CompiledGraph
from loom.spec.load import SUFFIXES, from_file
from loom.spec.registry import GRAPHS, load_registered, registered

# Any, in this module: the state of a graph and the settings of a function are the user's.
AnyGraph = Graph[Any] | CompiledGraph[Any]
Maker = Callable[..., Any]


def find(wish: str) -> AnyGraph | Maker:
    """Return the graph, or the function that makes it, that `wish` names.

    A wish is `file.py:name`, `package.module:name`, either without the name if there is only one graph, the name of a
    prebuilt or installed graph, or a file that holds a graph as data: what reads it takes the setting `allow`.

    Raises:
        ConfigError: there is no such file, module, name or prebuilt graph, or it is no graph.
        GraphError: a graph that was compiled on the way has problems.
        LoadError: the user's code raised.
        SpecError: the name of a graph stands for several, or its package raised.
    """
    if wish.endswith(SUFFIXES):
        return _reader(_file(wish))
    source, name = (wish, "") if wish.endswith(".py") else _split(wish)
    if not name and source in prebuilt():
        return _graph_or_maker(load_registered(GRAPHS, source), wish)
    module = _executed(_file(source)) if source.endswith(".py") else _imported(source, prebuilt())
    return _attribute(module, name, wish) if name else _only(module, wish)


def prebuilt() -> list[str]:
    """Return the names of the graphs that Loom and installed packages bring along."""
    return registered(GRAPHS)


def made(maker: Maker, arguments: dict[str, Any], wish: str) -> AnyGraph:
    """Call a function that makes a graph.

    Raises:
        ConfigError: it returned something else.
        LoadError: it raised.
        SpecError: the file that it reads holds no graph, or one that names what it may not.
    """
    try:
        graph = maker(**arguments)
    except (GraphError, ConfigError, SpecError):
        raise
    except Exception as error:  # the user's code may raise anything
        raise _broken(wish, error) from error
    if not _is_graph(graph):
        raise ConfigError(f'"{wish}" returned {type(graph).__name__}; expected a Graph or a compiled graph')
    return graph


def _split(wish: str) -> tuple[str, str]:
    source, colon, name = wish.rpartition(":")
    return (source, name) if colon else (wish, "")


def _file(source: str) -> Path:
    path = Path(source)
    if not path.is_file():
        raise ConfigError(
            f'there is no file "{path}"; GRAPH is "file.py:name", "package.module:name", "graph.yaml" or a prebuilt one'
        )
    return path


def _reader(path: Path) -> Maker:
    """Return what reads a graph from a file; modules beside the file come first, as they do beside a program."""

    def read(allow: str = "") -> Graph[Any]:
        sys.path.insert(0, str(path.resolve().parent))
        return from_file(path, [module.strip() for module in allow.split(",") if module.strip()])

    return read


def _executed(path: Path) -> ModuleType:
    """Run a file as a module, as `python file.py` would: its folder comes first, no bytecode is written."""
    path = path.resolve()
    sys.path.insert(0, str(path.parent))
    # A file called like a module of Python or of ours must not stand in for it.
    name = path.stem if path.stem not in sys.modules.keys() | sys.stdlib_module_names else f"{path.stem}_graph"
    module = sys.modules[name] = ModuleType(name)
    module.__file__ = str(path)
    try:
        exec(compile(path.read_bytes(), path, "exec"), module.__dict__)  # noqa: S102 - the file the user named
    except BaseException as error:  # the user's code may raise anything
        del sys.modules[name]
        if isinstance(error, (GraphError, KeyboardInterrupt)):
            raise
        raise _broken(shown(path), error) from error
    return module


def _imported(name: str, known: list[str]) -> ModuleType:
    sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except GraphError:
        raise
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        is_absent = isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}.")
        if is_absent or not name.replace(".", "").isidentifier():
            raise ConfigError(
                f'there is no graph "{name}": neither a prebuilt one ({quoted(known)}) nor a module. A file is named '
                f'with its suffix, as in "graphs.py:review".{did_you_mean(name, known)}'
            ) from None
        raise _broken(name, error) from error


def _broken(wish: str, error: BaseException) -> LoadError:
    place = place_of(error) or wish
    said = error.msg if isinstance(error, SyntaxError) else str(error)
    return LoadError(f'cannot load the graph "{wish}": {place}: {type(error).__name__}: {said}')


def _attribute(module: ModuleType, name: str, wish: str) -> AnyGraph | Maker:
    if not hasattr(module, name):
        names = _graphs(module) | _makers(module)
        raise ConfigError(f'"{wish}" does not exist; graphs there are {quoted(names)}.{did_you_mean(name, names)}')
    return _graph_or_maker(getattr(module, name), wish)


def _graph_or_maker(found: object, wish: str) -> AnyGraph | Maker:
    if _is_graph(found) or inspect.isfunction(found):
        return found
    raise ConfigError(
        f'"{wish}" is {type(found).__name__}; expected a Graph, a compiled graph or a function that returns one'
    )


def _only(module: ModuleType, wish: str) -> AnyGraph | Maker:
    found: dict[str, AnyGraph | Maker] = {**_graphs(module)} or {**_makers(module)}
    if len(found) == 1:
        return next(iter(found.values()))
    if not found:
        raise ConfigError(f'"{wish}" has no Graph and no function that is annotated to return one')
    raise ConfigError(f'"{wish}" has several graphs: {quoted(found)}; choose one, as in "{wish}:{min(found)}"')


def _is_graph(found: object) -> TypeGuard[AnyGraph]:
    return isinstance(found, (Graph, CompiledGraph))


def _graphs(module: ModuleType) -> dict[str, AnyGraph]:
    """Return the graphs of a module by name; one that stands there declared and compiled counts once."""
    graphs = {name: one for name, one in vars(module).items() if _is_graph(one)}
    declared = {one.name for one in graphs.values() if isinstance(one, Graph)}
    return {name: one for name, one in graphs.items() if isinstance(one, Graph) or one.name not in declared}


def _makers(module: ModuleType) -> dict[str, Maker]:
    return {name: one for name, one in vars(module).items() if inspect.isfunction(one) and _makes_a_graph(one, module)}


def _makes_a_graph(function: Maker, module: ModuleType) -> bool:
    if function.__module__ != module.__name__:
        return False
    try:
        returned = inspect.signature(function, eval_str=True).return_annotation
    except (NameError, TypeError):  # an annotation that only type checkers can read
        return False
    return (get_origin(returned) or returned) in (Graph, CompiledGraph)
