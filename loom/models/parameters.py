"""What a request asks of a model, in the words of its protocol, as far as the model takes it. No I/O."""

import json
from functools import lru_cache
from importlib import import_module
from typing import Any

from loom.models.blocks import Json

# Any: what litellm makes of an argument.
Parameters = dict[str, Any]


# Kept, since it takes longer than all the rest, and an agent gives the same tools and settings again and again.
@lru_cache(maxsize=64)
def parameters(prefix: str, model: str, response_type: type | None, given: str, *, temperature_is_default: bool) -> str:
    """Return litellm's arguments in the words of the protocol. Both are JSON.

    A default temperature is left out where the model takes none. Raises `ValueError` for another that it does not
    take, and whatever litellm raises for what else it does not.
    """
    arguments: Json = json.loads(given)
    if response_type is not None:
        arguments["response_format"] = response_type
    temperature: float | None = arguments.get("temperature")
    try:
        taken = _translated(prefix, model, arguments)
    except Exception:  # litellm raises whatever its providers' code raises
        if temperature is None:
            raise
        # If it is not the temperature that it minds, it says again what it is.
        taken = _translated(prefix, model, arguments | {"temperature": None})
        if not temperature_is_default:
            raise ValueError(f"a temperature of {temperature:g}: {_ADVICE}") from None
    if temperature not in {None, 1} and prefix == "anthropic" and _thinks(taken):
        if not temperature_is_default:
            raise ValueError(f"a temperature of {temperature:g} while it thinks: {_ADVICE}")
        taken.pop("temperature", None)
    return json.dumps(taken)


_ADVICE = "leave the temperature out, or set it to None or to 1"


def _translated(prefix: str, model: str, arguments: Json) -> Parameters:
    utils = import_module("litellm").utils
    taken: Parameters = utils.get_optional_params(model=model, custom_llm_provider=prefix, **arguments)
    return taken


def _thinks(taken: Parameters) -> bool:
    """Return whether a request of Anthropic's protocol lets the model think, at which only temperature 1 is taken."""
    thinking: dict[str, str] = taken.get("thinking") or {}
    return thinking.get("type", "disabled") != "disabled"
