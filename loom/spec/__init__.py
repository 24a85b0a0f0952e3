"""Graphs as data: read from YAML and JSON, written as plain mappings, loaded by their registered names."""

from loom.spec.load import load
from loom.spec.schema import schema

__all__ = ["load", "schema"]
