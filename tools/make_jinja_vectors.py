#!/usr/bin/env python3
"""Renders small templates with Python's jinja2, set up as transformers sets it up for chat templates, and writes
what comes out to tests/data/jinja-vectors.json. The C++ test renders the same and compares.

    pip install jinja2==3.1.6 && python3 tools/make_jinja_vectors.py

A case has "template", "variables" and either "text" or "error" (jinja2's words, for people: the C++ test only
asks that there is an error; for raise_exception, "raised" holds the message, which must be the same).
"""

import json
import pathlib

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment


class Generation(jinja2.ext.Extension):
    """{% generation %} as transformers has it, without the tracking: a call block that gives its body."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_give"), [], [], body).set_lineno(line)

    def _give(self, caller):
        return caller()


class Raised(jinja2.exceptions.TemplateError):
    pass


def environment():
    def raise_exception(message):
        raise Raised(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    env = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    return env


TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Température & <wind> \"now\"\n\ttab \u0001 \u007f 日本 🌍",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "enum": ["a", "b"]}, "days": {"type": "integer", "default": 3}},
            "required": ["city"],
            "items": [],
        },
    },
}
MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello, wörld!"},
    {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": {}}}]},
    {"role": "tool", "content": [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]},
]
V = {
    "messages": MESSAGES,
    "tools": [TOOL],
    "s": "Hello World",
    "u": "Größe ÄÖÜ ß éa ΣΑΣ 日本語 🌍!",
    "blank": "  \t padded \n ",
    "lines": "one\ntwo\r\n\nfour",
    "n": 5,
    "neg": -7,
    "f": 2.5,
    "zero": 0,
    "big": 9007199254740993,
    "yes": True,
    "no": False,
    "nil": None,
    "xs": [3, 1, 2],
    "words": ["banana", "Apple", "cherry", "apple"],
    "empty": [],
    "d": {"b": 1, "A": 2, "c": [1, {"x": None}]},
    "people": [
        {"name": "Zoe", "age": 30, "address": {"city": "Rome"}},
        {"name": "adam", "age": 25, "address": {"city": "Oslo"}},
        {"name": "Bob", "age": 30},
    ],
    "html": "<a href=\"x\">Tom & 'Jerry'</a>",
    "tree": [{"v": 1, "kids": [{"v": 2, "kids": []}, {"v": 3, "kids": [{"v": 4, "kids": []}]}]}, {"v": 5, "kids": []}],
}

# Expressions: each is printed.
EXPRESSIONS = r"""
1
-1
1_000
0x1F
0o17
0b101
1.5
1e3
1.5e-7
1e22
1e16
123456789012345.0
0.1
1/3
100.0
1e15
0.0001
0.00001
-0.0
"a"
'a\'b'
"tab\tnl\nbs\\ q\" uni\u00e9 \x41 \101 \U0001F30D \q"
"a" "b" 'c'
"line\
join"
true
True
false
none
None
[]
[1, "a", none, 1.0, true]
[1, 2,]
()
(1,)
(1, 2)
1, 2
(1)
{}
{"a": 1, 'b': [1, {"c": none}]}
{1: "a", 2.5: "b", none: "c", true: "d"}
{"a": 1, "a": 2}
["it's", 'say "hi"', "both ' and \"", "nl\n", "é", "\x00\x7f\u200b"]
missing
missing.attribute
missing["x"]
missing()
missing + 1
missing ~ "x"
missing == missing
missing == none
missing or "else"
not missing
d.missing
d.missing.more
d["missing"]
d["missing"]["more"]
xs[10]
xs["a"]
xs.first
s.nothing
nil.x
n.x
1 + 2
1 + 2.5
1 - 5
2 * 3.0
7 / 2
6 / 2
7 // 2
-7 // 2
7 // -2
7.5 // 2
-7.5 // 2
7 % 3
-7 % 3
7 % -3
7.5 % 2
-7.5 % 2
2 ** 10
2 ** -1
2 ** 0.5
-2 ** 2
2 ** 3 ** 2
1 / 0
1 // 0
1 % 0
1.0 / 0
0 ** -1
"a" + "b"
"a" + 1
1 + "a"
"a" * 3
3 * "ab"
"a" * -1
[1] * 2
[1] + [2]
[1] + (2,)
(1,) + (2,)
(1,) * 2
true + 1
true + true
none + 1
{} + {}
1 ~ 2
"a" ~ 1 ~ none ~ true ~ 1.5 ~ [1]
1 ~ 2 + 3
+1
+true
-true
-"a"
- 2.5
--2
not true
not not 1
not 0 == 1
1 and 2
0 and 2
0 or "x"
"" or [] or 0
1 or 2 and 0
none and 1
1 == 1.0
1 == true
1 == "1"
"a" == "a"
[1, 2] == [1, 2]
[1, 2] == (1, 2)
{"a": 1, "b": 2} == {"b": 2, "a": 1}
none == false
1 != 2
1 < 2
2 < 1
1 < 2 < 3
1 < 3 < 2
1 < 2 == 2
"a" < "b"
"a" < "B"
"Z" < "é"
[1, 2] < [1, 3]
[1] < [1, 0]
(1, "a") <= (1, "b")
1 < "a"
none < 1
none == none
1 <= 1
2 >= 3
1.5 > 1
9007199254740993 == 9007199254740992.0
9007199254740993 > 9007199254740992.0
1 in [1, 2]
3 not in [1, 2]
1.0 in [1]
"a" in "cat"
"" in "cat"
"x" not in "cat"
1 in "cat"
"b" in d
"z" in d
1 in d
1 in 5
"a" in missing
"a" in none
[1] in [[1], 2]
[1] in d
1 if true else 2
1 if false else 2
1 if false
(1 if false) is defined
"a" if n > 3 else "b" if n > 2 else "c"
xs[0]
xs[-1]
xs[1:]
xs[:-1]
xs[::-1]
xs[::2]
xs[-2:]
xs[5:]
xs[1:1]
xs[2:0:-1]
xs[::-2]
xs[:100:50]
xs[::0]
xs["a":]
xs[none:none]
xs[1:none]
(1, 2, 3)[1:]
xs.0
xs.1
d.c.1.x
s[0]
s[-1]
s[20]
s[1:4]
s[::-1]
s[-3:]
u[0:3]
u[2]
u[-2]
u[::-1]
u[::2]
u[-4:-1]
u|length
n[0]
n[1:]
d[1:]
d[[1]]
d.b
d["A"]
d.c[1]
d.keys()
d.values()
d.items()
d.keys()|list
d.items()|list
d.values()|list|length
d.get("b")
d.get("z")
d.get("z", 5)
d.get("z", default=5)
d.copy()
d.items
d.pop("b")
d.update({"x": 1})
xs.append(4)
xs.sort()
xs.pop()
xs.index(1)
xs.index(9)
xs.count(1)
{"items": 1}.items()|list
{"items": 1}["items"]
{"get": 1}.get("get")
{"pop": 1}.pop
{"pop": 1}["pop"]
{"_x": 1}._x
{"_x": 1}["_x"]
s.__class__
s.__class__.__name__
xs.__len__()
"a".upper
"abc".nope()
namespace
range
s()
n()
range(5)
range(2, 5)|list
range(5, 0, -2)|list
range(0)|list
range(3, 10, 4)|list
range(1, 2, 0)
range(100001)
range("a")
range(5)[1]
range(5)[-1]
range(5)|length
range(3) == range(3)
2 in range(3)
dict(a=1, b=2)
dict([("a", 1), ("b", 2)])
dict({"a": 1}, b=2)
dict([1])
namespace(a=1).a
namespace(a=1).b
namespace({"a": 2}).a
namespace(a=1)
namespace(a=1)["a"]
s.upper()
s.lower()
s.title()
s.capitalize()
s.swapcase()
u.upper()
u.lower()
u.title()
u.capitalize()
"éa".capitalize()
"ΑΣ ΣΑΣ".lower()
"they're bill's".title()
"they're bill's friends-of (the) [sea]"|title
"ﬁne ŉ".upper()
s.split()
s.split("o")
s.split("o", 1)
s.split("l", maxsplit=1)
s.split("")
s.split("xyz")
"".split()
"".split(",")
" a  b c ".split()
" a  b c ".split(none, 1)
" a  b c ".split(" ")
"a,b,,c".split(",")
"a,b,c".rsplit(",", 1)
" a b  c ".rsplit(none, 1)
"a b c".rsplit()
"aXXbXXXc".rsplit("XX")
"aXXbXXXc".split("XX")
lines.splitlines()
lines.splitlines(true)
"".splitlines()
"a\n".splitlines()
"a\x0bb\x1cc\u2028d\x85e".splitlines()
blank.strip()
blank.lstrip()
blank.rstrip()
blank.strip(" ")
"xxaxx".strip("x")
"abcba".strip("ab")
"ééaéé".strip("é")
"xyz".lstrip("yx")
"\u00a0\u3000a\u2003".strip()
s.startswith("Hell")
s.startswith(("x", "H"))
s.startswith("W", 6)
s.startswith("W", 6, 6)
s.startswith("")
s.startswith(1)
s.endswith("ld")
s.endswith(("ld", "x"))
s.endswith("lo", 0, 5)
s.replace("l", "L")
s.replace("l", "L", 1)
s.replace("", "-")
s.replace("", "-", 3)
"".replace("", "x")
"aaa".replace("aa", "b")
u.replace("ß", "ss")
s.find("o")
s.find("o", 5)
s.find("z")
s.find("o", -4)
s.find("", 20)
u.find("日")
s.rfind("o")
s.rfind("o", 0, 5)
s.index("W")
s.index("z")
s.rindex("o")
s.count("l")
s.count("")
s.count("l", 4)
"aaaa".count("aa")
s.join(["a", "b"])
", ".join(["a", "b"])
", ".join([])
", ".join([1])
"-".join("abc")
"-".join(d)
s.partition(" ")
s.partition("z")
s.rpartition("o")
s.rpartition("z")
s.removeprefix("Hello ")
s.removeprefix("x")
s.removesuffix("World")
s.removesuffix("x")
"a".center(4)
"a".center(5)
"ab".center(5)
"ab".center(6, "é")
"a".ljust(3) ~ "|"
"a".rjust(3, "*")
"42".zfill(5)
"-42".zfill(5)
"+".zfill(3)
"12".isdigit()
"1a".isdigit()
"".isdigit()
"²".isdigit()
"ab".isalpha()
"aé日".isalpha()
"a1".isalnum()
"a ".isalnum()
" \t".isspace()
"".isspace()
"ab".islower()
"aB1".islower()
"1".islower()
"AB1".isupper()
"a_1".isidentifier()
"1a".isidentifier()
"ß".casefold() == "ss" or true
"{} and {}".format(1, "b")
"{0}{1}{0}".format("a", "b")
"{a} {b.c} {d[0]} {d[k]}".format(a=1, b={"c": 2}, d={"k": 3, 0: 4})
"{{}}".format()
"{:>5}|{:<5}|{:^5}|{:*^5}".format("a", "b", "c", "d")
"{:5}|{:5}".format("a", 1)
"{:05}|{:+}|{:,}|{:x}|{:#x}|{:b}|{:o}|{:X}".format(42, 42, 1234567, 255, 255, 5, 8, 255)
"{:.2f}|{:8.3f}|{:e}|{:g}|{:.1%}|{:,.2f}".format(3.14159, 2.5, 12345.678, 0.0001, 0.256, 1234567.891)
"{:.3}".format("abcdef")
"{!r} {!s}".format("a", "b")
"{:{w}}|".format("a", w=4)
"{}".format()
"{x}".format()
"{".format()
"}".format()
"{:d}".format("a")
"{:s}".format(1)
"{.__class__}".format(1)
"{}".format(none)
"{}".format([1, "a"])
"%s and %s" % (1, "b")
"%s" % "x"
"%s" % 5
"%d%%" % 42
"%d" % 3.9
"%d" % "a"
"%5d|%-5d|%05d|%+d|% d" % (42, 42, 42, 42, 42)
"%.2f|%8.3f|%e|%g|%G" % (3.14159, 2.5, 12345.678, 0.00001, 1e20)
"%x|%X|%#x|%o" % (255, 255, 255, 8)
"%s" % (1, 2)
"%s %s" % (1,)
"%s %s" % 1
"%(a)s-%(b)03d" % {"a": "x", "b": 7}
"%(z)s" % {"a": 1}
"%r" % "a"
"%c" % "x"
"%*d" % (5, 42)
"%-6s|%6s|%.2s" % ("ab", "cd", "efgh")
"%y" % 1
"%" % 1
"x" % 1
"x" % ()
"%s" % [1, 2]
"%s" % none
"%s %%" % true
"%s, %s!"|format("Hi", "you")
"%(a)s"|format(a=1)
"%s"|format(1, a=2)
s|upper
s|lower
u|upper
u|lower
s|title
u|title
"foo-bar baz(qux) [x] {y} <z>"|title
"fOO"|capitalize
u|capitalize
123|upper
none|upper
missing|upper
blank|trim
"xxaxx"|trim("x")
5|trim
s|length
s|count
xs|length
d|length
"日本"|length
missing|length
none|length
5|length
(xs|map("string"))|length
xs|list
s|list
d|list
missing|list
none|list
5|list
xs|join
xs|join(", ")
xs|join("-")|upper
words|join(attribute="0")
people|join(", ", attribute="name")
people|join(", ", attribute="address.city")
"abc"|join("-")
missing|join(",")
5|join
[1, none, true, "x", 1.5]|join("|")
xs|first
xs|last
empty|first
empty|last
empty|first is defined
s|first
s|last
d|first
d|last
u|last
missing|first
none|first
(xs|map("string"))|first
(xs|map("string"))|last
xs|reverse|list
s|reverse
u|reverse
d|reverse|list
none|reverse
xs|sort
xs|sort(reverse=true)
words|sort
words|sort(case_sensitive=true)
words|sort(true)
people|sort(attribute="age")|map(attribute="name")|list
people|sort(attribute="name")|map(attribute="name")|list
people|sort(attribute="age,name")|map(attribute="name")|list
people|sort(attribute="age", reverse=true)|map(attribute="name")|list
[3, "a"]|sort
[1, none]|sort
s|sort
d|sort
missing|sort
d|dictsort
d|dictsort(true)
{"a": 3, "b": 1}|dictsort(by="value")
{"a": 3, "b": 1}|dictsort(reverse=true)
{"a": 3}|dictsort(by="other")
xs|dictsort
missing|dictsort
[1, 2, 1, 3]|unique|list
words|unique|list
words|unique(case_sensitive=true)|list
people|unique(attribute="age")|map(attribute="name")|list
[[1]]|unique|list
[1, 1.0, true]|unique|list
xs|sum
[1.5, 2]|sum
people|sum(attribute="age")
xs|sum(start=10)
["a"]|sum
[[1], [2]]|sum(start=[])
empty|sum
missing|sum
xs|min
xs|max
words|min
words|max
words|min(case_sensitive=true)
people|max(attribute="age")
people|min(attribute="name")
empty|min
empty|max is defined
[1, "a"]|max
words|map("upper")|list
words|map("replace", "a", "o")|list
words|map("length")|join(",")
people|map(attribute="name")|list
people|map(attribute="address.city")|list
people|map(attribute="address.city", default="?")|list
people|map(attribute="zip", default=0)|list
[[1, 2], [3]]|map(attribute=0)|list
[[1, 2], [3]]|map("first")|list
["1", "x"]|map("int", default=7)|list
xs|map("nope")|list
xs|map|list
xs|map(attribute="x", foo=1)|list
d|map("upper")|list
"abc"|map("upper")|join
[0, 1, none, "", "a"]|select|list
[0, 1, none, "", "a"]|reject|list
[1, 2, 3, 4]|select("odd")|list
[1, 2, 3, 4]|reject("odd")|list
[1, 2, 3, 4]|select("divisibleby", 2)|list
[1, 2, 3, 4]|select(">", 2)|list
[1, 2, 3, 4]|select("in", [1, 4])|list
["a", 1]|select("string")|list
xs|select("nope")|list
people|selectattr("age", "equalto", 30)|map(attribute="name")|list
people|selectattr("age", "==", 30)|map(attribute="name")|list
people|selectattr("age", "gt", 26)|list|length
people|selectattr("address")|list|length
people|selectattr("address", "defined")|list|length
people|rejectattr("address", "defined")|map(attribute="name")|list
people|rejectattr("address")|map(attribute="name")|list
people|selectattr("address.city", "eq", "Rome")|list|length
people|selectattr|list
messages|selectattr("role", "in", ["user", "tool"])|map(attribute="role")|join(",")
messages|selectattr("tool_calls")|list|length
messages|selectattr("content", "none")|list|length
d|items|list
missing|items|list
xs|items|list
[1, 2, 3, 4, 5]|batch(2)|list
[1, 2, 3, 4, 5]|batch(2, 0)|list
[1, 2, 3, 4, 5]|batch(0)|list
[1, 2, 3, 4, 5]|slice(2)|list
[1, 2, 3, 4, 5]|slice(3, "x")|list
[1, 2]|slice(3)|list
s|replace("l", "L")
s|replace("l", "L", 1)
s|replace("", "-")
123|replace("2", "x")
123|replace(2, 9)
none|replace("N", "n")
missing|replace("a", "b")
missing|default("x")
missing|d("x")
missing|default
none|default("x")
none|default("x", true)
""|default("x", boolean=true)
0|default(5)
d.z|default("x")
d.z.y|default("x")
"42"|int
"4.9"|int
"x"|int
"x"|int(7)
"0x1f"|int(base=16)
"1f"|int(0, 16)
"101"|int(base=2)
" 42 "|int
"1_000"|int
"_1"|int
"-5"|int
"+5"|int
3.9|int
-3.9|int
true|int
none|int
none|int(3)
[]|int
missing|int
"1e3"|int
"inf"|int
"nan"|int(4)
"٤"|int(5) in [4, 5]
"1.5"|float
"x"|float
"x"|float(2.5)
5|float
"1e3"|float
" 2.5 "|float
"inf"|float
"-inf"|float
"nan"|float
"1_0.5"|float
none|float
missing|float
true|float
2.5|round
3.5|round
-2.5|round
2.567|round(2)
2.675|round(2)
1234.5|round(-2)
5|round
5|round(1)
15|round(-1)
25|round(-1)
2.1|round(0, "ceil")
2.9|round(method="floor")
2.123|round(2, "ceil")
5|round(0, "floor")
2.5|round(0, "other")
"a"|round
-5|abs
-2.5|abs
"a"|abs
true|abs
missing|abs
d|string
xs|string|length
none|string
1.0|string
missing|string
html|escape
html|e
html|escape|escape
html|forceescape|forceescape
html|safe
html|safe|escape
html|escape|length
html|escape|upper
"<" + (">"|safe)
(">"|safe) + "<"
(">"|safe) ~ "<"
("<b>"|safe) + ("<i>"|safe)
("<b>%s</b>"|safe) % "<i>"
("<b>{}</b>"|safe).format("<i>")
"<b>%s</b>" % ("<i>"|safe)
(("<b>"|safe) * 2) + "<"
("<b>"|safe).join(["<", ">"])
["<", ">"|safe]|join("<br>"|safe)
("<b>"|safe).replace("b", "<")
("<b>"|safe)|replace("b", "<") + "<"
("a<b"|safe).split("<")|first + "<"
("<b>"|safe)[0] + "<"
("<b>"|safe).upper() + "<"
("<b>"|safe)|trim + "<"
("<b>"|safe)|title + "<"
[1, "<b>"|safe]
("a"|safe) == "a"
{"a": 1}["a"|safe]
("a"|safe) in {"a": 1}
("[1]"|safe) is string
("x"|safe) is escaped
"x" is escaped
"a\nb\n\nc"|indent
"a\nb\n\nc"|indent(2)
"a\nb\n\nc"|indent(2, true)
"a\nb\n\nc"|indent(2, first=true, blank=true)
"a\nb"|indent("> ")
"a\nb\n"|indent ~ "|"
""|indent ~ "|"
5|indent
missing|indent
"foo bar baz qux"|truncate(9)
"foo bar baz qux"|truncate(9, true)
"foo bar baz qux"|truncate(11)
"foo bar baz qux"|truncate(11, leeway=0)
"foo bar baz qux"|truncate(9, end="…", leeway=0)
"foo bar"|truncate(2)
"a"|center(5) ~ "|"
"one two, three_four 5 six-7"|wordcount
""|wordcount
u|wordcount
{"a": 1}|attr("a")
{"a": 1}|attr("a") is defined
namespace(a=1)|attr("a")
xs|tojson
d|tojson
tools|tojson
tools[0]|tojson(indent=2)
tools[0]|tojson(indent=0)
tools[0]|tojson(indent="\t")
tools[0]|tojson(ensure_ascii=true)
u|tojson(ensure_ascii=true)
d|tojson(separators=(",", ":"))
d|tojson(sort_keys=true)
d|tojson(indent=2, separators=(",", ": "), sort_keys=true)
html|tojson
(html|safe)|tojson
none|tojson
true|tojson
1.0|tojson
1e22|tojson
0.1|tojson
big|tojson
(1, 2)|tojson
[]|tojson
{}|tojson
[]|tojson(indent=2)
{"a": []}|tojson(indent=2)
{"a": {}, "b": [[], {}]}|tojson(indent=4)
{1: 2, none: 3, true: 4, 1.5: 5}|tojson
{(1, 2): 3}|tojson
"a/b\\c\b\f"|tojson
missing|tojson
[missing]|tojson
range(3)|tojson
d.items()|tojson
(xs|map("string"))|tojson
namespace(a=1)|tojson
("inf"|float)|tojson
("nan"|float)|tojson
s|nofilter
s|upper(1)
s|replace("a")
s|replace("a", "b", foo=1)
s|replace("a", old="b")
s is defined
missing is defined
missing is undefined
s is not defined
missing is not defined
d.x is defined
d.b is defined
nil is none
nil is not none
s is none
s is string
n is string
("a"|safe) is string
n is number
f is number
yes is number
s is number
n is integer
yes is integer
f is integer
f is float
n is float
yes is boolean
n is boolean
yes is true
n is true
1 is true
no is false
0 is false
nil is false
d is mapping
xs is mapping
s is mapping
xs is iterable
s is iterable
d is iterable
n is iterable
nil is iterable
missing is iterable
range(3) is iterable
xs is sequence
s is sequence
d is sequence
n is sequence
d.keys() is sequence
missing is sequence
range is callable
s is callable
s.upper is callable
d.items is callable
missing is callable
3 is odd
4 is odd
4 is even
-3 is odd
2.0 is even
"a" is odd
9 is divisibleby 3
9 is divisibleby(2)
9 is divisibleby 0
1 is eq 1
1 is equalto 2
1 is ne 2
1 is lt 2
1 is lessthan 2
1 is le 1
1 is gt 2
2 is greaterthan 1
2 is ge 2
1 is sameas 1
none is sameas none
true is sameas 1
1 is in [1, 2]
"a" is in "cat"
3 is not in [1, 2]
"ab" is lower
"aB" is lower
"AB" is upper
"upper" is filter
"nope" is filter
"odd" is test
"nope" is test
s is nosuchtest
1 is odd is even
1 is odd and 2 is even
1 is odd or missing.x
not 1 is even
5 is divisibleby 5 and true
xs|length > 2
xs|length + 1
(xs|length - 1) // 2
messages[0].role
messages[0]["role"]
messages[-1].content[0].text
messages[1:]|length
messages[::-1]|map(attribute="role")|join(",")
messages|map(attribute="role")|list
messages[2].content is none
messages[2].tool_calls[0].function.name
messages[2]["tool_calls"][0]["function"]["arguments"]|tojson
tools[0].function.parameters.properties.items()|list|length
tools[0].function.parameters["items"]
tools[0].function.parameters.properties.city.enum|join("/")
big + 1
big * 2
f
neg
zero
blank
u
html
lines
""
"a"if true else"b"
{"a": {"b": {"c": 1}}}.a.b.c
[[1, 2], [3, 4]][1][0]
"abc"[1]|upper
[1, 2][0] + 1
("a", "b")[1]
(1, 2) + (3,)
{"a": 1}|length
{"a": 1}.items()|first|first
{"x": xs}.x[0]
"%s" % s[0:2] ~ "!"
s.split(" ")[0].upper()
s.split(" ")|map("lower")|join("_")
s.split("</think>")[-1].lstrip("\n")
raise_exception("no")
raise_exception("a" ~ 1)
raise_exception()
1 +
(1
[1
{1: 2
{1}
1 2
"abc
'abc
a.b.
a.
a[
a[]
a|
a is
1 ! 2
a = 1
@
$x
a ? b
f(a=1, 2)
f(**d, 1)
f(*xs, *xs)
range(*[1, 3])|list
dict(**{"a": 1})
range(**{"stop": 1})
"\u12"
"\x4"
0123
1__0
1.
.5
1.e5
"a".b.c
))
]
}
1 if
if
else
not
and
in
is defined
"""

# Whole templates.
TEMPLATES = [
    "", "plain", "plain\n", "plain\n\n", "a\r\nb\rc\n", "{", "{ {", "}}", "%}", "#}", "{a}", "a { b } c", "{{ '{{' }}",
    "{{", "{{ 1", "{{ 1 }", "{%", "{% if", "{% if true %}", "{% endif %}", "{% else %}", "{% endfor %}", "{# a", "{#}",
    "{##}", "{# a #}b", "a {# b #} c", "a\n{# b #}\nc", "a\n  {# b #}\nc", "a\n  {#- b #}\nc", "a\n  {# b -#}\n  c",
    "a\n  {#- b -#}\n  c", "{#-#}x", "{#--#} x", "{#+ a +#}\nx", "x {#-a#} y", "{# {{ 1 }} {% if %} #}ok", "{# a #} #}",
    "a {{- 1 }} b", "a {{ 1 -}} b", "a {{- 1 -}} b", "a\n\n{{- 1 -}}\n\nb", "a {{+ 1 }} b", "{{ 1 }}\nb", "{{ 1 }}\n",
    "{{ 1 }}\n\n", "  {{ 1 }}", "a\n  {{ 1 }}\nb", "{{-1}}", "{{ -1 }}", "{{- -1 -}}", "{{1-1}}", "{{1 -}}x",
    "{% if true %}\nx\n{% endif %}\ny", "{% if true %}x{% endif %}", "  {% if true %}\n  x\n  {% endif %}\n  y",
    "  {%+ if true %}\n  x\n  {%+ endif %}\n  y", "  {%- if true -%}\n  x\n  {%- endif -%}\n  y",
    "{% if true +%}\nx\n{% endif +%}\ny", "a  {% if true %}  b  {% endif %}  c", "a\t{% if true %}\n\n x{% endif %}",
    "a \n \t {% if true %}x{% endif %}", "{{ 1 }}  {% if true %}x{% endif %}", "{% if true %}  {% if true %}x{% endif %}{% endif %}",
    "{% if true %}\n  {% if true %}\nx{% endif %}{% endif %}", "{# c #}  {% if true %}x{% endif %}", "{# c #}\n  {% if true %}x{% endif %}",
    "\u00a0{% if true %}x{% endif %}", "a\u00a0{%- if true %}x{% endif %}", "{%if true%}x{%endif%}", "{%-if true-%} x {%-endif-%} y",
    "{% raw %}{{ x }}{% endraw %}", "{% raw %}\n{{ x }}\n{% endraw %}\ny", "a\n  {% raw %}\n  b\n  {% endraw %}\nc",
    "{%- raw -%}  {% if %}  {%- endraw -%}  c", "{% raw %}{% endra %}", "{% raw x %}{% endraw %}", "{%raw%}{#{%endraw%}",
    "{% raw %}a{% raw %}b{% endraw %}", "{% raw +%}a{% endraw +%}\nb",
    "{{ {'a': {'b': 1}}['a']['b'] }}", "{{ {'a': {'b': 1}} }}", "{{ {'a': 1}}}", "{{'}}'}}", "{{ '%}' }}", "{% if '%}' %}x{% endif %}",
    "{{ [1, 2\n, 3] }}\n{{ 1 +\n 2 }}", "{{ 'a\nb' }}", "{{ 'a\r\nb' }}",
    "{% if n > 3 %}big{% elif n > 1 %}mid{% else %}small{% endif %}", "{% if zero %}a{% elif nil %}b{% elif yes %}c{% else %}d{% endif %}",
    "{% if missing %}a{% endif %}", "{% if missing.x %}a{% endif %}", "{% if not xs %}a{% else %}b{% endif %}", "{% if %}x{% endif %}",
    "{% if true %}{% else %}{% else %}{% endif %}", "{% if true %}{% endfor %}", "{% if a if b %}{% endif %}", "{% if 1, 2 %}x{% endif %}",
    "{% for x in xs %}{{ x }}{% endfor %}", "{% for x in xs %}\n{{ x }}\n{% endfor %}\n", "{% for x in xs -%}\n  {{ x }}\n{%- endfor %}",
    "{% for x in empty %}a{% else %}none{% endfor %}", "{% for x in xs %}a{% else %}none{% endfor %}", "{% for x in missing %}a{% else %}b{% endfor %}",
    "{% for x in nil %}a{% endfor %}", "{% for x in n %}a{% endfor %}", "{% for c in u %}[{{ c }}]{% endfor %}", "{% for k in d %}{{ k }},{% endfor %}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}", "{% for k, v in d|items %}{{ k }}={{ v }};{% endfor %}",
    "{% for (k, v) in d.items() %}{{ k }}{% endfor %}", "{% for a, (b, c) in [[1, [2, 3]]] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
    "{% for a, b in [[1]] %}{% endfor %}", "{% for a, b in [1] %}{% endfor %}", 
    "{% for k, v in d %}{% endfor %}", "{% for k, v in ['ab', 'cd'] %}{{ v }}{{ k }}{% endfor %}",
    "{% for x in 1, 2, 3 %}{{ x }}{% endfor %}", "{% for x in (1, 2) if x > 1 %}{{ x }}{% endfor %}", "{% for x in xs if x > 1 %}{{ loop.index }}/{{ loop.length }}:{{ x }} {% endfor %}",
    "{% for x in xs if x > 9 %}a{% else %}none{% endfor %}", "{% for x in xs if x is odd and x > 1 %}{{ x }}{% endfor %}",
    "{% for x in xs|sort %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }} {% endfor %}",
    "{% for x in xs %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }};{% endfor %}", "{% for x in xs %}{{ loop.previtem is defined }}{{ loop.nextitem is defined }} {% endfor %}",
    "{% for x in xs %}{{ loop.cycle('a', 'b') }}{% endfor %}", "{% for x in xs %}{{ loop.cycle() }}{% endfor %}", "{% for x in [1, 1, 2, 2, 1] %}{{ loop.changed(x) }} {% endfor %}",
    "{% for x in xs %}{{ loop.depth }}{{ loop.depth0 }}{% for y in xs %}{{ loop.depth }}{% endfor %}{% endfor %}", "{% for x in xs %}{{ loop.nope }}{% endfor %}", "{{ loop }}", "{{ loop.index }}",
    "{% for x in xs %}{% set outer = loop %}{% for y in 'ab' %}{{ outer.index }}{{ loop.index }} {% endfor %}{% endfor %}",
    "{% for x in xs %}{{ loop }}{% endfor %}", "{% for x in xs %}{% if loop.first %}{% continue %}{% endif %}{{ x }}{% endfor %}", "{% for x in xs %}{{ x }}{% if x == 1 %}{% break %}{% endif %}{% endfor %}after",
    "{% for x in xs %}{% for y in xs %}{% if y == 1 %}{% break %}{% endif %}{{ y }}{% endfor %}|{% endfor %}", "{% break %}", "{% continue %}", "{% if true %}{% break %}{% endif %}",
    "{% for x in xs %}{% break %}{% else %}else{% endfor %}", "{% for x in xs %}{% if x == 1 %}{% break %}{% endif %}{% else %}else{% endfor %}", "{% for x in xs %}{% continue %}{% else %}else{% endfor %}", "{% for x in [1, 2, 3, 4] %}{% if x == 2 %}{% continue %}{% endif %}{% if loop.last %}{% break %}{% endif %}{{ x }}{% else %}else{% endfor %}", "{% for x in [] %}{% else %}{% for y in xs %}{{ y }}{% endfor %}{% endfor %}",
    "{% for x in tree recursive %}{{ x.v }}({{ loop(x.kids) }}){% endfor %}", "{% for x in tree recursive %}{{ loop.depth }}:{{ x.v }} {% if x.kids %}{{ loop(x.kids) }}{% endif %}{% endfor %}",
    "{% for x in tree %}{{ loop(x.kids) }}{% endfor %}", "{% for x in xs %}{{ x }}{% endfor %}{{ x }}", "{% for loop in xs %}{{ loop }}{% endfor %}", "{% for x in xs %}", "{% for x %}{% endfor %}", "{% for 1 in xs %}{% endfor %}",
    "{% for x in range(3) %}{% for x in range(2) %}{{ x }}{% endfor %}{{ x }} {% endfor %}", "{% for true in xs %}{% endfor %}", "{% for x.y in xs %}{% endfor %}",
    "{% set x = 1 %}{{ x }}", "{% set x = 1 %}\n{{ x }}", "{% set x, y = 1, 2 %}{{ x }}{{ y }}", "{% set x, y = [1] %}", "{% set (x, y) = 'ab' %}{{ x }}{{ y }}", "{% set x = 1, 2 %}{{ x }}",
    "{% set x = 1 if true else 2 %}{{ x }}", "{% set x %}a{{ n }}b{% endset %}[{{ x }}]", "{% set x | upper %}abc{% endset %}{{ x }}", "{% set x | replace('a', 'b') | upper %}abc{% endset %}{{ x }}", "{% set x %}{% set y = 1 %}{% endset %}{{ y }}",
    "{% set x %}", "{% set %}", "{% set x = %}", "{% set 1 = 2 %}", "{% set none = 2 %}", "{% set x.y = 1 %}", "{% set d.x = 1 %}", "{% set s = 'new' %}{{ s }}", "{% set x = 1 %}{% set x = x + 1 %}{{ x }}",
    "{% set x = 1 %}{% for i in xs %}{% set x = i %}{{ x }}{% endfor %}{{ x }}", "{% for i in xs %}{{ x }}{% set x = i %}{% endfor %}", "{% set x = 1 %}{% for i in xs %}{{ x }}{% set x = i %}{% endfor %}", "{% if true %}{% set x = 1 %}{% endif %}{{ x }}", "{% if false %}{% set s = 1 %}{% endif %}{{ s }}",
    "{% for i in xs %}{% if i == 1 %}{% set s = 'q' %}{% endif %}{{ s }} {% endfor %}",
    "{% set ns = namespace(x=0) %}{% for i in xs %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}", "{% set ns = namespace() %}{% set ns.a = 1 %}{% set ns.b = ns.a + 1 %}{{ ns.a }}{{ ns.b }}{{ ns.c }}", "{% set ns = namespace(l=[]) %}{% for i in xs %}{% set ns.l = ns.l + [i] %}{% endfor %}{{ ns.l }}",
    "{% set ns = namespace(a=1) %}{% set ns.a, ns.b = 2, 3 %}{{ ns.a }}{{ ns.b }}", "{% set ns.x = 1 %}", "{% set ns = namespace(a=1, b='x') %}{{ ns }}", "{% set ns = {} %}{% set ns.x = 1 %}", "{% set a = b = 1 %}",
    "{% with a=1 %}{{ a }}{% endwith %}{{ a }}", "{% with a=1, b=2 %}{{ a + b }}{% endwith %}", "{% with %}{% set q = 1 %}{{ q }}{% endwith %}{{ q }}", "{% set a = 5 %}{% with a=1, b=a %}{{ b }}{% endwith %}", "{% with a %}{% endwith %}",
    "{% macro m(a, b=2) %}{{ a }}-{{ b }}{% endmacro %}{{ m(1) }}|{{ m(1, 3) }}|{{ m(b=4, a=5) }}|{{ m() }}", "{% macro m(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}{{ m(1, 2) }}", "{% macro m(a=1, b) %}{% endmacro %}", "{% macro m() %}x{% endmacro %}{{ m(1) }}", "{% macro m() %}x{% endmacro %}{{ m(a=1) }}",
    "{% macro m(a) %}{{ a is defined }}{{ a }}{% endmacro %}{{ m() }}", "{% macro m(a) %}{{ a.x }}{% endmacro %}{{ m() }}", "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, a=3) }}", "{% macro m(a) %}{{ a }}{{ varargs }}{% endmacro %}{{ m(1, 2) }}{{ m(1) }}", "{% macro m() %}{{ kwargs.x }}{% endmacro %}{{ m(x=5) }}",
    "{% macro fact(n) %}{% if n < 2 %}1{% else %}{{ n * fact(n - 1)|int }}{% endif %}{% endmacro %}{{ fact(5) }}", "{% macro m() %}{% set x = 1 %}{{ x }}{% endmacro %}{{ m() }}{{ x }}", "{% set x = 1 %}{% macro m() %}{{ x }}{% endmacro %}{% set x = 2 %}{{ m() }}", "{% macro m() %}{{ s }}{% endmacro %}{{ m() }}", "{{ m() }}{% macro m() %}x{% endmacro %}",
    "{% macro m() %}\n  a\n{% endmacro %}\n{{ m() }}|", "{%- macro m(x) -%}\n  [{{ x }}]\n{%- endmacro -%}\n{{ m(1) }}{{ m('a')|upper }}", "{% macro m(x) %}<{{ x }}>{% endmacro %}{{ m('a') ~ m('b') }}{{ m('c') is string }}", "{% macro a() %}A{% endmacro %}{% macro b() %}{{ a() }}B{% endmacro %}{{ b() }}", "{% macro m(x) %}{{ x }}{% endmacro %}{{ xs|map('string')|map('upper')|list }}{{ m }}", "{% macro m(x, x) %}{% endmacro %}",
    "{% macro m(f) %}{{ f(1) }}{% endmacro %}{% macro g(x) %}g{{ x }}{% endmacro %}{{ m(g) }}", "{% macro m() %}{% for x in xs %}{% if x == 1 %}{% break %}{% endif %}{{ x }}{% endfor %}{% endmacro %}{{ m() }}", "{% for x in xs %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}", "{% macro m(a) %}", "{% macro 1() %}{% endmacro %}", "{% macro m %}{% endmacro %}", "{% for x in xs %}{% macro m() %}{{ x }}{% endmacro %}{{ m() }}{% endfor %}",
    "{% macro m(t, depth=0) %}{% for k in t %}{{ '  ' * depth }}{{ k.v }}\n{{ m(k.kids, depth + 1) }}{% endfor %}{% endmacro %}{{ m(tree) }}", "{% macro m(args) %}{{ args|tojson }}{% endmacro %}{{ m({'a': [1, '<']}) + '<' }}", "{% macro m(a, b) %}{{ a }}{{ b }}{% endmacro %}{{ m(*[1, 2]) }}{{ m(**{'a': 3, 'b': 4}) }}{{ m(5, **{'b': 6}) }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, a=2) }}",
    "{% macro box(t) %}[{{ t }}:{{ caller() }}]{% endmacro %}{% call box('x') %}body{{ n }}{% endcall %}", "{% macro each(l) %}{% for i in l %}{{ caller(i) }}{% endfor %}{% endmacro %}{% call(i) each(xs) %}<{{ i }}>{% endcall %}", "{% macro m() %}x{% endmacro %}{% call m() %}y{% endcall %}", "{% macro m() %}{{ caller is defined }}{% endmacro %}{{ m() }}", "{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}", "{% call 1 %}{% endcall %}", "{% macro m() %}{{ caller() }}{% endmacro %}{% set q = 1 %}{% call m() %}{% set q = 2 %}{{ q }}{% endcall %}{{ q }}", "{% macro m(caller=none) %}{{ caller() if caller else 'no' }}{% endmacro %}{{ m() }}{% call m() %}y{% endcall %}",
    "{% filter upper %}abc{{ s }}{% endfilter %}", "{% filter replace('a', 'b')|upper %}aXa{% endfilter %}", "{% filter nope %}{% endfilter %}", "{% filter trim %}  x {% endfilter %}|", "{% filter upper %}{% set z = 1 %}{% endfilter %}{{ z }}",
    "{% generation %}a{{ n }}{% endgeneration %}b", "{% generation %}\nx\n{% endgeneration %}\ny", "{% set a = 1 %}{% generation %}{% set a = 2 %}{{ a }}{% endgeneration %}{{ a }}", "{% generation %}", "{% for m in messages %}{% generation %}{{ m.role }}{% endgeneration %},{% endfor %}",
    "{% print 1, 'a' %}", "{% print 1 %}", "{% do 1 %}", "{% nope %}", "{% include 'x' %}", "{% import 'x' as y %}", "{% from 'x' import y %}", "{% extends 'x' %}", "{% trans %}x{% endtrans %}", "{% 1 %}", "{% %}", "{% if true %}x{% endif", "{% if true }}x{% endif %}", "{{ 1 %}", "{% if (true %}x{% endif %}",
    "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.reset() }}{{ c.next() }}", "{{ cycler() }}", "{% set j = joiner(', ') %}{% for x in xs %}{{ j() }}{{ x }}{% endfor %}", "{% set j = joiner() %}{{ j() }}a{{ j() }}b",
    "{% set x = [1, 2] %}{{ x.append(3) }}", "{% set _ = xs.append(1) %}", "{% set _x = 1 %}{{ _x }}", "{% set x = {'a': [1]} %}{% for y in x.a %}{{ y }}{% endfor %}", "{{ raise_exception('Only user roles are supported, got ' + messages[0].role + '.') }}", "{% if false %}{{ raise_exception('x') }}{% endif %}ok", "{% for m in messages %}{% if m.role == 'tool' %}{{ raise_exception('tool ' ~ loop.index) }}{% endif %}{% endfor %}", "{% if false %}{{ s|nofilter }}{% endif %}ok", "{% if false %}{{ s is notest }}{% endif %}ok",
    "{% for m in messages %}{{ m.role }}: {% if m.content is string %}{{ m.content }}{% elif m.content is none %}-{% else %}{% for p in m.content if p.type == 'text' %}{{ p.text }}{{ ',' if not loop.last }}{% endfor %}{% endif %};{% endfor %}", "{% set loop_messages = messages[1:] if messages[0].role == 'system' else messages %}{{ loop_messages|length }}", "{%- for message in messages %}\n    {%- if message.role == 'user' %}\n        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}\n    {%- endif %}\n{%- endfor %}\n{%- if add_generation_prompt %}\n    {{- 'x' }}\n{%- endif %}\n",
    "{% set ns = namespace(found=false) %}{% for m in messages[::-1] %}{% set index = (messages|length - 1) - loop.index0 %}{% if not ns.found and m.role == 'user' %}{% set ns.found = true %}{{ index }}{% endif %}{% endfor %}", "{% for tool in tools %}{{ '\\n' }}{{ tool | tojson }}{% endfor %}", "{{ messages[0]['role'] ~ ':' ~ messages[0]['content'] | trim }}", "{% if tools is defined and tools is not none and tools|length > 0 %}yes{% endif %}", "{{ 'a' if messages[0].role == 'system' and messages|length > 1 else 'b' }}", "{% set x = messages|selectattr('role', 'equalto', 'user')|list %}{{ x|length }}{{ x[0].content }}", "{{ (messages|last).role }}", "{{ messages|map(attribute='content')|select('string')|join('|') }}", "{% for k, v in tools[0].function.parameters.properties|dictsort %}{{ k }}:{{ v.type }}{% if not loop.last %}, {% endif %}{% endfor %}", "{% for k, v in tools[0].function.items() %}{{ k }},{% endfor %}",
    "{{ '[TOOL_CALLS]' + ([{'name': 'a<b'}]|tojson|safe) + 'x<y' }}", "{{ 'a&b' + (tools|tojson|safe)[:2] }}", "{{ ('a&b' ~ (xs|tojson|safe)) + '<' }}", "é{{ 'é' }}{# é #}日本{% if true %}語{% endif %}", "{{ u }}{{ u|length }}{{ u.split(' ')|length }}", "{% set é = 1 %}{{ é }}", "{{ 日本 is defined }}", "{{ “x” }}", "a\u2028b{{ 1 }}", "\ufeff{{ 1 }}",
    "{{ x if x is defined else 'nope' }}", "{{ ''.join(xs|map('string')) }}", "{{ xs|map('string')|join('') ~ '!' }}", "{{ dict(zip=1) }}", "{% if 'a' in 'abc' and not 'd' in 'abc' %}ok{% endif %}", "{% if not ('a' == 'b') %}ok{% endif %}", "{% if not(xs|length == 2) %}ok{% endif %}", "{{ xs|length is divisibleby 3 }}", "{{ xs is iterable and xs is not string }}", "{{ 1 if xs is not mapping else 2 }}", "{{ (1, 2)|join }}", "{{ [1,2,3][1:]|first }}", "{{- 'a' -}}\n{{- 'b' -}}", "{% if true %}a{% endif %}\n{% if true %}b{% endif %}\n", "{% if true -%} a {%- endif %} b",
]


def cases():
    for line in EXPRESSIONS.strip("\n").split("\n"):
        yield "{{ " + line + " }}"
    # The two lines of the one string that spans lines above were split: here it is whole.
    yield '{{ "line\\\njoin" }}'
    yield from TEMPLATES


def main():
    env = environment()
    out = []
    seen = set()
    for template in cases():
        if template in seen:
            continue
        seen.add(template)
        case = {"template": template}
        try:
            case["text"] = env.from_string(template).render(**V)
            if " object at 0x" in case["text"] or "<function " in case["text"] or "<class " in case["text"]:
                continue  # addresses and names of Python's own
        except Raised as error:
            case["raised"] = error.message
        except Exception as error:  # noqa: BLE001 - any error of the template is an answer
            case["error"] = f"{type(error).__name__}: {error}"
        out.append(case)
    path = pathlib.Path(__file__).resolve().parent.parent / "tests/data/jinja-vectors.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        head = {"jinja2": jinja2.__version__, "variables": V}
        file.write('{"setup": ' + json.dumps(head, ensure_ascii=False) + ',\n "cases": [\n')
        file.write(",\n".join("  " + json.dumps(case, ensure_ascii=False) for case in out))
        file.write("\n]}\n")
    failed = sum(1 for case in out if "text" not in case)
    print(f"{len(out)} cases, {failed} of them errors, written to {path}")


if __name__ == "__main__":
    main()
