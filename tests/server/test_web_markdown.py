"""The page's readers of Markdown and LaTeX, in the browser, against other people's: CommonMark's examples and latex2mathml."""

import pathlib
import re
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as tree

import commonmark
import pytest
from latex2mathml.converter import convert

from browser import FakeServer, visit

SPEC_PACKAGE = "commonmark==0.9.1"  # its source package holds the specification's text
# Not read by design: HTML is text, and so are references to definitions. Bare addresses become links and \( \[ $ formulas,
# as models and people mean them.
OTHER_SECTIONS = {"HTML blocks", "Raw HTML", "Link reference definitions"}
USES_OTHERS = re.compile(r"^ {0,3}\[[^\]]+\]: |<[a-z!?/][^:>]*>|<a href|<!--|<b\b|</?[a-z]+[ \n>]", re.MULTILINE)
ELSEWHERE = re.compile(
    r"\\[\[(]|(?<!<)https?://(?!\S*>)|< http|baz bim>|&(Dcaron|HilbertSpace)|\]\[\]|<b\)c|\[foo<http"
)


@pytest.fixture(scope="module")
def modules(browser, server):
    fake = FakeServer(server.url)
    with visit(browser, fake.url) as page:
        page.evaluate("""async () => {
          Object.assign(window, await import('/web/test/markdown_html.js'), await import('/web/math.js'),
                        await import('/web/blocks.js'), await import('/web/inlines.js'), await import('/web/highlight.js'),
                        await import('/web/markdown_view.js'));
        }""")
        yield page
    fake.shutdown()


def examples(folder):
    """(section, number, Markdown, HTML) of CommonMark's specification."""
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "download",
            "-q",
            "--no-deps",
            "--no-binary",
            "commonmark",
            "--disable-pip-version-check",
            "-d",
            folder,
            SPEC_PACKAGE,
        ],
        check=True,
    )
    with tarfile.open(next(pathlib.Path(folder).glob("*.tar.gz"))) as package:
        member = next(name for name in package.getnames() if name.endswith("/spec.txt"))
        text = package.extractfile(member).read().decode().replace("→", "\t")
    section, number = "", 0
    for found in re.finditer(
        r"^#{1,6} ([^\n]*)$|^`{32} example\n(.*?)^\.\n(.*?)^`{32}$", text, re.MULTILINE | re.DOTALL
    ):
        if found[1]:
            section = found[1]
            continue
        number += 1
        yield section, number, found[2], found[3]


def test_commonmark_examples(modules, tmp_path):
    served = [
        (section, number, source, html)
        for section, number, source, html in examples(tmp_path)
        if section not in OTHER_SECTIONS and not USES_OTHERS.search(source) and not ELSEWHERE.search(source)
    ]
    assert len(served) > 450
    shown = modules.evaluate("(sources) => sources.map(toHtml)", [source for _, _, source, _ in served])
    wrong = [
        (section, number, source, html, got)
        for (section, number, source, html), got in zip(served, shown)
        if got != html
    ]
    assert not wrong, wrong[:5]


ANSWERS = [
    "Here is a plan:\n\n1. **First**, do `this`.\n   - and\n   - that\n2. *Then* that:\n\n   ```python\n   print(1)\n   ```\n\n3. Done.\n",
    '# Title\n\nText with [a link](https://example.org/a_(b) "t") and ***both***.\n\n> quoted\n> text\n\n---\n\nEnd\\\nof line\n',
    "* a\n\n  b\n* c\n+ d\n\n      code\n\n~~~\nopen <b>\n",
    "a*b*c _d_e_ __f__ **g*h*** `` ` `` &amp; &#35; \\* <https://x.org/?a=b&c> ![alt *x*](/p.png)\n",
]


def test_answers_as_commonmark_reads_them(modules):
    for source in ANSWERS:
        expected = commonmark.commonmark(source.replace("<b>", "&lt;b&gt;") if "~~~" not in source else source)
        assert modules.evaluate("toHtml", source) == expected, source


def test_tables(modules):
    """As in GitHub's specification, section 4.10."""
    assert modules.evaluate("toHtml", "| abc | defghi |\n:-: | -----------:\nbar | baz\n") == (
        '<table>\n<thead>\n<tr>\n<th style="text-align:center">abc</th>\n<th style="text-align:right">defghi</th>\n</tr>\n</thead>\n'
        '<tbody>\n<tr>\n<td style="text-align:center">bar</td>\n<td style="text-align:right">baz</td>\n</tr>\n</tbody>\n</table>\n'
    )
    html = modules.evaluate("toHtml", "| f\\|oo  |\n| ------ |\n| b `\\|` az |\n| b **\\|** im |\n")
    assert (
        "<th>f|oo</th>" in html
        and "<td>b <code>|</code> az</td>" in html
        and "<td>b <strong>|</strong> im</td>" in html
    )
    assert "<table>" not in modules.evaluate("toHtml", "| abc | def |\n| --- |\n| bar |\n")
    assert modules.evaluate("toHtml", "| a | b |\n| - | - |\n| c | d |\n> bar\n").endswith(
        "</table>\n<blockquote>\n<p>bar</p>\n</blockquote>\n"
    )


