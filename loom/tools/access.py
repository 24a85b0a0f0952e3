"""What a policy says of a tool, whatever its arguments are."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from loom.errors import ConfigError, did_you_mean, error_text, quoted
from loom.types.given import check_count, check_flag, check_one_of, check_texts
from loom.types.policy import PolicyConfig
from loom.types.tools import Tool

# An outcome, the setting that decides, and why.
Verdict = tuple[str, str, str]
ALLOWED: Final[Verdict] = ("allow", "", "")
# All that a tool must say of itself.
_FLAGS: Final = ("concurrency_safe", "destructive", "idempotent", "read_only", "requires_permission")
_FACTS: Final = (*_FLAGS, "contexts", "effect", "max_output_chars")
_EFFECTS: Final = ("read", "write")


def check_names(what: str, names: Iterable[str], tools: Collection[str]) -> None:
    """Refuse names of tools that are not there, as far as that can be told.

    Tools of MCP servers (`mcp__…`) come later. Where there are no tools at all, no name is wrong.

    Raises:
        ConfigError: a name is that of no tool; the message begins with `what`.
    """
    for name in names if tools else ():
        if name not in tools and not name.startswith("mcp__"):
            hint = did_you_mean(name, tools)
            raise ConfigError(f'{what} "{name}", which is not there; there are {quoted(tools)}.{hint}')


def access(policy: PolicyConfig, tool: Tool) -> Verdict:
    """Judge a tool by the access policy and the context. A tool that does not say what it is, is denied.

    Raises:
        ConfigError: what it says of itself is not of the type that `loom.types.Tool` has there.
    """
    rules, name, context = policy.tools.access, tool.name, policy.context.name
    try:
        said = {fact: getattr(tool, fact) for fact in _FACTS}
    except Exception as error:  # noqa: BLE001 - a tool of somebody else's: fail closed
        return "deny", "tool", f'tool "{name}" does not say what it does: {error_text(error)}'
    contexts = said["contexts"]
    _check(name, said)
    denied = {
        "tools.access.deny": name in rules.deny and "it is in the list of denied tools",
        "tools.access.allow": bool(rules.allow)
        and name not in rules.allow
        and "it is not in the list of allowed tools",
        "tools.access.read_only_only": rules.read_only_only
        and not said["read_only"]
        and "only read-only tools may be used",
        "tools.access.allow_destructive": said["destructive"] and not rules.allow_destructive and "it is destructive",
        "context": contexts and context not in contexts and f'it may not be used in the context "{context}"',
    }
    for setting, why in denied.items():
        if why:
            return "deny", setting, f'tool "{name}" is denied: {why}'
    return (
        ("ask", "requires_permission", f'tool "{name}" requires permission') if said["requires_permission"] else ALLOWED
    )


# Any: what a tool of somebody else's says.
def _check(name: str, said: Mapping[str, Any]) -> None:
    """Refuse facts that cannot be read: "no" would count as true, and inf cuts nothing off."""
    for flag in _FLAGS:
        check_flag(f'tool "{name}": its {flag}', said[flag])
    check_count(f'tool "{name}": its max_output_chars', said["max_output_chars"])
    if said["contexts"] is not None:
        check_texts(f'tool "{name}": its contexts', said["contexts"], '"deployment"')
    check_one_of(f'tool "{name}": its effect', said["effect"], _EFFECTS)
