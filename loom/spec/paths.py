"""Paths, `package.module:attr`: which of them may be imported, and what they lead to."""

import sys
from collections.abc import Collection
from importlib import import_module
from types import ModuleType
from typing import Any

from loom.errors import ConfigError, SpecError, did_you_mean, error_text, quoted, short

# Any, in this module: whatever a path leads to.


class Allowed:
    """The modules from which a spec may name something: those of each prefix, and what is in them.

    Raises:
        ConfigError: a prefix is no module's name.
    """

    def __init__(self, prefixes: Collection[str]) -> None:
        if isinstance(prefixes, str):
            raise ConfigError(f'allow must be a list of module names; got a text, write allow=("{prefixes}",)')
        if not isinstance(prefixes, Collection):
            raise ConfigError(f"allow must be a list of module names; got {short(prefixes)}")
        for prefix in prefixes:
            if not _is_dotted(prefix):
                raise ConfigError(f'allow must name modules, as in allow=("shop", "tools.web"); got {short(prefix)}')
        self._prefixes = tuple(prefixes)
        self._said = f"allowed are the modules of {quoted(prefixes)}" if prefixes else "no module is allowed"

    def flaw(self, path: str) -> str:
        """Return why a path must not be followed; empty if it may. Imports nothing."""
        module, _, attr = path.partition(":")
        if not (_is_dotted(module) and _is_dotted(attr)):
            return f'got "{path}", expected a path of the form "package.module:name"'
        if not self._has(module):
            return (
                f'"{path}" must not be imported: {self._said}. If you trust '
                f'all that is in "{module}", give allow=("{module}",), or on the command line --set allow={module}'
            )
        return ""

    def load(self, path: str) -> Any:
        """Import what a path leads to.

        Raises:
            SpecError: it is not allowed, or defined in a module that is not; it does not exist; its module raised.
        """
        if flaw := self.flaw(path):
            raise SpecError(flaw)
        name, _, attr = path.partition(":")
        module = _imported(name)
        try:
            found = _at(module, attr)
        except AttributeError:
            raise SpecError(f'"{path}" does not exist.{did_you_mean(attr, vars(module))}') from None
        # What a module has itself imported, such as `os` and all that is in it, does not come with it.
        home = getattr(found, "__module__", None)
        if not (isinstance(home, str) and self._has(home)):
            defined = f'is defined in "{home}"' if isinstance(home, str) else "does not say where it is defined"
            raise SpecError(f'"{path}" {defined}; {self._said}')
        return found

    def _has(self, module: str) -> bool:
        return any(f"{module}.".startswith(f"{prefix}.") for prefix in self._prefixes)


def path_of(wanted: Any) -> str:
    """Return the path that leads to a thing; empty if none does, as where it was made inside a function."""
    name = getattr(wanted, "__module__", None)
    module = sys.modules.get(name) if isinstance(name, str) else None
    if module is None:
        return ""
    attr = str(getattr(wanted, "__qualname__", ""))
    if not _leads(module, attr, wanted):  # it may have been given a name afterwards
        attr = next((other for other, value in vars(module).items() if value is wanted), "")
    return f"{name}:{attr}" if attr else ""


def _leads(module: ModuleType, attr: str, wanted: object) -> bool:
    try:
        return _is_dotted(attr) and _at(module, attr) is wanted
    except AttributeError:
        return False


def _is_dotted(name: object) -> bool:
    return isinstance(name, str) and all(part.isidentifier() for part in name.split("."))


def _at(found: Any, attr: str) -> Any:
    for part in attr.split("."):
        found = getattr(found, part)
    return found


def _imported(name: str) -> ModuleType:
    try:
        return import_module(name)
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        if isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}."):
            raise SpecError(f'there is no module "{error.name}"') from None
        raise SpecError(f'importing "{name}" raised {error_text(error)}') from error
