#!/usr/bin/env python3
"""Writes which texts JSON schemas and regular expressions accept, by the verdict of others, for our grammars.

    python3 -m venv /path/to/venv && /path/to/venv/bin/pip install 'jsonschema[format-nongpl]==4.26.0'
    /path/to/venv/bin/python tools/make_grammar_vectors.py

Writes tests/data/structured/grammar-vectors.json:
  schemas   those of structured_schemas.py with texts: `valid` ones are accepted by jsonschema and written as answers are
            (members in the schema's order, nothing that it does not name), `invalid` ones jsonschema rejects, or they are no JSON
  patterns  with texts that Python's re matches as a whole, and others
"""

import json
import random
import re
from pathlib import Path

import jsonschema

from structured_schemas import SCHEMAS

OUT = Path(__file__).resolve().parent.parent / "tests" / "data" / "structured" / "grammar-vectors.json"
CHECKER = jsonschema.Draft202012Validator.FORMAT_CHECKER

STRINGS = ["", "a", "ab", "abc", "hello", "x y", "é", "日本語", "😀", "quote\"", "back\\", "tab\t", "line\n", "z" * 12, "foobaz", "555-1234", "#00ffAA", "v1.20.3", "2024-02-28",
           "2024-02-30", "12:30:00Z", "2023-12-31T23:59:59+01:00", "me@example.com", "example.com", "192.168.0.1", "999.1.1.1", "1:2:3:4:5:6:7:8", "https://example.com/a?b=c",
           "123e4567-e89b-12d3-a456-426614174000", "P1Y2M3DT4H", "PT5M", "SELECT 1", "INV-123456", "12345", "AB-1234", "ABC", "DE12", "en", "A1B2", "LONG", "longer", "b", "amid", "az",
           "aXXb", "John Smith", "+49 1234567", "xyz", "\"quoted\"", "äöü", "23:59", "x_a", "abcd", "toolongvalue"]
NUMBERS = [0, 1, -1, 2, 3, 4, 5, 7, 9, 10, 11, 12, 14, 30, -30, -10, -100, 42, 64, 65, 100, 101, 1899, 1900, 2100, 2101, 123456, 9876543, 9876544, 0.5, 1.5, 2.25, 2.26, -1.5, -1.51, 0.001,
           0.0015, 0.002, 0.0021, 99.5, 99.49, 100.25, -0.75, -0.01, 30.5, -273.15, -273.14, 0.25, 1000000]


def deep_merge(a, b):
    if isinstance(a, dict) and isinstance(b, dict):
        return {k: deep_merge(a.get(k), b[k]) if k in b else a[k] for k in {**a, **b}}
    return b