@pytest.mark.parametrize(
    "source, formulas",
    [
        (r"Then \(a+b\) and $x_1$.", ["a+b", "x_1"]),
        ("It costs $5 and then $10, or US$3.", []),
        ("$$\nx = 1\n$$\nand \\[ y \\]", ["x = 1", "y"]),
        ("so\n\\[\nx\n+ y\n\\]\nend", ["x\n+ y"]),
        ("\\begin{align}\na &= b\n\\end{align}", ["\\begin{align}\na &= b\n\\end{align}"]),
        ("`$x$` and \\$y\\$", []),
        ("$$ is never closed\n\nso it is text", []),
        ("- item\n  $$\n  z\n  $$", ["z"]),
    ],
)
def test_finds_formulas(modules, source, formulas):
    html = modules.evaluate("toHtml", source)
    assert re.findall(r"<math[^>]*>(.*?)</math>", html, re.DOTALL) == [text.replace("&", "&amp;") for text in formulas]


FORMULAS = [
    r"x^2 + y_1",
    r"\frac{a+b}{c}",
    r"\sqrt{x}",
    r"\sqrt[3]{x+1}",
    r"x_{i}^{2}",
    r"\alpha\beta\Gamma",
    r"a \leq b \neq c",
    r"\sum_{i=1}^{n} i",
    r"\int_0^1 f",
    r"\begin{pmatrix} a & b \\ c & d \end{pmatrix}",
    r"\begin{bmatrix} 1 & 0 \\ 0 & 1 \end{bmatrix}",
    r"\left( \frac{1}{2} \right)",
    r"\mathbb{R}",
    r"\binom{n}{k}",
    r"\overline{x}",
    r"\text{if } x",
    r"A \cup B \subseteq C",
    r"x \in \mathbb{N}",
    r"\forall x \exists y",
    r"e^{-x^2}",
    r"a \cdot b \times c",
    r"\infty",
    r"p \Rightarrow q",
    r"\lim_{x \to 0} x",
    r"\frac{\partial f}{\partial x}",
    r"3.14 r",
    r"{n \over 2}",
    r"\overset{a}{b}",
    r"\nabla \times F",
    r"\lfloor x \rfloor",
]
# What the two write differently and readers see alike.
SAME = {"\u2212": "-", "ϵ": "ε", "ϕ": "φ", "⋅": "·", "∣": "|", "¯": "―", "‾": "―", "̅": "―", "_": "―", "\u00a0": " "}


def outline(node):
    """Tags and characters, without rows, spaces and what only decides about the look."""
    tag = node.tag.rsplit("}", 1)[-1]
    text = "".join(SAME.get(char, char) for char in (node.text or "").strip())
    inner = [part for child in node for part in outline(child)]
    if tag in ("math", "mrow", "mstyle", "mpadded", "mspace"):
        return inner
    return [
        (
            (
                "leaf"
                if tag in ("mi", "mo", "mn", "mtext")
                else {
                    "munderover": "both",
                    "msubsup": "both",
                    "munder": "below",
                    "msub": "below",
                    "mover": "above",
                    "msup": "above",
                }.get(tag, tag)
            ),
            text,
            tuple(inner),
        )
    ]


def xml(node):
    text = node.get("text")
    inner = text.replace("&", "&amp;").replace("<", "&lt;") if text is not None else "".join(map(xml, node["children"]))
    return f"<{node['tag']}>{inner}</{node['tag']}>"


@pytest.mark.parametrize("source", FORMULAS)
def test_formulas_as_latex2mathml_reads_them(modules, source):
    ours = modules.evaluate("(source) => toMathml(source, true)", source)
    assert ours is not None
    assert outline(tree.fromstring(xml(ours))) == outline(tree.fromstring(convert(source)))


@pytest.mark.parametrize(
    "source",
    [
        r"\unknown{x}",
        r"\frac{a}",
        "{" * 3000,
        "x^2^3",
        r"\left( x",
        r"\begin{matrix} a",
        "}",
        "\\",
        "a^",
        r"\sqrt[",
        r"\constructor",
        r"\begin{toString}\end{toString}",
        r"\text{",
        "x" * 10000,
        "$",
        "#",
    ],
)
def test_unknown_formulas_stay_source(modules, source):
    assert modules.evaluate("(source) => toMathml(source, true)", source) is None


