import pytest

from loom import AgentConfig, create_agent
from loom.config import GenerationConfig
from loom.errors import ConfigError, ProviderUnavailableError
from loom.models.providers import PROVIDERS, provider_of, route, secrets_in
from loom.types.models import ModelRef


@pytest.mark.parametrize(
    ("ref", "environ", "protocol", "key", "base"),
    [
        (ModelRef.anthropic("c"), {"ANTHROPIC_API_KEY": "k"}, "anthropic", "k", "https://api.anthropic.com"),
        (ModelRef.openai("g"), {"OPENAI_API_KEY": "k"}, "openai", "k", "https://api.openai.com/v1"),
        (ModelRef.gemini("g"), {"GEMINI_API_KEY": "k"}, "gemini", "k", ""),
        (ModelRef.gemini("g"), {"GOOGLE_API_KEY": "k"}, "gemini", "k", ""),
        (
            ModelRef.qwen("q"),
            {"DASHSCOPE_API_KEY": "k"},
            "openai",
            "k",
            "https://dashscope.aliyuncs.com/compatible-mode/v1",
        ),
        (
            ModelRef.deepseek(),
            {"DEEPSEEK_API_KEY": "k"},
            "deepseek",
            "k",
            "https://api.deepseek.com/v1",
        ),
        (
            ModelRef.minimax(),
            {"MINIMAX_API_KEY": "k"},
            "openai",
            "k",
            "https://api.minimax.io/v1",
        ),
        (ModelRef.ollama("l"), {}, "openai", "none", "http://localhost:11434/v1"),
        (ModelRef.ollama("l"), {"OLLAMA_BASE_URL": "http://box:1/"}, "openai", "none", "http://box:1/v1"),
        (ModelRef.ollama("l", api_base="http://box:1/v1"), {}, "openai", "none", "http://box:1/v1"),
        (ModelRef.local("http://box:1/v1"), {}, "openai", "none", "http://box:1/v1"),
    ],
)
def test_a_provider_is_reached_with_its_key_at_its_server(
    ref: ModelRef, environ: dict[str, str], protocol: str, key: str, base: str
) -> None:
    way = route(ref, environ)
    assert (way.provider.prefix, way.api_key, way.api_base) == (protocol, key, base)


@pytest.mark.parametrize(
    ("ref", "variable"),
    [
        (ModelRef.openai("g", api_key_env="K"), "OPENAI_BASE_URL"),
        (ModelRef.anthropic("c", api_key_env="K"), "ANTHROPIC_BASE_URL"),
        (ModelRef.gemini("g", api_key_env="K"), "GEMINI_API_BASE"),
    ],
)
def test_a_variable_moves_a_provider_to_another_server(ref: ModelRef, variable: str) -> None:
    assert route(ref, {"K": "k", variable: "http://proxy/v1"}).api_base == "http://proxy/v1"


