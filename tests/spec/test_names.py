import pytest

from loom import RateLimitError, SpecError
from loom.graphs.agent import AgentState
from loom.nodes.act import Act
from loom.spec.names import Role, flaw_in, load_name, name_for
from loom.spec.paths import Allowed
from tests.spec.corpus import Drafter, OwnError, Words, is_good, left

HERE = Allowed(("tests.spec", "loom"))
NOTHING = Allowed(())


@pytest.mark.parametrize(
    ("role", "thing", "name"),
    [
        ("state", AgentState, "agent"),
        ("state", Words, "tests.spec.corpus:Words"),
        ("node", Act, "act"),
        ("node", left, "tests.spec.corpus:left"),
        ("node", Drafter, "tests.spec.corpus:Drafter"),
        ("condition", is_good, "tests.spec.corpus:is_good"),
        ("exception", TimeoutError, "TimeoutError"),
        ("exception", RateLimitError, "RateLimitError"),
        ("exception", OwnError, "tests.spec.corpus:OwnError"),
    ],
)
def test_a_thing_has_the_shortest_name_that_leads_back_to_it(role: Role, thing: object, name: str) -> None:
    assert name_for(role, thing) == name
    assert load_name(role, name, HERE) is thing
    assert bool(flaw_in(role, name, NOTHING)) == (":" in name)


@pytest.mark.parametrize(
    ("role", "name", "said"),
    [
        (
            "state",
            "agnet",
            r'no state "agnet" is registered; .* Did you mean "agent"\? One of your own is named by its',
        ),
        ("node", "os.system", 'no node type "os.system" is registered'),
        ("condition", "is_good", 'got "is_good", expected a path of the form'),
        ("exception", "Timeout", r'no exception "Timeout" of Python or Loom. Did you mean "TimeoutError"\?'),
        ("exception", "KeyboardInterrupt", 'no exception "KeyboardInterrupt"'),
        ("state", "tests.spec.corpus:left", "expected a subclass of State"),
        ("node", "tests.spec.corpus:is_good", "expected a subclass of Node, or a function made a node by @node"),
        ("node", "tests.spec.corpus:Words", "expected a subclass of Node"),
        ("condition", "tests.spec.corpus:Words", "expected a function"),
        ("exception", "tests.spec.corpus:Words", "expected a subclass of Exception"),
    ],
)
def test_a_name_of_something_else_is_refused(role: Role, name: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        load_name(role, name, HERE)
