from collections.abc import Callable
from types import MappingProxyType
from typing import Any, cast

import pytest

from loom.errors import ConfigError
from loom.types.models import Emit, Model, ModelRef, ModelReply, ModelRequest


def test_an_identifier_is_provider_and_name() -> None:
    assert ModelRef("openai", "gpt-4o").identifier == "openai:gpt-4o"


@pytest.mark.parametrize(
    ("ref", "identifier"),
    [
        (ModelRef.anthropic("claude-sonnet-4-5"), "anthropic:claude-sonnet-4-5"),
        (ModelRef.openai("gpt-4o"), "openai:gpt-4o"),
        (ModelRef.gemini("gemini-2.5-flash"), "gemini:gemini-2.5-flash"),
        (ModelRef.qwen("qwen-plus"), "qwen:qwen-plus"),
        (ModelRef.deepseek(), "deepseek:deepseek-chat"),
        (ModelRef.minimax(), "minimax:MiniMax-Text-01"),
        (ModelRef.ollama("llama3"), "ollama:llama3"),
        (ModelRef.local("http://127.0.0.1:8080/v1"), "local:local"),
        (ModelRef.local("http://127.0.0.1:8080/v1", "smol"), "local:smol"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_provider_has_a_factory(ref: ModelRef, identifier: str) -> None:
    assert ref.identifier == identifier


def test_a_factory_keeps_its_settings() -> None:
    ref = ModelRef.openai(
        "gpt-4o", api_base="http://proxy/v1", organization="acme", api_key_env="PROXY_KEY", extensions={"top_p": 0.5}
    )
    assert ref == ModelRef(
        "openai",
        "gpt-4o",
        api_base="http://proxy/v1",
        organization="acme",
        api_key_env="PROXY_KEY",
        extensions={"top_p": 0.5},
    )


def test_a_reference_survives_json() -> None:
    ref = ModelRef.local("http://127.0.0.1:8080/v1", extensions={"top_p": 0.5})
    assert ModelRef.model_validate_json(ref.model_dump_json()) == ref


def test_headers_are_saved_and_not_shown() -> None:
    ref = ModelRef.openai("gpt-4o", extensions={"extra_headers": {"Authorization": "Bearer canary"}, "top_p": 0.5})
    assert repr(ref).endswith("extensions={'extra_headers': {'Authorization': '[redacted]'}, 'top_p': 0.5})")
    assert ModelRef.model_validate_json(ref.model_dump_json()) == ref
    assert "Bearer canary" in ref.model_dump_json()


def test_a_misspelt_setting_is_refused() -> None:
    with pytest.raises(ConfigError, match=r'ModelRef has no setting .api_bse.; it has .* Did you mean "api_base"'):
        ModelRef("openai", "gpt-4o", api_bse="http://proxy/v1")


# Any: what untyped code may give.
@pytest.mark.parametrize(
    ("placed", "named", "told"),
    [
        ((), {"provder": "openai", "name": "gpt-4o"}, 'ModelRef has no setting "provder"; .* mean "provider"'),
        (("openai",), {}, r"ModelRef\(name=…\) is missing"),
        (("openai", "gpt-4o"), {"name": "o3"}, r"ModelRef\(name=…\) is given twice"),
    ],
)
def test_a_name_that_is_missing_or_not_known_is_told(placed: Any, named: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        ModelRef(*placed, **named)


# Any: as above.
@pytest.mark.parametrize(
    ("made", "told"),
    [
        (lambda: ModelRef.openai(cast("Any", 5)), r"ModelRef\(name=…\) must be string, got int: 5"),
        (lambda: ModelRef.openai(cast("Any", None)), r"ModelRef\(name=…\) must be string, got NoneType"),
        (lambda: ModelRef.openai(""), r"ModelRef\(name=…\) must not be empty"),
        (lambda: ModelRef.local("http://127.0.0.1:1/v1", " "), r"ModelRef\(name=…\) must not be empty"),
        (lambda: ModelRef("", "gpt-4o"), r"ModelRef\(provider=…\) must not be empty"),
        (
            lambda: ModelRef.anthropic("c", api_base=cast("Any", 8080)),
            r"ModelRef\(api_base=…\) must be string, got int",
        ),
        (
            lambda: ModelRef.gemini("g", extensions=cast("Any", "x")),
            r"ModelRef\(extensions=…\) must be dictionary, got str",
        ),
    ],
)
def test_a_setting_of_the_wrong_kind_is_named(made: Callable[[], ModelRef], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        made()


def test_extensions_may_be_any_mapping() -> None:
    assert ModelRef.openai("gpt-4o", extensions=MappingProxyType({"top_p": 0.5})).extensions == {"top_p": 0.5}


def test_a_command_line_names_provider_and_model() -> None:
    assert ModelRef.parse("anthropic/claude-sonnet-4-5") == ModelRef.anthropic("claude-sonnet-4-5")


def test_a_parsed_name_may_have_slashes_and_a_server() -> None:
    ref = ModelRef.parse("local/org/model", api_base="http://127.0.0.1:8080/v1")
    assert ref == ModelRef.local("http://127.0.0.1:8080/v1", "org/model")


@pytest.mark.parametrize("text", ["gpt-4o", "openai/", "/gpt-4o", "", " / ", "openai:gpt-4o"])
def test_a_model_without_provider_or_name_is_refused_with_what_was_got(text: str) -> None:
    with pytest.raises(ConfigError, match=f'written "provider/name".* but got "{text}"'):
        ModelRef.parse(text)


def test_whatever_can_complete_is_a_model() -> None:
    class Echo:
        async def complete(self, request: ModelRequest, emit: Emit) -> ModelReply:
            return ModelReply(text=request.messages[-1].text)

    assert isinstance(Echo(), Model)
    assert not isinstance("echo", Model)
