"""Looking things up: inline documents ranked by BM25, resolvers of the user's own, citations that hold."""

from loom.knowledge.bundle import resolve

__all__ = ["resolve"]
