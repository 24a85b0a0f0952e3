import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from loom import ConfigError, SpecError
from loom.spec.paths import Allowed, path_of
from tests.spec.corpus import Outer, Words, is_good, left, made_of_a_function


@pytest.fixture
def shop(on_path: Path) -> Generator[Path]:
    """A package on the path; the file that shows that it was imported."""
    package, mark = on_path / "spec_shop", on_path / "imported"
    package.mkdir()
    (package / "__init__.py").write_text(f"from pathlib import Path\n\nPath({str(mark)!r}).touch()\n")
    (package / "review.py").write_text(
        "import os\nfrom subprocess import run\n\n\ndef good(score: float) -> bool:\n    return score > 1\n"
    )
    (package / "broken.py").write_text("1 / 0\n")
    (package / "lacking.py").write_text("import spec_shop_that_is_not_there\n")
    yield mark
    for name in [name for name in sys.modules if name.startswith("spec_shop")]:
        del sys.modules[name]


def test_a_path_leads_to_what_stands_there(shop: Path) -> None:
    found = Allowed(("spec_shop",)).load("spec_shop.review:good")
    assert (found.__name__, shop.exists()) == ("good", True)
    assert Allowed(("tests.spec",)).load("tests.spec.corpus:Outer.Nested") is Outer.Nested


@pytest.mark.parametrize(
    "prefixes", [(), ("spec",), ("spec_sho",), ("spec_shop.rev",), ("spec_shop.review.good",), ("review",)]
)
def test_a_prefix_is_of_whole_parts_and_nothing_else_is_imported(shop: Path, prefixes: tuple[str, ...]) -> None:
    with pytest.raises(SpecError, match=r"must not be imported: (no module is allowed|allowed are)"):
        Allowed(prefixes).load("spec_shop.review:good")
    assert not shop.exists()
    assert "spec_shop" not in sys.modules


@pytest.mark.parametrize("path", ["spec_shop.review:os.system", "spec_shop.review:run", "spec_shop.review:os"])
def test_what_an_allowed_module_imported_itself_does_not_come_with_it(shop: Path, path: str) -> None:
    with pytest.raises(SpecError, match=r"is defined in|does not say where it is defined"):
        Allowed(("spec_shop",)).load(path)


@pytest.mark.parametrize(
    "path", ["", "spec_shop", "spec_shop:", ":x", "..a:b", "a..b:c", "a:b:c", "a b:c", "a/b:c", "a:b()"]
)
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(SpecError, match="expected a path of the form"):
        Allowed(("a", "spec_shop")).load(path)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("spec_shop.reviw:good", 'there is no module "spec_shop.reviw"'),
        ("spec_shop.review:god", r'"spec_shop.review:god" does not exist. Did you mean "good"\?'),
        ("spec_shop.broken:x", 'importing "spec_shop.broken" raised ZeroDivisionError: division by zero'),
        ("spec_shop.lacking:x", 'importing "spec_shop.lacking" raised ModuleNotFoundError: No module named'),
    ],
)
def test_what_goes_wrong_on_the_way_is_told(shop: Path, path: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        Allowed(("spec_shop",)).load(path)


@pytest.mark.parametrize("allow", ["spec_shop", ("",), ("spec_shop.",), (3,), ("a:b",), 5])
def test_a_prefix_that_names_no_module_is_refused(allow: object) -> None:
    with pytest.raises(ConfigError, match="allow must"):
        Allowed(allow)  # type: ignore[arg-type]  # what a caller who checks no types may give


def test_the_path_of_a_thing_leads_back_to_it() -> None:
    for thing in (left, is_good, Words, Outer.Nested):
        assert Allowed(("tests",)).load(path_of(thing)) is thing


def test_a_node_made_of_a_function_is_found_by_its_own_name() -> None:
    assert path_of(made_of_a_function) == "tests.spec.corpus:made_of_a_function"
    assert path_of(made_of_a_function.fn) == "tests.spec.corpus:a_function"


def test_what_stands_nowhere_has_no_path() -> None:
    def inside() -> None: ...

    assert [path_of(one) for one in (inside, lambda: 1, 3, "text", type("Gone", (), {}))] == [""] * 5
