"""Two hundred JSON Schemas for the tests of structured output: SCHEMAS, a list of (name, schema).

In the manner of the JSON Schema test suite (one keyword at a time, then together), and of the tools and answer forms that
applications send. Written for this project.
"""

S, I, N, B, NULL = ({"type": t} for t in ("string", "integer", "number", "boolean", "null"))


def obj(required=None, **properties):
    """All properties are required unless told otherwise."""
    required = list(properties) if required is None else required
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def arr(items, **bounds):
    return {"type": "array", "items": items, **bounds}


def text(**bounds):
    return {"type": "string", **bounds}


def one_of(*values):
    return {"enum": list(values)}


def kinds(**options):
    """A union that a property `kind` tells apart."""
    return [obj(kind={"const": kind}, **properties) for kind, properties in options.items()]


def tool(required=None, **properties):
    return {"type": "object", "properties": properties, "required": list(properties) if required is None else required}


KEYWORDS = {
    "type": [S, I, N, B, NULL, {"type": ["string", "null"]}, {"type": ["integer", "boolean"]}, {"type": ["number", "string", "null"]},
             {"type": "object"}, {"type": "array"}],
    "enum": [one_of("red", "green", "blue"), one_of(1, 2, 3), one_of("a", 1, None, True), one_of("ä", "ß", "日本", "😀"),
             one_of("quote\"", "back\\slash", "line\nbreak", "tab\t"), {"type": "string", "enum": ["x", "xy", "xyz"]},
             one_of([1, 2], {"a": 1}, "b"), {"const": "fixed"}, {"const": 42}, {"const": {"a": [True, None]}}, one_of("")],
    "length": [text(minLength=1), text(maxLength=5), text(minLength=3, maxLength=3), text(minLength=10, maxLength=20),
               text(maxLength=0), text(minLength=2, maxLength=200), text(maxLength=64)],
    "pattern": [text(pattern=p) for p in (
        r"^[a-z]+$", r"^\d{3}-\d{4}$", r"^(foo|bar)baz$", r"^[A-Z][a-z]{1,10}( [A-Z][a-z]{1,10})?$", r"^#[0-9a-fA-F]{6}$",
        r"^v\d+\.\d+\.\d+$", r"^a", r"z$", r"mid", r"^[^\s@]+@[^\s@]+$", r"^\w+$", r"^(\+\d{1,3} )?\d{6,10}$", r"^.{2,4}$", r"^x*y?z+$",
        r"^\"quoted\"$", r"^[äöü]+$", r"^\S+$", r"^(?:[01]\d|2[0-3]):[0-5]\d$", r"^$", r"^a|b$")],
    "pattern and length": [text(pattern="^[a-z]+$", maxLength=8), text(pattern="^[A-Z0-9]*$", minLength=4, maxLength=6),
                           text(pattern="a.*b", maxLength=12), text(format="date", maxLength=10)],
    "format": [text(format=f) for f in ("date", "time", "date-time", "email", "hostname", "ipv4", "ipv6", "uri", "uuid", "duration")],
    "integer": [{"type": "integer", **b} for b in (
        {"minimum": 0}, {"maximum": 0}, {"minimum": 1, "maximum": 10}, {"minimum": -5, "maximum": 5}, {"minimum": -100, "maximum": -10},
        {"exclusiveMinimum": 0, "exclusiveMaximum": 100}, {"minimum": 1900, "maximum": 2100}, {"multipleOf": 5}, {"multipleOf": 7, "minimum": 0},
        {"multipleOf": 3, "minimum": -30, "maximum": 30}, {"minimum": 7, "maximum": 7}, {"minimum": 123456, "maximum": 9876543},
        {"minimum": 0.5, "maximum": 3.5}, {"minimum": 65, "exclusiveMinimum": 64})],
    "number": [{"type": "number", **b} for b in (
        {"minimum": 0}, {"maximum": 1}, {"minimum": 0, "maximum": 1}, {"exclusiveMinimum": 0, "exclusiveMaximum": 1}, {"minimum": -1.5, "maximum": 2.25},
        {"minimum": -90, "maximum": 90}, {"exclusiveMinimum": -273.15}, {"minimum": 0.001, "maximum": 0.002}, {"minimum": 99.5, "maximum": 100.25},
        {"multipleOf": 10}, {"minimum": -0.75, "exclusiveMaximum": 0})],
    "items": [arr(S), arr(I), arr(B, minItems=1), arr(I, maxItems=3), arr(N, minItems=2, maxItems=4), arr(one_of("a", "b"), maxItems=5), arr(arr(I, maxItems=2), maxItems=3),
              arr(obj(a=I), maxItems=4), arr(text(maxLength=3), minItems=3, maxItems=3), arr(NULL, maxItems=1, uniqueItems=True), {"type": "array", "maxItems": 0},
              {"type": "array", "maxItems": 2}, arr({"type": ["integer", "null"]}, minItems=1, maxItems=20)],
    "prefixItems": [{"type": "array", "prefixItems": [S, I], "minItems": 2}, {"type": "array", "prefixItems": [I, I, I], "items": False},
                    {"type": "array", "prefixItems": [B], "items": N, "minItems": 1, "maxItems": 5}, {"type": "array", "prefixItems": [S, S], "items": I, "minItems": 4}],
    "properties": [obj(a=I), obj(a=I, b=S), obj([], a=I, b=S, c=B), obj(["b"], a=I, b=S, c=B), obj(), obj(**{"with space": I, "ünï": S, 'quo"te': B, "back\\slash": NULL}),
                   {"type": "object", "properties": {"a": I}}, {"properties": {"a": I}, "required": ["a"]}, {"type": "object", "required": ["x", "y"], "additionalProperties": I},
                   obj(["f", "a"], a=I, b=I, c=I, d=I, e=I, f=I, g=I)],
    "additionalProperties": [{"type": "object", "additionalProperties": I}, {"type": "object", "additionalProperties": text(maxLength=4), "maxProperties": 3},
                             {"type": "object", "properties": {"id": I, "idx": I}, "required": ["id"], "additionalProperties": B},
                             {"type": "object", "minProperties": 1, "additionalProperties": N}, {"type": "object", "additionalProperties": arr(I, maxItems=2), "maxProperties": 2},
                             {"type": "object", "properties": {"a": I}, "additionalProperties": {"type": ["string", "null"]}, "maxProperties": 4},
                             {"type": "object", "propertyNames": text(pattern="^[a-z]{1,5}$"), "additionalProperties": I},
                             {"type": "object", "patternProperties": {"^x_[a-z]+$": S}, "additionalProperties": False},
                             {"type": "object", "propertyNames": text(maxLength=3, minLength=1), "additionalProperties": B, "maxProperties": 5}],
    "property counts": [{**obj([], a=I, b=I, c=I), "minProperties": 2}, {**obj([], a=I, b=I, c=I, d=I), "maxProperties": 2},
                        {**obj(["a"], a=I, b=I, c=I), "minProperties": 2, "maxProperties": 2}],
    "anyOf": [{"anyOf": [S, I]}, {"anyOf": [obj(a=I), obj(b=S)]}, {"anyOf": [text(maxLength=2), {"type": "integer", "minimum": 5}]}, {"anyOf": kinds(circle={"r": N}, square={"side": N})},
              {"type": "string", "anyOf": [{"maxLength": 2}, {"pattern": "^long"}]}, {"type": "object", "properties": {"a": I, "b": I}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
              {"anyOf": [NULL, arr(I, maxItems=3)]}],
    "oneOf": [{"oneOf": [S, I]}, {"oneOf": kinds(cat={"lives": I}, dog={"good": B}, fish={})}, {"oneOf": [{"type": "integer", "maximum": 3}, {"type": "integer", "minimum": 10}]},
              {"oneOf": [{"const": "a"}, {"const": "b"}]}, {"oneOf": [obj(a=I), obj(b=S)]}],
    "allOf": [{"allOf": [{"type": "integer", "minimum": 3}, {"maximum": 9}]}, {"allOf": [{"type": "object", "properties": {"a": I}, "required": ["a"]}, {"properties": {"b": S}, "required": ["b"]}]},
              {"allOf": [text(minLength=2), text(maxLength=4)]}, {"allOf": [{"$ref": "#/$defs/base"}, {"properties": {"n": {"minimum": 0}}}], "$defs": {"base": obj(n=I, s=S)}}],
    "$ref": [{"$ref": "#/$defs/p", "$defs": {"p": obj(x=N, y=N)}}, {**obj(a={"$ref": "#/$defs/s"}, b={"$ref": "#/$defs/s"}), "$defs": {"s": text(maxLength=5)}},
             {"definitions": {"n": {"type": "integer", "minimum": 1}}, "type": "array", "items": {"$ref": "#/definitions/n"}, "maxItems": 4},
             {"$ref": "#/$defs/n", "minimum": 5, "$defs": {"n": {"type": "integer", "maximum": 9}}}],
    "recursion": [{"$ref": "#/$defs/list", "$defs": {"list": obj(value=I, next={"anyOf": [{"$ref": "#/$defs/list"}, NULL]})}},
                  {"$ref": "#/$defs/tree", "$defs": {"tree": obj(["name"], name=text(maxLength=6), children=arr({"$ref": "#/$defs/tree"}, maxItems=2))}},
                  {"type": "object", "properties": {"v": I, "child": {"$ref": "#"}}, "required": ["v"], "additionalProperties": False},
                  {"$ref": "#/$defs/e", "$defs": {"e": {"anyOf": [I, obj(op=one_of("+", "*"), l={"$ref": "#/$defs/e"}, r={"$ref": "#/$defs/e"})]}}}],
}

KEYWORDS["nesting"] = [
    obj(a=obj(b=obj(c=obj(d=I)))), arr(arr(arr(B, maxItems=2), maxItems=2), maxItems=2), obj(list=arr(obj([], k=S, v={"type": ["number", "null"]}), maxItems=3)),
    {"type": "object", "additionalProperties": obj(a=I, b=text(maxLength=4)), "maxProperties": 2}, arr({"anyOf": [I, arr(I, maxItems=2), obj(x=I)]}, maxItems=4),
    obj(matrix=arr(arr(N, minItems=2, maxItems=2), minItems=2, maxItems=2)), obj(a={"type": ["object", "null"], "properties": {"b": I}, "required": ["b"]}), obj(**{f"p{i}": B for i in range(20)}),
    obj([], **{f"o{i}": I for i in range(15)}), obj(free={"type": "object"}, any=arr({}, maxItems=2)), obj(code=text(pattern="^[A-Z]{2}[0-9]{2}$"), when=text(format="date")),
    arr({"type": "object", "properties": {"id": {"type": "integer", "minimum": 1}, "name": {"type": "string", "minLength": 1}}, "required": ["id", "name"], "additionalProperties": False}, minItems=2, maxItems=2),
    obj(u={"anyOf": [{"const": None}, {"const": 0}, {"enum": ["x", "y"]}]}), obj(deep=arr({"type": "array", "prefixItems": [S, obj(n=I)], "minItems": 2, "items": False}, maxItems=2)),
    {"type": "object", "properties": {"a": {"allOf": [{"$ref": "#/$defs/short"}, {"minLength": 2}]}}, "required": ["a"], "$defs": {"short": text(maxLength=6)}},
]

ADDRESS = obj(["street", "city"], street=text(maxLength=40), city=text(maxLength=20), zip=text(pattern=r"^\d{5}$"))
TOOLS = {
    "weather": tool(["location"], location=S, unit=one_of("celsius", "fahrenheit")),
    "search": tool(["query"], query=text(minLength=1), limit={"type": "integer", "minimum": 1, "maximum": 50}, safe=B),
    "send mail": tool(["to", "subject", "body"], to=arr(text(format="email"), minItems=1, maxItems=5), subject=text(maxLength=80), body=S, cc=arr(text(format="email"), maxItems=5)),
    "calendar": tool(title=S, start=text(format="date-time"), minutes={"type": "integer", "minimum": 5, "maximum": 480, "multipleOf": 5}, attendees=arr(S, maxItems=8)),
    "calculator": tool(operation=one_of("add", "subtract", "multiply", "divide"), a=N, b=N),
    "no arguments": tool(),
    "read file": tool(["path"], path=S, offset={"type": "integer", "minimum": 0}, limit={"type": "integer", "minimum": 1, "maximum": 2000}),
    "edit file": tool(path=S, old_string=S, new_string=S),
    "shell": tool(["command"], command=S, timeout={"type": "integer", "minimum": 1, "maximum": 600}, background=B),
    "sql": tool(["query"], query=text(pattern="^SELECT "), database=one_of("main", "archive"), max_rows={"type": ["integer", "null"], "minimum": 1}),
    "translate": tool(text=S, source={"type": "string", "pattern": "^[a-z]{2}$"}, target={"type": "string", "pattern": "^[a-z]{2}$"}),
    "flight": tool(["origin", "destination", "date"], origin=text(pattern="^[A-Z]{3}$"), destination=text(pattern="^[A-Z]{3}$"), date=text(format="date"),
                   passengers={"type": "integer", "minimum": 1, "maximum": 9}, cabin=one_of("economy", "business", "first")),
    "order": tool(customer=obj(name=S, address=ADDRESS), lines=arr(obj(sku=text(pattern="^[A-Z]{2}-[0-9]{4}$"), count={"type": "integer", "minimum": 1}), minItems=1, maxItems=5)),
    "light": tool(["room", "on"], room=one_of("kitchen", "bath", "hall"), on=B, brightness={"type": "integer", "minimum": 0, "maximum": 100}, color={"type": ["string", "null"], "maxLength": 10}),
    "issue": tool(["title"], title=text(maxLength=100), body=S, labels=arr(one_of("bug", "feature", "docs"), maxItems=3), assignee={"anyOf": [text(pattern="^[a-z0-9-]{1,39}$"), NULL]}),
    "coordinates": tool(lat={"type": "number", "minimum": -90, "maximum": 90}, lon={"type": "number", "minimum": -180, "maximum": 180}),
    "thermostat": tool(mode=one_of("heat", "cool", "off"), target={"type": "number", "minimum": 5, "maximum": 30.5}),
    "http": tool(["method", "url"], method=one_of("GET", "POST", "PUT", "DELETE"), url=text(format="uri"), headers={"type": "object", "additionalProperties": text(maxLength=40), "maxProperties": 4}),
    "memory": {**tool(["action"], action=one_of("store", "recall"), key=text(maxLength=20), value={"$ref": "#/$defs/v"}), "$defs": {"v": {"anyOf": [S, N, B]}}},
    "plan": tool(steps=arr(obj(id=I, text=text(maxLength=60), depends=arr(I, maxItems=3)), minItems=1, maxItems=6)),
}
ANSWERS = {
    "sentiment": obj(sentiment=one_of("positive", "neutral", "negative"), confidence={"type": "number", "minimum": 0, "maximum": 1}),
    "person": obj(name=S, age={"type": "integer", "minimum": 0, "maximum": 130}, email=text(format="email"), tags=arr(S, maxItems=5)),
    "entities": obj(entities=arr(obj(text=text(maxLength=30), label=one_of("PER", "ORG", "LOC")), maxItems=6)),
    "steps": obj(steps=arr(obj(explanation=text(maxLength=80), output=text(maxLength=40)), maxItems=4), final_answer=text(maxLength=40)),
    "recipe": obj(title=text(maxLength=40), servings={"type": "integer", "minimum": 1, "maximum": 12}, ingredients=arr(obj(["name", "amount"], name=text(maxLength=20), amount=N, unit=one_of("g", "ml", "piece")), minItems=1, maxItems=8)),
    "classification": obj(label=one_of("spam", "ham"), reasons=arr(text(maxLength=50), maxItems=3)),
    "invoice": obj(number=text(pattern=r"^INV-\d{6}$"), issued=text(format="date"), total={"type": "number", "minimum": 0}, currency=one_of("EUR", "USD", "GBP"), paid=B),
    "table": obj(columns=arr(text(maxLength=10), minItems=1, maxItems=4), rows=arr(arr({"type": ["string", "number", "null"], "maxLength": 8}, maxItems=4), maxItems=4)),
    "shapes": obj(shapes=arr({"oneOf": kinds(circle={"radius": N}, rect={"w": N, "h": N}, text={"value": text(maxLength=12)})}, maxItems=5)),
    "bilingual": obj(**{"título": text(maxLength=20), "описание": text(maxLength=20), "标题": text(maxLength=10)}),
    "interface": {"$ref": "#/$defs/ui", "$defs": {"ui": obj(type=one_of("div", "button", "field"), label=text(maxLength=16), children=arr({"$ref": "#/$defs/ui"}, maxItems=2))}},
    "settings": obj([], theme=one_of("dark", "light"), size={"type": "integer", "minimum": 8, "maximum": 32}, fonts=arr(text(maxLength=12), maxItems=3), beta=B, proxy={"anyOf": [text(format="hostname"), NULL]}),
    "review": obj(score={"type": "integer", "minimum": 1, "maximum": 5}, title=text(minLength=1, maxLength=60), pros=arr(text(maxLength=40), maxItems=3), cons=arr(text(maxLength=40), maxItems=3)),
    "network": obj(hosts=arr(obj(ip=text(format="ipv4"), port={"type": "integer", "minimum": 1, "maximum": 65535}, id=text(format="uuid")), minItems=1, maxItems=3)),
    "pydantic": {"$defs": {"Color": {"enum": ["r", "g"], "title": "Color", "type": "string"}}, "properties": {"color": {"$ref": "#/$defs/Color"}, "size": {"anyOf": [I, NULL], "default": None, "title": "Size"}},
                 "required": ["color"], "title": "Item", "type": "object"},
}


def all_schemas():
    schemas = [(f"{keyword} {i}", schema) for keyword, group in KEYWORDS.items() for i, schema in enumerate(group)]
    schemas += [(f"tool: {name}", schema) for name, schema in TOOLS.items()]
    schemas += [(f"answer: {name}", schema) for name, schema in ANSWERS.items()]
    return schemas


SCHEMAS = all_schemas()
