"""Tests of content blocks."""

from base64 import b64decode
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from loom.errors import ConfigError
from loom.types.content import (
    DocumentBlock,
    ImageBlock,
    MessageContent,
    TextBlock,
    create_document_block_from_file,
    create_image_block_from_file,
    create_image_block_from_url,
    create_text_block,
    text_of,
)

CONTENT: TypeAdapter[MessageContent] = TypeAdapter(MessageContent)


def file(folder: Path, name: str, content: bytes = b"\x89PNG pixels") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def test_an_image_file_becomes_a_block_that_holds_it(tmp_path: Path) -> None:
    block = create_image_block_from_file(file(tmp_path, "a.png"))
    assert (block.type, block.source["type"], block.source["media_type"]) == ("image", "base64", "image/png")
    assert b64decode(block.source["data"]) == b"\x89PNG pixels"


@pytest.mark.parametrize(
    ("name", "media_type"),
    [("a.JPG", "image/jpeg"), ("a.jpeg", "image/jpeg"), ("a.gif", "image/gif"), ("a.webp", "image/webp")],
)
def test_an_image_is_of_the_type_its_extension_says(tmp_path: Path, name: str, media_type: str) -> None:
    assert create_image_block_from_file(str(file(tmp_path, name))).source["media_type"] == media_type


def test_an_image_is_not_said_to_be_of_another_type_than_it_is(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'a\.jpg" is image/jpeg by its extension, but media_type is "image/png"'):
        create_image_block_from_file(file(tmp_path, "a.jpg"), media_type="image/png")


def test_an_unvalidated_image_is_what_it_is_said_to_be(tmp_path: Path) -> None:
    block = create_image_block_from_file(file(tmp_path, "pixels"), media_type="image/webp", validate=False)
    assert block.source["media_type"] == "image/webp"
    assert create_image_block_from_file(file(tmp_path, "pixels"), validate=False).source["media_type"] == "image/png"


def test_a_pdf_file_becomes_a_block_that_holds_it(tmp_path: Path) -> None:
    block = create_document_block_from_file(file(tmp_path, "a.pdf", b"%PDF"))
    assert block == DocumentBlock(source={"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="})


def test_a_file_that_is_not_there_is_named_even_when_nothing_is_validated(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'gone\.png" cannot be read: No such file'):
        create_image_block_from_file(tmp_path / "gone.png", validate=False)


def test_an_image_may_be_at_a_web_address() -> None:
    block = create_image_block_from_url("https://example.com/a.png")
    assert block == ImageBlock(source={"type": "url", "url": "https://example.com/a.png"})


@pytest.mark.parametrize("url", ["file:///etc/passwd", "", "a.png"])
def test_an_address_that_is_not_on_the_web_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match='must begin with "https://" or "http://"'):
        create_image_block_from_url(url)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ({}, 'a "type" of "base64", "url", got None'),
        ({"type": "file"}, 'a "type" of "base64", "url", got \'file\''),
        ({"type": "base64", "data": ""}, 'of type "base64" has "data", "media_type", "type", got "data", "type"'),
        ({"type": "url", "url": "", "data": ""}, 'of type "url" has "type", "url", got "data", "type", "url"'),
    ],
)
def test_a_source_that_no_provider_could_read_is_refused(source: dict[str, str], why: str) -> None:
    for block in (ImageBlock, DocumentBlock):
        with pytest.raises(ValidationError) as caught:
            block(source=source)
        assert why in str(caught.value)


def test_the_text_of_content_is_that_of_its_text_blocks() -> None:
    image = create_image_block_from_url("https://example.com/a.png")
    assert text_of("plain") == "plain"
    assert text_of((create_text_block("see"), image, TextBlock(text="this"))) == "see\nthis"
    assert text_of((image,)) == ""


def test_content_reads_back_from_json_block_by_block() -> None:
    content = (create_text_block("see"), create_image_block_from_url("https://example.com/a.png"))
    assert CONTENT.validate_json(CONTENT.dump_json(content)) == content
    assert CONTENT.validate_json(CONTENT.dump_json("plain")) == "plain"