class Maker:
    """Random instances that probably fit a schema; jsonschema has the last word."""

    def __init__(self, root, rng):
        self.root, self.rng = root, rng

    def make(self, schema, depth=0):
        rng = self.rng
        if schema is True or schema == {}:
            return rng.choice([None, 1, "any", [1], {"k": True}])
        if "$ref" in schema:
            target = self.root
            for part in schema["$ref"].lstrip("#/").split("/"):
                target = target[part] if part else target
            merged = {**target, **{k: v for k, v in schema.items() if k != "$ref"}}
            return self.make(merged, depth + 1)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return rng.choice(schema["enum"])
        if "allOf" in schema:
            merged = {k: v for k, v in schema.items() if k != "allOf"}
            for part in schema["allOf"]:
                if "$ref" in part:
                    part = self.root["$defs"][part["$ref"].split("/")[-1]]
                for key, value in part.items():
                    merged[key] = deep_merge(merged.get(key), value)
            return self.make(merged, depth)
        for key in ("anyOf", "oneOf"):
            if key in schema:
                rest = {k: v for k, v in schema.items() if k != key}
                options = schema[key] if depth < 8 else schema[key][-1:] if "$ref" in schema[key][0] else schema[key][:1]
                return self.make({**rest, **rng.choice(options)}, depth + 1)
        kind = schema.get("type") or ("object" if "properties" in schema else "string")
        if isinstance(kind, list):
            kind = rng.choice(kind)
        return getattr(self, "make_" + kind)(schema, depth)

    def make_null(self, schema, depth):
        return None

    def make_boolean(self, schema, depth):
        return self.rng.random() < 0.5

    def make_integer(self, schema, depth):
        return int(self.make_number(schema, depth))

    def make_number(self, schema, depth):
        bounds = [schema[k] for k in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum") if k in schema]
        near = [b + d for b in bounds for d in (0, 1, -1, 0.25)]
        return self.rng.choice(NUMBERS + 4 * near)

    def make_string(self, schema, depth):
        fitting = [s for s in STRINGS if not list(jsonschema.Draft202012Validator({**schema, "type": "string"}, format_checker=CHECKER).iter_errors(s))]
        if not fitting or self.rng.random() < 0.2:
            return self.rng.choice(["q", "é", " "]) * max(schema.get("minLength", 0), min(schema.get("maxLength", 3), 6))
        return self.rng.choice(fitting)

    def make_array(self, schema, depth):
        prefix = schema.get("prefixItems", [])
        low, high = schema.get("minItems", 0), min(schema.get("maxItems", 4), schema.get("minItems", 0) + 3)
        count = self.rng.randint(low, max(low, high)) if depth < 8 else low
        rest = schema.get("items", not prefix)
        if rest is False or (prefix and "items" not in schema):
            count = min(count, len(prefix))
        return [self.make(prefix[i] if i < len(prefix) else rest, depth + 1) for i in range(count)]

    def make_object(self, schema, depth):
        properties, required = schema.get("properties", {}), schema.get("required", [])
        result = {}
        for name, value in properties.items():
            if name in required or (depth < 8 and self.rng.random() < 0.5):
                result[name] = self.make(value, depth + 1)
        additional = schema.get("additionalProperties", "properties" not in schema)
        for name in required:
            if name not in properties:
                result[name] = self.make(additional, depth + 1)
        patterns = schema.get("patternProperties", {})
        if patterns:
            additional = next(iter(patterns.values()))
        if additional is not False:
            for name in self.rng.sample(["k", "key", "other", "x_a", "x_bc", "id2"], self.rng.randint(0, 3)):
                if name not in properties:
                    result[name] = self.make(additional, depth + 1)
        return result


def mutate(value, rng):
    """The value with one thing changed, somewhere."""
    if isinstance(value, dict) and value and rng.random() < 0.8:
        key = rng.choice(list(value))
        if rng.random() < 0.3:
            return {k: v for k, v in value.items() if k != key}
        return {k: mutate(v, rng) if k == key else v for k, v in value.items()}
    if isinstance(value, list) and value and rng.random() < 0.8:
        i = rng.randrange(len(value))
        return rng.choice([value[:i] + value[i + 1:], value + [value[i]], value[:i] + [mutate(value[i], rng)] + value[i + 1:]])
    return rng.choice([None, True, rng.choice(NUMBERS), rng.choice(STRINGS), [], {}, [1], {"zz": 1}, "x" * 70])


def write(value, rng):
    style = rng.choice([{}, {"separators": (",", ":")}, {"indent": 2}])
    return json.dumps(value, ensure_ascii=False, **style)


def is_narrower(pattern, text):
    """What Python accepts and we do not write: \\w, \\s and the like are ASCII here, and '$' is the very end."""
    return "\n" in text or "\\n" in text or (not text.isascii() and re.search(r"\\[wWdDsS]", pattern))


def schema_vectors(name, schema, rng):
    patterns = " ".join(re.findall(r'"(?:pattern|format)": "((?:[^"\\]|\\.)*)"', json.dumps(schema)))
    validator = jsonschema.Draft202012Validator(schema, format_checker=CHECKER)
    maker, valid, invalid = Maker(schema, rng), {}, {}
    for _ in range(60):
        value = maker.make(schema)
        if validator.is_valid(value):
            text = write(value, rng)
            if not (patterns and is_narrower(patterns, json.dumps(value, ensure_ascii=False))):
                valid.setdefault(text)
        else:
            invalid.setdefault(write(value, rng))
        changed = mutate(value, rng)
        if not validator.is_valid(changed):
            invalid.setdefault(write(changed, rng))
    texts = list(valid)[:6]
    assert texts, name
    # No JSON: cut short, or with something behind it.
    broken = [t[:-1] for t in texts[:2] if not is_valid_text(t[:-1], validator)] + [texts[0] + "]", texts[0] + " "]
    return {"name": name, "schema": schema, "valid": texts, "invalid": list(invalid)[:10] + broken}


def is_valid_text(text, validator):
    try:
        return validator.is_valid(json.loads(text))
    except json.JSONDecodeError:
        return False


PATTERNS = ["abc", "a*", "a+b?c{2}", "(ab|cd)+", "[a-c]{2,4}", "[^a-c]+", r"\d+\.\d{2}", r"\w+@\w+\.com", "a|b|", "(a|b)*abb", "x{0,3}y", ".*z", r"\[x\]", "(?:a(?:b(?:c)?)?)?", r"[\d\-]+", "a{3}", "(a*)*b",
            r"\s*yes\s*", "[äöü]+", "é|日本", "(?P<year>[0-9]{4})-(?P<month>[0-9]{2})", r"\\", "a.c", r"[\w.]+", "((a|ab)(c|bcd))d*", "(a?){5}a{5}", r"\x41\u0042", "a*?b", r"[^\s]+", "-?[0-9]+", "a{,2}b"]


def pattern_vectors(pattern, rng):
    pieces = re.findall(r"[A-Za-z0-9äöüé日本]", pattern) + list("abcxyz019.-@ \n\\[]äé")
    compiled = re.compile(pattern)
    matching, others = {}, {}
    for _ in range(4000):
        text = "".join(rng.choice(pieces) for _ in range(rng.randint(0, 10)))
        (matching if compiled.fullmatch(text) else others).setdefault(text)
    samples = ["abc", "abb", "2024-05", "a@b.com", "3.14", "yes", " yes ", "[x]", "AB", "abcd", "aaaaa", "aaaaaaaaaa", "accc"]
    for text in samples:
        (matching if compiled.fullmatch(text) else others).setdefault(text)
    matching = [text for text in matching if not is_narrower(pattern, text)]
    return {"pattern": pattern, "matching": matching[-12:], "others": list(others)[-25:]}


def main():
    rng = random.Random(20261125)
    vectors = {"schemas": [schema_vectors(name, schema, rng) for name, schema in SCHEMAS],
               "patterns": [pattern_vectors(p, rng) for p in PATTERNS]}
    OUT.parent.mkdir(parents=True, exist_ok=True)
    lines = [f'"{key}": [\n' + ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries) + "\n]" for key, entries in vectors.items()]
    OUT.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(sum(len(v["valid"]) for v in vectors["schemas"]), "valid,", sum(len(v["invalid"]) for v in vectors["schemas"]), "invalid,",
          sum(len(v["matching"]) for v in vectors["patterns"]), "matching,", sum(len(v["others"]) for v in vectors["patterns"]), "others")


if __name__ == "__main__":
    main()
