import re
from pathlib import Path
from typing import get_args

from typer.testing import CliRunner

from loom.cli.commands import cli
from loom.cli.options import Format, Status
from loom.core.result import Status as RunStatus
from loom.draw.picture import Format as Drawn

REFERENCE = Path(__file__).parents[2] / "docs" / "cli.md"


def test_the_choices_are_those_of_the_engine() -> None:
    assert tuple(Format) == get_args(Drawn)
    assert tuple(Status) == get_args(RunStatus)


def test_every_option_is_in_the_reference() -> None:
    text = REFERENCE.read_text()
    for command in ("run", "resume", "runs", "show", "render", "check"):
        assert f"loom {command}" in text
        shown = CliRunner().invoke(cli, [command, "--help"]).stdout
        options = {
            option for line in re.findall(r"(?m)^│ +(--[a-z-]+)(?: +(-[a-z]))?", shown) for option in line if option
        }
        assert len(options) >= 5
        assert {option for option in options if option not in text} == {"--help", "-h"}
