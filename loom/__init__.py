"""Loom: declarative dataflow graphs for long-running agents.

Every name of `__all__` is loaded from its home on first use, so `import loom` costs next to
nothing and pulls in no model client.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loom.agent import Agent, create_agent
    from loom.checkpoint.memory import MemoryCheckpointer
    from loom.checkpoint.sqlite import SqliteCheckpointer
    from loom.config import AgentConfig, GenerationConfig, KnowledgeDocument, KnowledgeQuery, KnowledgeSource
    from loom.core.context import Context
    from loom.core.declared import END, START
    from loom.core.graph import Graph
    from loom.core.node import Node, node
    from loom.core.result import Ask, Checkpoint, GraphResult, Result
    from loom.core.runtime import Cache, Limits, Retry, Runtime
    from loom.core.state import Reducer, State, add, append, merge
    from loom.errors import (
        AnswerError,
        Change,
        CheckpointError,
        ConfigError,
        ContextError,
        ContextOverflowError,
        EffectError,
        GraphChangedError,
        GraphError,
        LoomError,
        NodeError,
        NoEdgeError,
        Problem,
        PromptError,
        ProviderError,
        ProviderUnavailableError,
        RateLimitError,
        RunConflictError,
        RunError,
        RunExistsError,
        RunNotFoundError,
        SpecError,
        ToolError,
        ToolExecutionError,
        ToolNotFoundError,
        ToolPermissionError,
        VetoError,
    )
    from loom.orchestration import AgentHarness, HarnessResult
    from loom.runtime.records import RunContext, SessionConfig
    from loom.spec.load import load
    from loom.tools.tool import tool
    from loom.types.models import ModelRef

__version__ = "0.1.0"

__all__ = [
    "END",
    "START",
    "Agent",
    "AgentConfig",
    "AgentHarness",
    "AnswerError",
    "Ask",
    "Cache",
    "Change",
    "Checkpoint",
    "CheckpointError",
    "ConfigError",
    "Context",
    "ContextError",
    "ContextOverflowError",
    "EffectError",
    "GenerationConfig",
    "Graph",
    "GraphChangedError",
    "GraphError",
    "GraphResult",
    "HarnessResult",
    "KnowledgeDocument",
    "KnowledgeQuery",
    "KnowledgeSource",
    "Limits",
    "LoomError",
    "MemoryCheckpointer",
    "ModelRef",
    "NoEdgeError",
    "Node",
    "NodeError",
    "Problem",
    "PromptError",
    "ProviderError",
    "ProviderUnavailableError",
    "RateLimitError",
    "Reducer",
    "Result",
    "Retry",
    "RunConflictError",
    "RunContext",
    "RunError",
    "RunExistsError",
    "RunNotFoundError",
    "Runtime",
    "SessionConfig",
    "SpecError",
    "SqliteCheckpointer",
    "State",
    "ToolError",
    "ToolExecutionError",
    "ToolNotFoundError",
    "ToolPermissionError",
    "VetoError",
    "add",
    "append",
    "create_agent",
    "load",
    "merge",
    "node",
    "tool",
]

# Where each name lives. Names of `loom.errors` are not listed: everything else is from there.
_HOMES = {
    "Agent": "loom.agent",
    "AgentConfig": "loom.config",
    "GenerationConfig": "loom.config",
    "KnowledgeDocument": "loom.types.knowledge",
    "KnowledgeQuery": "loom.types.knowledge",
    "KnowledgeSource": "loom.types.knowledge",
    "RunContext": "loom.runtime.records",
    "SessionConfig": "loom.runtime.records",
    "create_agent": "loom.agent",
    "tool": "loom.tools.tool",
    "END": "loom.core.declared",
    "START": "loom.core.declared",
    "AgentHarness": "loom.orchestration",
    "Ask": "loom.core.result",
    "Cache": "loom.core.runtime",
    "Checkpoint": "loom.core.result",
    "Context": "loom.core.context",
    "Graph": "loom.core.graph",
    "GraphResult": "loom.core.result",
    "HarnessResult": "loom.orchestration",
    "Limits": "loom.core.runtime",
    "MemoryCheckpointer": "loom.checkpoint.memory",
    "ModelRef": "loom.types.models",
    "Node": "loom.core.node",
    "Reducer": "loom.core.state",
    "Result": "loom.core.result",
    "Retry": "loom.core.runtime",
    "Runtime": "loom.core.runtime",
    "SqliteCheckpointer": "loom.checkpoint.sqlite",
    "State": "loom.core.state",
    "add": "loom.core.state",
    "append": "loom.core.state",
    "load": "loom.spec.load",
    "merge": "loom.core.state",
    "node": "loom.core.node",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f'module "loom" has no name "{name}"')
    value: object = getattr(import_module(_HOMES.get(name, "loom.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