HOSTILE = {
    "brackets": "[" * 50000,
    "links": "[a](" * 25000,
    "closed links": "[a](b)" * 15000,
    "images": "![" * 50000 + "](a)" * 20000,
    "stars": "*" * 100000,
    "nested": "*a " * 30000 + "a* " * 30000,
    "nested strong": "**a _b " * 15000,
    "mixed": "*_~~`" * 20000,
    "backticks": "".join("a" + "`" * (i % 400) for i in range(500)),
    "quotes": ">" * 100000,
    "quote lines": (">" * 300 + "a\n") * 300,
    "lists": "- " * 50000,
    "deep list": "".join(" " * (2 * i) + "- a\n" for i in range(400)),
    "dollars": "$a " * 33000,
    "formulas": "\\(" * 50000,
    "display": "\\[a\n" * 20000,
    "table": "|a" * 90 + "\n" + "|-" * 90 + "\n" + "|a\n" * 20000,
    "wide": "|" * 100000 + "\n" + "|-" * 50000,
    "spaces": " " * 50000 + "x" + " " * 50000,
    "heading": "# " + " " * 50000 + "#" * 50000 + "x",
    "entities": "&" * 100000,
    "angles": "<a:" * 33000,
    "mails": "<" + "a@" * 50000,
    "urls": "https://a" + ")" * 50000 + "https://b(" * 9000,
    "rules": "* " * 50000 + "x",
    "line": "x" * 100000,
    "words": "word " * 20000,
    "escapes": "\\" * 100001,
    "tildes": "~~a" * 30000,
    "fences": "```\n" * 25001,
    "ordered": "1. " * 30000,
    "cjk": "**中（文）**后" * 12000,
    "surrogates": "\ud83d" * 50000,
    "nulls": "\0" * 50000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_takes_no_time(modules, name):
    """The best of some runs, since other work takes turns; where time grew with the square, each would take minutes."""
    milliseconds = modules.evaluate(
        """(text) => {
      const run = () => {
      const begin = performance.now();
      const walk = (blocks) => blocks.forEach((block) => {
        if (block.children) walk(block.children);
        else if (block.head) [block.head, ...block.rows].forEach((row) => row.forEach((cell) => parseInlines(cell)));
        else if (block.text !== undefined && block.type !== "code") parseInlines(block.text);
      });
      walk(parseBlocks(text));
      for (const language of ["js", "python", "sql", "html"]) highlight(text, language);
      return performance.now() - begin;
      };
      let best = run();
      for (let i = 0; i < 2 && best >= 2500; i++) best = Math.min(best, run());
      return best;
    }""",
        HOSTILE[name],
    )
    assert milliseconds < 2500


def test_highlighting_changes_no_code(modules):
    assert modules.evaluate(
        """(sources) => sources.every((source) => ["c", "python", "sql", "html", "none"].every(
      (language) => highlight(source, language).map(([, text]) => text).join("") === source))""",
        [
            'int main() { return "a\\"b"; } // x',
            "def f(x):\n  '''doc'''\n  return f'{x}' # y",
            "select 'it''s' -- z",
            "<a href='x'>&amp;</a><!-- y",
            '"open',
            "/* open",
        ],
    )
    assert modules.evaluate("highlight('return f(1)', 'js')") == [
        ["keyword", "return"],
        [None, " "],
        ["call", "f"],
        [None, "("],
        ["number", "1"],
        [None, ")"],
    ]


PIECEWISE = ANSWERS + [
    "Text\n#hashtag\n# heading\n\n| a | b |\n| - | - |\n| 1 | 2 |\nmore\n\nx\n===\n",
    "a\n\\[\nx\n\\] rest\n\n$$\ny\n$$\n\n- a\n- b\n\n\n- c\n\npara\n\n$$ open\n\nlast",
    "1. a\r\n2. b\r\n\r\ntext\r\n> q\r\nlazy\r\n",
    "```js\nlet a = 1;\n\nb()\n```\nend\n\n    indented\n\n    more\n",
    "p | q\n- | -\n1 | 2\n\npara\nh | i\n--|--\nx | y",
]


@pytest.mark.parametrize("step", [1, 3, 17])
def test_shown_piece_by_piece_it_is_the_same(modules, step):
    differing = modules.evaluate(
        """([sources, step]) => sources.filter((source) => {
      const whole = document.createElement("div"), pieces = document.createElement("div");
      new MarkdownView(whole).update(source, true);
      const view = new MarkdownView(pieces);
      for (let end = 1; end < source.length; end += step) view.update(source.slice(0, end));
      view.update(source, true);
      return whole.innerHTML !== pieces.innerHTML;
    })""",
        [PIECEWISE, step],
    )
    assert differing == []


def test_long_answers_stay_cheap(modules):
    """A token at the end of a long answer costs about what one at its beginning costs."""
    times = modules.evaluate("""() => {
      const node = document.createElement("div");
      const view = new MarkdownView(node);
      let text = "";
      const add = () => {
        const begin = performance.now();
        for (let i = 0; i < 400; i++) view.update(text += i % 20 === 0 ? "\\n\\n" : " **some** `words`");
        return performance.now() - begin;
      };
      add();
      const first = Math.min(add(), add(), add());
      for (let i = 0; i < 15; i++) add();
      const before = node.firstChild;
      let last = Math.min(add(), add(), add());
      for (let i = 0; i < 6 && last >= 6 * first + 50; i++) last = Math.min(last, add());
      return { first, last, kept: node.firstChild === before, length: text.length };
    }""")
    assert times["kept"] and times["length"] > 100_000
    assert times["last"] < 6 * times["first"] + 50, times
