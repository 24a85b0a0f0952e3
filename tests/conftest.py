import os

import pytest
from hypothesis import settings

# A deadline per example would measure the machine, not the code.
settings.register_profile("loom", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("loom")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _no_api_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every provider's key away, so that no test can reach a paid model by accident."""
    for name in [name for name in os.environ if name.endswith("_API_KEY")]:
        monkeypatch.delenv(name)
