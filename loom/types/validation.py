"""Which images and documents providers take: formats and sizes. Reads a file's size, never its content."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from loom.errors import ConfigError, quoted, short

MediaProvider = Literal["anthropic", "openai", "gemini"]
ImageType = Literal["image/png", "image/jpeg", "image/gif", "image/webp"]
DocumentType = Literal["application/pdf"]

# Bytes of one file, before it is encoded.
ANTHROPIC_IMAGE_SIZE_LIMIT = 5 * 1024 * 1024
OPENAI_IMAGE_SIZE_LIMIT = 20 * 1024 * 1024
GEMINI_IMAGE_SIZE_LIMIT = 4 * 1024 * 1024
ANTHROPIC_PDF_SIZE_LIMIT = 32 * 1024 * 1024

SUPPORTED_IMAGE_FORMATS = ("image/gif", "image/jpeg", "image/png", "image/webp")
SUPPORTED_DOCUMENT_FORMATS = ("application/pdf",)

EXTENSIONS: Mapping[str, str] = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".pdf": "application/pdf",
}

_IMAGE_LIMITS: Mapping[str, int] = {
    "anthropic": ANTHROPIC_IMAGE_SIZE_LIMIT,
    "openai": OPENAI_IMAGE_SIZE_LIMIT,
    "gemini": GEMINI_IMAGE_SIZE_LIMIT,
}
_DOCUMENT_LIMITS: Mapping[str, int] = {"anthropic": ANTHROPIC_PDF_SIZE_LIMIT}

# The vocabulary's own name for what is wrong with a file.
ValidationError = ConfigError


def validate_image_file(file_path: str | Path, provider: MediaProvider = "anthropic") -> None:
    """Check that `provider` takes the image in a file, by its extension and size.

    Raises:
        ConfigError: it does not, or there is no such file.
    """
    _check_file(file_path, provider, "image", SUPPORTED_IMAGE_FORMATS, _IMAGE_LIMITS)


def validate_document_file(file_path: str | Path, provider: MediaProvider = "anthropic") -> None:
    """Check that `provider` takes the document in a file, by its extension and size.

    Raises:
        ConfigError: it does not, or there is no such file.
    """
    _check_file(file_path, provider, "document", SUPPORTED_DOCUMENT_FORMATS, _DOCUMENT_LIMITS)


def validate_media_type(media_type: str, content_type: Literal["image", "document"]) -> None:
    """Check that `media_type` is one that an image or a document may have.

    Raises:
        ConfigError: it is not.
    """
    formats = SUPPORTED_IMAGE_FORMATS if content_type == "image" else SUPPORTED_DOCUMENT_FORMATS
    if media_type not in formats:
        raise ConfigError(f'the media type of this {content_type} is one of {quoted(formats)}, got "{media_type}"')


def _check_file(
    file_path: object, provider: object, content_type: str, formats: tuple[str, ...], limits: Mapping[str, int]
) -> None:
    if not isinstance(file_path, str | Path):
        got = f"got {type(file_path).__name__}: {short(file_path)}"
        raise ConfigError(f"{content_type}: its file must be a path; {got}")
    path = Path(file_path)
    if not isinstance(provider, str) or provider not in limits:
        raise ConfigError(f'{content_type} "{path}": provider must be one of {quoted(limits)}, got "{provider}"')
    if EXTENSIONS.get(path.suffix.lower()) not in formats:
        extensions = [extension for extension, media_type in EXTENSIONS.items() if media_type in formats]
        raise ConfigError(f'{content_type} "{path}" must end in one of {quoted(extensions)}, got "{path.suffix}"')
    if not path.is_file():
        raise ConfigError(f'{content_type} "{path}": there is no such file')
    if (size := path.stat().st_size) > (limit := limits[provider]):
        raise ConfigError(
            f'{content_type} "{path}" has {size / 2**20:.1f} MB, but "{provider}" takes at most {limit / 2**20:g} MB'
        )
