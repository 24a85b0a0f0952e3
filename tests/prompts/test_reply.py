"""Tests of reading the JSON that a model replied with."""

import re

import pytest
from pydantic import BaseModel

from loom.prompts.reply import read_json


class Point(BaseModel):
    x: int


@pytest.mark.parametrize(
    "text",
    [
        '{"x": 1}',
        ' \n{"x": 1}\n',
        '```json\n{"x": 1}\n```',
        'Here it is:\n```\n{"x": 1}\n```\nThat is all.',
        'I think {"x": 1} is right.',
        '{"x": 1, "note": "```python"}',
    ],
)
def test_the_object_is_found_bare_fenced_or_amid_prose(text: str) -> None:
    assert read_json(text, Point) == Point(x=1)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "the reply has no JSON object"),
        ("No.", "the reply has no JSON object"),
        ('```\n{"x": 1}\n```\n```\n{"x": 2}\n```', "the reply has 2 fenced blocks; expected one JSON object"),
        ('{"x": "one"}', "x: Input should be a valid integer"),
        ("{}", "x: Field required"),
        ('{"x": 1} {"x": 2}', "reply: Invalid JSON"),
        ('{"x": 1', "reply: Invalid JSON"),
    ],
)
def test_a_reply_that_is_not_one_object_of_the_type_is_refused(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        read_json(text, Point)
