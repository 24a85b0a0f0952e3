"""What a message may hold besides plain text: blocks of text, images and documents."""

from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from loom.errors import ConfigError, quoted, short
from loom.types.frozen import FrozenTexts
from loom.types.validation import (
    EXTENSIONS,
    DocumentType,
    ImageType,
    MediaProvider,
    validate_document_file,
    validate_image_file,
    validate_media_type,
)

# The keys of a source, by its type.
SOURCES: Mapping[str, frozenset[str]] = {
    "base64": frozenset({"type", "media_type", "data"}),
    "url": frozenset({"type", "url"}),
}


def _sourced(source: dict[str, str]) -> dict[str, str]:
    keys = SOURCES.get(source.get("type", ""))
    if keys is None:
        raise ConfigError(f'source must have a "type" of {quoted(SOURCES)}, got {short(source.get("type"))}')
    if source.keys() != keys:
        raise ConfigError(f'a source of type "{source["type"]}" has {quoted(keys)}, got {quoted(source)}')
    return source


class TextBlock(BaseModel):
    """A piece of text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["text"] = "text"
    text: str = ""


class ImageBlock(BaseModel):
    """An image.

    `source` is `{"type": "base64", "media_type": "image/png", "data": …}` or `{"type": "url", "url": …}`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["image"] = "image"
    source: FrozenTexts

    @field_validator("source")
    @classmethod
    def _complete(cls, source: FrozenTexts) -> FrozenTexts:
        return _sourced(source)


class DocumentBlock(BaseModel):
    """A document. `source` is as an image's, with media type `application/pdf`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["document"] = "document"
    source: FrozenTexts

    @field_validator("source")
    @classmethod
    def _complete(cls, source: FrozenTexts) -> FrozenTexts:
        return _sourced(source)


ContentBlock = Annotated[TextBlock | ImageBlock | DocumentBlock, Field(discriminator="type")]
MessageContent = str | tuple[ContentBlock, ...]


def text_of(content: MessageContent) -> str:
    """Return the text in `content`: each text block's on lines of its own; images and documents have none."""
    if isinstance(content, str):
        return content
    return "\n".join(block.text for block in content if isinstance(block, TextBlock))


def create_text_block(text: str) -> TextBlock:
    """Return a block of text."""
    return TextBlock(text=text)


def create_image_block_from_file(
    file_path: str | Path,
    media_type: ImageType | None = None,
    validate: bool = True,
    provider: MediaProvider = "anthropic",
) -> ImageBlock:
    """Return the image in a file. `media_type` is told from the file's extension where it is left out.

    Raises:
        ConfigError: the file cannot be read; or, unless `validate` is off, it is no PNG, JPEG, GIF or WebP by its
            extension, is said to be another type than that, or is larger than `provider` takes.
    """
    if validate:
        validate_image_file(file_path, provider)
    found = _media_type(file_path, media_type, "image/png", check=validate)
    validate_media_type(found, "image")
    return ImageBlock(source=_inline(file_path, found))


def create_image_block_from_url(url: str) -> ImageBlock:
    """Return an image that the provider fetches itself.

    Raises:
        ConfigError: `url` is no `http://` or `https://` address.
    """
    if not url.startswith(("https://", "http://")):
        raise ConfigError(f'an image\'s URL must begin with "https://" or "http://", got {url!r:.200}')
    return ImageBlock(source={"type": "url", "url": url})


def create_document_block_from_file(
    file_path: str | Path,
    media_type: DocumentType = "application/pdf",
    validate: bool = True,
    provider: MediaProvider = "anthropic",
) -> DocumentBlock:
    """Return the document in a file.

    Raises:
        ConfigError: the file cannot be read; or, unless `validate` is off, it is no PDF by its extension, is larger
            than `provider` takes, or `provider` takes none.
    """
    if validate:
        validate_document_file(file_path, provider)
    validate_media_type(media_type, "document")
    return DocumentBlock(source=_inline(file_path, media_type))


def _media_type(file_path: str | Path, given: str | None, fallback: str, *, check: bool) -> str:
    by_name = EXTENSIONS.get(Path(file_path).suffix.lower())
    if check and given is not None and by_name is not None and given != by_name:
        raise ConfigError(f'"{file_path}" is {by_name} by its extension, but media_type is "{given}": leave it out')
    return given or by_name or fallback


def _inline(file_path: str | Path, media_type: str) -> dict[str, str]:
    try:
        content = Path(file_path).read_bytes()
    except OSError as error:
        raise ConfigError(f'"{file_path}" cannot be read: {error.strerror or error}') from error
    return {"type": "base64", "media_type": media_type, "data": b64encode(content).decode("ascii")}
