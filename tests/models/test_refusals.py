"""Tests of what a refusal is taken for. What comes of it is tested with servers, in test_chat.py."""

from typing import Any

import pytest

from loom.models.refusals import error_in, of_error, of_status


# Any: JSON.
@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"error": {"message": "no"}}, {"message": "no"}),
        ({"error": "no"}, "no"),
        ([{"error": {"message": "no"}}, {}], {"message": "no"}),
        ({"object": "error", "message": "no"}, {"object": "error", "message": "no"}),
        ({"error": None}, None),
        ({"error": 7}, None),
        ({}, None),
        ([], None),
        ([7], None),
        ("error", None),
        (None, None),
    ],
)
def test_an_error_stands_where_the_protocols_have_it(body: Any, error: Any) -> None:
    assert error_in(body) == error


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"code": 503}, 503),
        ({"code": "429"}, 429),
        ({"code": 42}, 418),
        ({"code": True}, 418),
        ({"type": "overloaded_error"}, 529),
        ({"type": "requests", "code": "rate_limit_exceeded"}, 429),
        ({"status": "UNAVAILABLE"}, 503),
        ({"type": ["odd"]}, 418),
        ({}, 418),
        ("no", 418),
    ],
)
def test_the_kind_of_an_error_is_told_by_its_code_or_its_name(error: Any, status: int) -> None:
    refused = of_error(error, "all of it", 418)
    assert (refused.status, refused.has_status) == (status, False)


def test_an_error_without_words_is_told_as_it_is() -> None:
    assert str(of_error({"code": 503}, "all of it", 400)) == "all of it"
    assert str(of_status(503, "<html>", {})) == "<html>"


def test_a_header_goes_before_the_words() -> None:
    said = '{"error": {"details": [{"retryDelay": "7s"}]}}'
    assert of_status(429, said, {}).wish_s == 7.0
    assert of_status(429, said, {"Retry-After": "3"}).wish_s == 3.0
