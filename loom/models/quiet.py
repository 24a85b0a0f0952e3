"""What keeps litellm from its bookkeeping, which takes longer than the call: prices, logs, copies for callbacks."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import import_module
from typing import Any
from uuid import uuid4

# Any: litellm's records, and arguments on their way to it.
Record = Any


def log_of(arguments: Mapping[str, Any]) -> Record:
    """Return a log for one call of litellm's `acompletion` that keeps what litellm itself needs and no more."""
    log = _kind()(
        model=arguments["model"],
        messages=arguments["messages"],
        stream=True,
        call_type="acompletion",
        start_time=datetime.now(UTC),
        litellm_call_id=str(uuid4()),
        function_id="",
    )
    log.update_environment_variables(
        model=arguments["model"],
        user="",
        optional_params={},
        litellm_params={"api_base": ""},
        # Else only OpenAI's protocol would tell what was used.
        stream_options=arguments["stream_options"],
    )
    return log


@cache
def _kind() -> Record:
    """Return litellm's type of a log, with nobody who listens to it."""
    base = import_module("litellm.litellm_core_utils.litellm_logging").Logging
    silent = dict.fromkeys(("response_cost_calculator", "pre_call", "post_call", "failure_handler"), _nothing)
    heard = dict.fromkeys(("dispatch_success_handlers", "dispatch_failure_handlers", "async_failure_handler"), _silence)
    return type("QuietLog", (base,), {**silent, **heard})


def _nothing(*args: object, **kwargs: object) -> None:
    """Do nothing."""


async def _silence(*args: object, **kwargs: object) -> None:
    """Do nothing."""
