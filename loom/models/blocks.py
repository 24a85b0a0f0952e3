"""Content blocks in the form of OpenAI's chat protocol, which litellm turns into each provider's own. No I/O."""

from collections.abc import Iterator, Sequence
from typing import Any

from loom.errors import ConfigError, ProviderError
from loom.models.providers import Provider
from loom.types.content import ContentBlock, DocumentBlock, ImageBlock, MessageContent, TextBlock, text_of
from loom.types.messages import Message

# Any: JSON on its way out.
Json = dict[str, Any]


def wire_content(content: MessageContent, provider: Provider) -> str | list[Json]:
    """Return what stands under "content". Raises `ConfigError` for a URL that the provider does not fetch itself."""
    if isinstance(content, str):
        return content
    return [_part(block, provider) for block in content]


def readable(messages: Sequence[Message], provider: Provider) -> Iterator[Message]:
    """Yield the messages as the provider can read them: where a tool's result is text alone, files follow it.

    They come as a message of the user's after all results of the turn, which must not be parted. Texts without a word
    are left out where the provider refuses them. Raises `ProviderError` for a prompt that has no other.
    """
    held: list[ContentBlock] = []
    for message in _with_words(messages, provider) if provider.refuses else messages:
        if held and message.role != "tool":
            yield Message(role="user", content=tuple(held))
            held = []
        if provider.tool_files or message.role != "tool" or isinstance(message.content, str):
            yield message
            continue
        files = [block for block in message.content if not isinstance(block, TextBlock)]
        text = text_of(message.content)
        if files:
            note = f"[{len(files)} of its files: see the next message of the user]"
            text = f"{text}\n{note}" if text else note
            held += [TextBlock(text=f"[files of the tool result {message.tool_call_id}]"), *files]
        yield message.model_copy(update={"content": text})
    if held:
        yield Message(role="user", content=tuple(held))


def _with_words(messages: Sequence[Message], provider: Provider) -> Iterator[Message]:
    """Yield the messages without texts that the provider refuses, and without turns that are nothing else."""
    for number, message in enumerate(messages, start=1):
        content = _worded(message.content, provider)
        if content or message.tool_calls or message.role == "tool":
            yield message if content == message.content else message.model_copy(update={"content": content})
        elif message.role == "user":
            raise ProviderError(
                f'a server of protocol "{provider.prefix}" takes no user\'s message without text: '
                f"message {number} of {len(messages)} is empty; say something"
            )


def _worded(content: MessageContent, provider: Provider) -> MessageContent:
    if isinstance(content, str):
        return "" if _is_refused(content, provider) else content
    blocks = (block for block in content if not (isinstance(block, TextBlock) and _is_refused(block.text, provider)))
    return tuple(blocks) or ""


def _is_refused(text: str, provider: Provider) -> bool:
    return not (text.strip() if provider.refuses == "blank" else text)


def _part(block: ContentBlock, provider: Provider) -> Json:
    match block:
        case TextBlock():
            return {"type": "text", "text": block.text}
        case ImageBlock():
            return {"type": "image_url", "image_url": {"url": _url(block, provider)}}
        case DocumentBlock() if block.source["type"] == "url":
            # litellm's way to say that a file is fetched by Anthropic; nobody else does.
            return {"type": "file", "file": {"file_id": _url(block, provider)}}
        case DocumentBlock():
            return {"type": "file", "file": {"filename": "document.pdf", "file_data": _url(block, provider)}}


def _url(block: ImageBlock | DocumentBlock, provider: Provider) -> str:
    source = block.source
    if source["type"] == "base64":
        return f"data:{source['media_type']};base64,{source['data']}"
    schemes = provider.fetches_images if block.type == "image" else provider.fetches_documents
    if not source["url"].startswith(schemes):
        # litellm would fetch it here, in this process, whatever address it is.
        known = " or ".join(schemes)
        takes = f"fetches {block.type}s only from {known} addresses" if schemes else f"fetches no {block.type}s"
        raise ConfigError(
            f'{block.type} "{source["url"]:.200}": a server of protocol "{provider.prefix}" {takes}; '
            f"send it inline, as create_{block.type}_block_from_file does"
        )
    return source["url"]
