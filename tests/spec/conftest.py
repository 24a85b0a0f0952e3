import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Install = Callable[..., None]


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which Python looks for modules and installed packages."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return tmp_path


@pytest.fixture
def install(on_path: Path) -> Install:
    """Return what registers things in a group as an installed package does."""

    def installed(group: str, **values: str) -> None:
        info = on_path / "plug-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plug\nVersion: 1\n")
        lines = [f"[{group}]", *(f"{name} = {value}" for name, value in values.items())]
        (info / "entry_points.txt").write_text("\n".join(lines) + "\n")

    return installed
