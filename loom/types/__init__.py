"""The frozen records that pass between rooms, loaded on first use."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loom.types.content import (
        ContentBlock,
        DocumentBlock,
        ImageBlock,
        MessageContent,
        TextBlock,
        create_document_block_from_file,
        create_image_block_from_file,
        create_image_block_from_url,
        create_text_block,
    )
    from loom.types.contracts import SprintContract, SprintResult, Verdict
    from loom.types.decisions import Decision, ToolRun
    from loom.types.events import Event
    from loom.types.frozen import FrozenDict, FrozenList
    from loom.types.handoff import HandoffArtifact
    from loom.types.knowledge import (
        KnowledgeBundle,
        KnowledgeCitation,
        KnowledgeDocument,
        KnowledgeEvidence,
        KnowledgeEvidenceItem,
        KnowledgeQuery,
        KnowledgeResolver,
        KnowledgeSource,
    )
    from loom.types.messages import Message, Role, ThinkingBlock, ToolCall, ToolResult
    from loom.types.models import Emit, Extensions, Model, ModelRef, ModelReply, ModelRequest, ToolSchema
    from loom.types.outline import Outline, OutlineEdge, OutlineNode, Style
    from loom.types.policy import (
        HookDecision,
        HookOutcome,
        PolicyConfig,
        PolicyContext,
        SafetyEvaluator,
        SafetyRule,
        ToolAccessPolicy,
        ToolPolicy,
        ToolRateLimitPolicy,
    )
    from loom.types.settings import Settings
    from loom.types.stream import (
        DoneEvent,
        ErrorEvent,
        ModelDelta,
        StreamEvent,
        TextDelta,
        ThinkingDelta,
        ToolCallDelta,
        ToolCallEvent,
        ToolResultEvent,
    )
    from loom.types.tools import Tool
    from loom.types.usage import Usage
    from loom.types.validation import ValidationError

__all__ = [
    "ContentBlock",
    "Decision",
    "DocumentBlock",
    "DoneEvent",
    "Emit",
    "ErrorEvent",
    "Event",
    "Extensions",
    "FrozenDict",
    "FrozenList",
    "HandoffArtifact",
    "HookDecision",
    "HookOutcome",
    "ImageBlock",
    "KnowledgeBundle",
    "KnowledgeCitation",
    "KnowledgeDocument",
    "KnowledgeEvidence",
    "KnowledgeEvidenceItem",
    "KnowledgeQuery",
    "KnowledgeResolver",
    "KnowledgeSource",
    "Message",
    "MessageContent",
    "Model",
    "ModelDelta",
    "ModelRef",
    "ModelReply",
    "ModelRequest",
    "Outline",
    "OutlineEdge",
    "OutlineNode",
    "PolicyConfig",
    "PolicyContext",
    "Role",
    "SafetyEvaluator",
    "SafetyRule",
    "Settings",
    "SprintContract",
    "SprintResult",
    "StreamEvent",
    "Style",
    "TextBlock",
    "TextDelta",
    "ThinkingBlock",
    "ThinkingDelta",
    "Tool",
    "ToolAccessPolicy",
    "ToolCall",
    "ToolCallDelta",
    "ToolCallEvent",
    "ToolPolicy",
    "ToolRateLimitPolicy",
    "ToolResult",
    "ToolResultEvent",
    "ToolRun",
    "ToolSchema",
    "Usage",
    "ValidationError",
    "Verdict",
    "create_document_block_from_file",
    "create_image_block_from_file",
    "create_image_block_from_url",
    "create_text_block",
]

_HOMES = {
    "ContentBlock": "content",
    "Decision": "decisions",
    "DocumentBlock": "content",
    "DoneEvent": "stream",
    "Emit": "models",
    "ErrorEvent": "stream",
    "Event": "events",
    "Extensions": "models",
    "FrozenDict": "frozen",
    "FrozenList": "frozen",
    "HandoffArtifact": "handoff",
    "HookDecision": "policy",
    "HookOutcome": "policy",
    "ImageBlock": "content",
    "KnowledgeBundle": "knowledge",
    "KnowledgeCitation": "knowledge",
    "KnowledgeDocument": "knowledge",
    "KnowledgeEvidence": "knowledge",
    "KnowledgeEvidenceItem": "knowledge",
    "KnowledgeQuery": "knowledge",
    "KnowledgeResolver": "knowledge",
    "KnowledgeSource": "knowledge",
    "Message": "messages",
    "MessageContent": "content",
    "Model": "models",
    "ModelDelta": "stream",
    "ModelRef": "models",
    "ModelReply": "models",
    "ModelRequest": "models",
    "Outline": "outline",
    "OutlineEdge": "outline",
    "OutlineNode": "outline",
    "PolicyConfig": "policy",
    "PolicyContext": "policy",
    "Role": "messages",
    "SafetyEvaluator": "policy",
    "SafetyRule": "policy",
    "Settings": "settings",
    "SprintContract": "contracts",
    "SprintResult": "contracts",
    "StreamEvent": "stream",
    "Style": "outline",
    "TextBlock": "content",
    "TextDelta": "stream",
    "ThinkingBlock": "messages",
    "ThinkingDelta": "stream",
    "Tool": "tools",
    "ToolAccessPolicy": "policy",
    "ToolCall": "messages",
    "ToolCallDelta": "stream",
    "ToolCallEvent": "stream",
    "ToolPolicy": "policy",
    "ToolRateLimitPolicy": "policy",
    "ToolResult": "messages",
    "ToolResultEvent": "stream",
    "ToolRun": "decisions",
    "ToolSchema": "models",
    "Usage": "usage",
    "ValidationError": "validation",
    "Verdict": "contracts",
    "create_document_block_from_file": "content",
    "create_image_block_from_file": "content",
    "create_image_block_from_url": "content",
    "create_text_block": "content",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f'module "loom.types" has no name "{name}"')
    value: object = getattr(import_module(f"loom.types.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
