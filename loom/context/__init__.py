"""What a model is shown of a long conversation."""

from loom.context.manager import ContextManager

__all__ = ["ContextManager"]
