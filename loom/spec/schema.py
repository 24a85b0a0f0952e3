"""The form of a spec as JSON Schema, with which an editor completes and checks a file while it is written."""

from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from loom.core.node import FunctionNode
from loom.spec.names import load_name
from loom.spec.paths import Allowed
from loom.spec.records import GraphSpec
from loom.spec.registry import NODES, registered

# Any, in this module: a JSON Schema.


class _Form(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: object) -> bool:
        return False


def schema(*, settings: bool = False) -> dict[str, Any]:
    """Return the JSON Schema of a spec; with `settings` also of those of every registered node type.

    Raises:
        SpecError: with `settings`, a registered node type cannot be loaded.
    """
    form = GraphSpec.model_json_schema(schema_generator=_Form)
    if settings:
        form["$defs"]["NodeSpec"]["allOf"] = [_of_type(name, form["$defs"]) for name in registered(NODES)]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **form, "title": "A graph of Loom"}


def _of_type(name: str, shared: dict[str, Any]) -> dict[str, Any]:
    """Return what a node of a registered type must be like; what types have in common goes to `shared`."""
    kind = load_name("node", name, Allowed(()))
    form: dict[str, Any] = {"maxProperties": 0}
    if not isinstance(kind, FunctionNode):
        form = kind.model_json_schema(by_alias=False, schema_generator=_Form)
        shared.update(form.pop("$defs", {}))
    is_needed = {"required": ["settings"]} if form.get("required") else {}
    is_this = {"properties": {"type": {"const": name}}, "required": ["type"]}
    return {"if": is_this, "then": {"properties": {"settings": form}, **is_needed}}
