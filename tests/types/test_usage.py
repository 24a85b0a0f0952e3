from hypothesis import given
from hypothesis import strategies as st

from loom.types.usage import Usage

tokens = st.integers(0, 10**9)
usages = st.builds(Usage, input_tokens=tokens, output_tokens=tokens, cached_tokens=tokens, cost_usd=st.none())


def test_usage_adds_up() -> None:
    first = Usage(input_tokens=10, output_tokens=5, cached_tokens=4, cost_usd=0.5)
    second = Usage(input_tokens=1, output_tokens=2, cached_tokens=0, cost_usd=0.25)
    assert first + second == Usage(input_tokens=11, output_tokens=7, cached_tokens=4, cost_usd=0.75)


def test_an_unknown_cost_makes_the_sum_unknown() -> None:
    assert (Usage(cost_usd=0.5) + Usage(cost_usd=None)).cost_usd is None
    assert (Usage(cost_usd=None) + Usage(cost_usd=0.5)).cost_usd is None


def test_total_counts_cached_tokens_once() -> None:
    assert Usage(input_tokens=10, output_tokens=5, cached_tokens=4).total_tokens == 15


@given(usages, usages, usages)
def test_the_order_of_adding_does_not_matter(first: Usage, second: Usage, third: Usage) -> None:
    assert (first + second) + third == third + (second + first)


@given(usages)
def test_nothing_used_changes_nothing(usage: Usage) -> None:
    assert usage + Usage() == usage
