"""Tests of pages as text."""

import time

import pytest

from loom.tools.builtin.pages import text_of_page


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<p>One</p><p>two <b>three</b>\n four</p>", "One\n\ntwo three four"),
        ("<html><head><title>A &amp; B</title><style>p{}</style></head><body><h1>Hi</h1></body>", "A & B\n\nHi"),
        ("<title>Same</title><h1>Same</h1>x", "Same\nx"),
        ("a<br>b<br/>c<li>d", "a\nb\nc\nd"),
        ("<script>if (a < b) alert('</p>')</SCRIPT>after<!-- hidden > --> all", "after all"),
        ("1 < 2 &lt; 3 &eacute; &#x1F34E;", "1 < 2 < 3 é 🍎"),
        ("<!doctype html><?php x ?>x", "x"),
        ("<SVG><text>no</text></svg>yes<noscript>no</noscript>", "yes"),
        ("open <a href='x'>link</a>, <unknown-tag>x</unknown-tag>", "open link,\nx"),
        ("cut <script>never closed", "cut"),
        ("cut <!-- never closed", "cut"),
        ("cut <a href=", "cut"),
        ("", ""),
    ],
)  # fmt: skip
def test_a_page_is_what_its_readers_see(page: str, text: str) -> None:
    assert text_of_page(page) == text


@pytest.mark.parametrize(
    "piece", ["<", "<a", "<!--", "<script>", "</", "&amp", "<title>", "<title", "<a ", "\n", " \n", "<p>"]
)
def test_no_page_takes_long(piece: str) -> None:
    began = time.monotonic()
    text_of_page(piece * (1_000_000 // len(piece)))
    assert time.monotonic() - began < 10  # it would be hours
