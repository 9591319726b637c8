"""As much of JSON schema as schema.json uses."""

import re

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float)}


def problems(value, schema, root):
    """What of a value does not fit a schema, as texts."""
    if "$ref" in schema:
        return problems(value, root["$defs"][schema["$ref"].rsplit("/", 1)[1]], root)
    if "oneOf" in schema:
        fitting = [each for each in schema["oneOf"] if not problems(value, each, root)]
        return [] if len(fitting) == 1 else [f"{value!r} fits {len(fitting)} of several"]
    found = []
    if "type" in schema and not isinstance(value, TYPES[schema["type"]]):
        return [f"{value!r} is no {schema['type']}"]
    if ("const" in schema and value != schema["const"]) or ("enum" in schema and value not in schema["enum"]):
        found.append(f"{value!r} is not allowed")
    if "pattern" in schema and not re.search(schema["pattern"], value):
        found.append(f"{value!r} does not match {schema['pattern']}")
    if value.__class__ is list:
        found += [problem for each in value for problem in problems(each, schema.get("items", {}), root)]
    if value.__class__ is dict:
        found += _of_object(value, schema, root)
    return found


def _of_object(value, schema, root):
    known = schema.get("properties", {})
    found = [f"{name} is missing" for name in schema.get("required", []) if name not in value]
    if schema.get("additionalProperties") is False:
        found += [f"{name} is unknown" for name in value if name not in known]
    return found + [problem for name in value if name in known for problem in problems(value[name], known[name], root)]
