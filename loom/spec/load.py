"""Loading a graph: from a file, or by the name under which it is registered."""

import inspect
from collections.abc import Collection
from os import PathLike, fspath
from pathlib import Path
from typing import Any, TypeGuard

from pydantic import ValidationError

from loom.core.graph import Graph
from loom.errors import ConfigError, SpecError, did_you_mean, quoted, short
from loom.spec.places import written
from loom.spec.read import graph_from
from loom.spec.records import flaws_in
from loom.spec.registry import GRAPHS, load_registered, registered

# Any, in this module: the state of a graph, and the settings of what makes it.

SUFFIXES = (".yaml", ".yml", ".json")


def load(wish: str | PathLike[str], *, allow: Collection[str] = (), **settings: Any) -> Graph[Any]:
    """Load a graph from a YAML or JSON file, or by its registered name, as `agent` or `harness`.

    `allow` are the modules, each with all that is in it, from which a file may name states, nodes, conditions
    and exceptions by their path; what is registered it may name always. `settings` are what the function that makes
    a registered graph takes; a file takes none.

    Raises:
        SpecError: there is no such file or graph; the file is no spec, or names what it may not.
        ConfigError: `wish` is neither a text nor a path; a setting is unknown, missing or of the wrong kind; or
            `allow` holds no names of modules.
        GraphError: a graph inside a node has problems.
    """
    name = fspath(wish) if isinstance(wish, str | PathLike) else wish
    if not isinstance(name, str):
        raise ConfigError(f'load takes the path of a file or the name of a graph, as "agent"; got {short(wish)}')
    if name.endswith(SUFFIXES):
        if settings:
            raise ConfigError(f'load("{name}"): a file has no settings; got {quoted(settings)}')
        return from_file(Path(name), allow)
    is_name = isinstance(wish, str) and (name in registered(GRAPHS) or not ("/" in name or Path(name).suffix))
    if not is_name:
        raise SpecError(f'"{name}": a graph is read from a file that ends in {quoted(SUFFIXES)}')
    if allow:
        raise ConfigError(f'load("{name}"): allow is for files; what is registered needs no leave')
    return _made(name, load_registered(GRAPHS, name), settings)


def from_file(path: Path, allow: Collection[str] = ()) -> Graph[Any]:
    """Read a graph from a YAML or JSON file. Raises what `load` raises."""
    from loom.spec.text import data_from  # noqa: PLC0415 - brings YAML, which a registered graph does not need

    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SpecError(f'cannot read "{path}": {error.strerror or error}') from None
    except UnicodeDecodeError:
        raise SpecError(f'cannot read "{path}": it is not UTF-8 text') from None
    data, source = data_from(text, str(path))
    return graph_from(data, allow, source)


def _made(name: str, found: Any, settings: dict[str, Any]) -> Graph[Any]:
    if not callable(found):
        if settings:
            raise ConfigError(f'load("{name}"): it is a graph, which has no settings; got {quoted(settings)}')
    else:
        _check(name, found, settings)
        try:
            found = found(**settings)
        except ValidationError as error:  # of a node, mostly, that was given the setting
            told = [f"{error.title}({written(place)}=…) {why}" for place, why in flaws_in(error)]
            raise ConfigError(f'load("{name}"): {"; ".join(told)}') from None
    if not _is_graph(found):
        raise SpecError(f'"{name}" is registered as a graph, but is or returns {type(found).__name__}')
    return found


def _is_graph(found: object) -> TypeGuard[Graph[Any]]:
    return isinstance(found, Graph)


def _check(name: str, maker: Any, settings: dict[str, Any]) -> None:
    signature = inspect.signature(maker)
    try:
        signature.bind(**settings)
    except TypeError as error:
        known = signature.parameters
        hints = "".join(did_you_mean(word, known) for word in settings if word not in known)
        raise ConfigError(f'load("{name}"): {error}; its settings are {quoted(known)}.{hints}') from None
