"""Tests of what providers take."""

from pathlib import Path
from typing import Any

import pytest

from loom.errors import ConfigError
from loom.types.validation import (
    ANTHROPIC_PDF_SIZE_LIMIT,
    GEMINI_IMAGE_SIZE_LIMIT,
    MediaProvider,
    ValidationError,
    validate_document_file,
    validate_image_file,
    validate_media_type,
)


def sized(folder: Path, name: str, size: int) -> Path:
    path = folder / name
    with path.open("wb") as file:
        file.truncate(size)
    return path


@pytest.mark.parametrize(("provider", "megabytes"), [("anthropic", 5), ("openai", 20), ("gemini", 4)])
def test_an_image_may_be_as_large_as_the_provider_says(tmp_path: Path, provider: MediaProvider, megabytes: int) -> None:
    limit = megabytes * 1024 * 1024
    validate_image_file(sized(tmp_path, "a.png", limit), provider)
    with pytest.raises(ConfigError, match=rf'has {megabytes}\.0 MB, but "{provider}" takes at most {megabytes} MB'):
        validate_image_file(sized(tmp_path, "a.png", limit + 1), provider)


def test_a_pdf_may_be_of_32_megabytes_at_anthropic(tmp_path: Path) -> None:
    validate_document_file(sized(tmp_path, "a.pdf", ANTHROPIC_PDF_SIZE_LIMIT))
    with pytest.raises(ConfigError, match=r'a\.pdf" has 32\.0 MB, but "anthropic" takes at most 32 MB'):
        validate_document_file(sized(tmp_path, "a.pdf", ANTHROPIC_PDF_SIZE_LIMIT + 1))


@pytest.mark.parametrize("provider", ["openai", "gemini"])
def test_only_anthropic_takes_documents(tmp_path: Path, provider: MediaProvider) -> None:
    with pytest.raises(ConfigError, match=f'provider must be one of "anthropic", got "{provider}"'):
        validate_document_file(sized(tmp_path, "a.pdf", 1), provider)


@pytest.mark.parametrize("name", ["a.bmp", "a.pdf", "a"])
def test_a_file_that_is_no_image_by_its_extension_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r'must end in one of "\.gif", "\.jpeg", "\.jpg", "\.png", "\.webp"'):
        validate_image_file(sized(tmp_path, name, 1))


def test_a_file_that_is_no_pdf_by_its_extension_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'must end in one of "\.pdf", got "\.png"'):
        validate_document_file(sized(tmp_path, "a.png", 1))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'gone\.png": there is no such file'):
        validate_image_file(tmp_path / "gone.png")


def test_a_media_type_is_one_of_those_supported() -> None:
    validate_media_type("image/webp", "image")
    validate_media_type("application/pdf", "document")
    with pytest.raises(ConfigError, match='this document is one of "application/pdf", got "image/png"'):
        validate_media_type("image/png", "document")


def test_what_is_wrong_with_a_file_goes_by_the_name_that_users_know(tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        validate_image_file(sized(tmp_path, "a.png", GEMINI_IMAGE_SIZE_LIMIT + 1), "gemini")


def test_what_is_no_path_or_provider_is_refused(tmp_path: Path) -> None:
    odd: Any = 3
    with pytest.raises(ConfigError, match="image: its file must be a path; got int: 3"):
        validate_image_file(odd)
    odd = ["anthropic"]
    with pytest.raises(ConfigError, match="provider must be one of"):
        validate_document_file(tmp_path / "a.pdf", odd)