def test_a_reference_goes_before_the_variable() -> None:
    ref = ModelRef.openai("g", api_base="http://mine/v1")
    way = route(ref, {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://proxy/v1"})
    assert way.api_base == "http://mine/v1"


@pytest.mark.parametrize("provider", sorted(name for name, row in PROVIDERS.items() if row.keys))
def test_a_missing_key_is_named_before_anything_is_tried(provider: str) -> None:
    with pytest.raises(ProviderUnavailableError, match=f"set {' or '.join(PROVIDERS[provider].keys)} in the env"):
        route(ModelRef(provider, "m"), {})


def test_an_empty_key_is_a_missing_key() -> None:
    with pytest.raises(ProviderUnavailableError, match="set OPENAI_API_KEY in the environment"):
        route(ModelRef.openai("g"), {"OPENAI_API_KEY": " "})


def test_another_server_needs_the_key_too() -> None:
    with pytest.raises(ProviderUnavailableError, match="OPENAI_API_KEY"):
        route(ModelRef.openai("g", api_base="http://proxy/v1"), {})


def test_another_variable_may_hold_the_key() -> None:
    ref = ModelRef.openai("g", api_key_env="PROXY_KEY")
    assert route(ref, {"PROXY_KEY": "p", "OPENAI_API_KEY": "k"}).api_key == "p"
    with pytest.raises(ProviderUnavailableError, match=r'"openai:g" needs a key: set PROXY_KEY in the environment$'):
        route(ref, {"OPENAI_API_KEY": "k"})


def test_a_local_server_gets_no_key_that_was_not_meant_for_it() -> None:
    environ = {"OPENAI_API_KEY": "k", "LOCAL_KEY": "l"}
    assert route(ModelRef.local("http://box/v1"), environ).api_key == "none"
    assert route(ModelRef.local("http://box/v1", api_key_env="LOCAL_KEY"), environ).api_key == "l"


def test_a_local_model_needs_an_address_before_anything_is_asked() -> None:
    with pytest.raises(ConfigError, match='model "local:m" needs api_base'):
        provider_of(ModelRef("local", "m"))


@pytest.mark.parametrize(
    "address", ["notaurl", "box:8080/v1", "ftp://box/v1", "http://", "http:///v1", "http://[box/v1", "http://box:v1"]
)
def test_an_address_that_is_none_is_refused_before_anything_is_asked(address: str) -> None:
    with pytest.raises(ConfigError) as caught:
        provider_of(ModelRef.openai("g", api_base=address))
    assert str(caught.value) == (
        f'model "openai:g": api_base must be an http:// or https:// address, as in "http://127.0.0.1:8080/v1"; '
        f"got {address!r}"
    )


def test_an_address_of_the_environment_that_is_none_is_refused_by_its_variable() -> None:
    with pytest.raises(ConfigError, match=r"OPENAI_BASE_URL must be an http:// or https:// address, .* got 'box/v1'"):
        route(ModelRef.openai("g"), {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "box/v1"})


@pytest.mark.parametrize("address", ["http://127.0.0.1:8080/v1", "HTTPS://box/v1/", "http://[::1]:1/v1"])
def test_an_address_has_a_scheme_and_a_server(address: str) -> None:
    assert provider_of(ModelRef.openai("g", api_base=address)) is PROVIDERS["openai"]


def test_an_unknown_provider_is_refused_with_the_closest_known() -> None:
    with pytest.raises(ConfigError, match=r'unknown provider "antropic"\. Did you mean "anthropic"\?'):
        provider_of(ModelRef("antropic", "claude"))


def test_a_route_shows_no_key() -> None:
    assert "secret" not in repr(route(ModelRef.openai("g"), {"OPENAI_API_KEY": "secret"}))


@pytest.mark.parametrize("name", ["messages", "stream", "api_key", "timeout"])
def test_extensions_that_say_how_to_ask_are_refused_before_anything_is_asked(name: str) -> None:
    ref = ModelRef.openai("gpt-4o", extensions={name: True, "top_p": 0.5})
    with pytest.raises(ConfigError, match=f'model "openai:gpt-4o": extensions must not set "{name}"'):
        provider_of(ref)


def test_an_agent_is_not_made_with_extensions_that_say_how_to_ask() -> None:
    config = AgentConfig(model=ModelRef.openai("gpt-4o"), generation=GenerationConfig(extensions={"stream": True}))
    with pytest.raises(ConfigError, match='extensions must not set "stream"'):
        create_agent(config)


def test_headers_that_are_keys_are_secrets() -> None:
    headers = {
        "Authorization": "Bearer canary-1234",
        "X-Api-Key": "canary-5678",
        "X-Title": "My application",
        "key": "-",
    }
    found = secrets_in(ModelRef.openai("g", extensions={"extra_headers": headers}), {"OPENAI_API_KEY": "canary-9012"})
    assert set(found) == {"Bearer canary-1234", "canary-1234", "canary-5678", "canary-9012"}
    assert secrets_in(ModelRef.openai("g", extensions={"headers": None}), {}) == ()


def test_an_address_holds_no_password_and_a_message_neither() -> None:
    with pytest.raises(ConfigError, match="must hold no user and no password; put a key into the env") as caught:
        provider_of(ModelRef.openai("g", api_base="http://user:canary@host/v1"))
    assert "canary" not in str(caught.value)
