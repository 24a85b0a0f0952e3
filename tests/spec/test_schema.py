import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from loom.spec.schema import schema
from tests.spec.corpus import GRAPHS

# Any, in this module: specs.

PUBLISHED = Path(__file__).parents[2] / "docs" / "graph.schema.json"


def fits(spec: Any, form: dict[str, Any]) -> bool:
    judge: Any = Draft202012Validator(form)
    return not list(judge.iter_errors(spec))


def test_the_published_schema_is_that_of_the_records(request: pytest.FixtureRequest) -> None:
    wanted = json.dumps(schema(), indent=2) + "\n"
    if request.config.getoption("update_snapshots"):
        PUBLISHED.write_text(wanted)
    assert PUBLISHED.read_text() == wanted


@pytest.mark.parametrize("settings", [False, True])
@pytest.mark.parametrize("name", GRAPHS)
def test_every_spec_that_is_written_fits_the_schema(name: str, settings: bool) -> None:
    assert fits(GRAPHS[name]().to_spec(), schema(settings=settings))


@pytest.mark.parametrize(
    ("node", "is_right"),
    [
        ({"type": "reason", "settings": {"model": {"provider": "p", "name": "n"}}}, True),
        ({"type": "reason", "settings": {"model": {"provider": "p", "name": "n"}, "temprature": 1}}, False),
        ({"type": "reason", "settings": {"model": {"provider": "p"}}}, False),
        ({"type": "reason"}, False),
        ({"type": "veto"}, True),
        ({"type": "shop.nodes:Own", "settings": {"anything": 1}}, True),
    ],
)
def test_the_schema_with_settings_knows_those_of_registered_types(node: dict[str, Any], is_right: bool) -> None:
    spec = {"name": "g", "state": "agent", "nodes": [{"name": "x", **node}]}
    assert fits(spec, schema(settings=True)) == is_right
    assert fits(spec, schema())


@pytest.mark.parametrize(
    "part",
    [
        {"nods": []},
        {"version": 2},
        {"nodes": [{"name": "x"}]},
        {"edges": [{"edge": ["a"]}]},
        {"edges": [{"switch": "a", "ways": [{"to": "b"}]}]},
    ],
)
def test_another_form_does_not_fit(part: dict[str, Any]) -> None:
    assert not fits({"name": "g", "state": "agent", **part}, schema())
