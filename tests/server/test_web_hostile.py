"""What models may write stays text on the chat page, and so does what a file holds."""

import json

from browser import delta, finish, say, usage, wait_idle

PWN = "window.pwned=1"
HOSTILE = [
    f"<script>{PWN}</script>",
    f'<img src=x onerror="{PWN}">',
    f"<svg onload=\"{PWN}\"><a href='javascript:{PWN}'>x</a></svg>",
    f"[click](javascript:{PWN})",
    f"[click](JaVaScRiPt:{PWN})",
    f"[click](<java\tscript:{PWN}>)",
    f"[c](data:text/html,<script>{PWN}</script>)",
    f"[c](&#106;avascript:{PWN})",
    f"<javascript:{PWN}>",
    "[c](vbscript:x)",
    "[c](/v1/models)",
    "[c](file:///etc/passwd)",
    "[c](blob:http://x/1)",
    "![pixel](https://evil.example/pixel.png)",
    f"```js\n<script>{PWN}</script>",
    f"```<img src=x onerror={PWN}>\nx\n```",
    f"| <img src=x onerror={PWN}> | b |\n|-|-|\n| [x](javascript:{PWN}) | <iframe srcdoc='<script>parent.{PWN}</script>'> |",
    f"$\\text{{<img src=x onerror={PWN}>}}$",
    f"$$\\href{{javascript:{PWN}}}{{x}}$$",
    "\\[ \\style{background:url(//evil)}{x} \\]",
    f"</div></article><script>{PWN}</script><base href='https://evil.example/'><style>*{{display:none}}</style>",
    f"<form action='https://evil.example/'><button autofocus onfocus={PWN}>",
    "<meta http-equiv=refresh content='0;url=https://evil.example/'>",
    "**unclosed _and `mixed [link](http://a",
    "\u202egnp.exe\u202c \u2066x",
    "`\u202e evil`",
    "```\nif (admin) { \u202e \u2066// nothing\u2069 \u2066\n```",
    "x" * 100_000,
    "[" * 20_000,
    "> " * 5_000 + "deep",
    "{" * 9_000 + "$",
    "\u0000\ufffe\ud83d",
    "# " + "*" * 3_000,
    "e\u0301" + "\u0301" * 3000,
]


def test_hostile_output_is_inert(page, fake):
    text = "\n\n".join(HOSTILE)
    chunks = [text[i : i + 997] for i in range(0, len(text), 997)]
    call = {
        "index": 0,
        "id": "<b>",
        "function": {"name": f"<img src=x onerror={PWN}>", "arguments": f"<script>{PWN}</script>"},
    }
    odd = [
        delta(tool_calls=[{"index": 10**9}, {"index": -1}]),
        {"choices": []},
        {"choices": [{}]},
        {},
        ": comment\n\n",
        "event: x\ndata: {}\n\n",
    ]
    fake.answer(
        delta(reasoning_content=text[:5000]),
        *[delta(content=chunk) for chunk in chunks],
        delta(tool_calls=[call]),
        *odd,
        finish(),
        usage(),
    )
    say(page, f"<img src=x onerror={PWN}>")
    page.wait_for_selector(".call", timeout=30000)
    wait_idle(page)
    page.click(".reasoning summary")
    for summary in page.locator(".call summary").all():
        summary.click()
    allowed = {
        "A",
        "ARTICLE",
        "BLOCKQUOTE",
        "BR",
        "BUTTON",
        "CODE",
        "DEL",
        "DETAILS",
        "DIV",
        "EM",
        "FIGCAPTION",
        "FIGURE",
        "H3",
        "H4",
        "H5",
        "H6",
        "HR",
        "LI",
        "OL",
        "P",
        "PRE",
        "SPAN",
        "STRONG",
        "SUMMARY",
        "TABLE",
        "TBODY",
        "TD",
        "TH",
        "THEAD",
        "TR",
        "UL",
        "math",
        "mrow",
        "mtext",
        "svg",
        "use",
    }
    found = page.evaluate(
        """() => [...document.querySelectorAll('#messages *')].map((node) => [node.tagName, node.getAttributeNames()])"""
    )
    assert {tag for tag, _ in found} <= allowed
    assert not [
        names
        for _, names in found
        if any(name.startswith("on") or name in ("style", "src", "srcdoc") for name in names)
    ]
    for address in page.evaluate("[...document.querySelectorAll('#messages a')].map((node) => node.protocol)"):
        assert address in ("http:", "https:", "mailto:")
    rels = page.evaluate("[...document.querySelectorAll('#messages a')].map((node) => node.rel)")
    assert rels and all("noopener" in rel and "noreferrer" in rel for rel in rels)
    assert page.evaluate("window.pwned") is None and page.title().startswith("<img src=x onerror=")
    code = "".join(page.locator("#messages code").all_inner_texts())
    assert "U+202E" in code and "\u202e" not in code
    assert page.url.rstrip("/") == fake.url
    page.reload()
    page.wait_for_selector(".call")
    assert page.is_visible("#input") and page.evaluate("window.pwned") is None


def test_hostile_file_is_inert(page, tmp_path):
    hostile = {
        "format": "isotope-conversations",
        "conversations": [
            {
                "title": f"<img src=x onerror={PWN}>",
                "settings": {"temperature": "x", "seed": -1},
                "messages": [
                    {"role": "user", "content": {"a": 1}},
                    {"role": "assistant", "content": "fine", "stats": {"tokens": "<b>"}, "tool_calls": [7]},
                ],
            }
        ],
    }
    file = tmp_path / "import.json"
    file.write_text(json.dumps(hostile))
    page.set_input_files("#import-file", file)
    page.wait_for_selector("text=fine")
    assert page.locator("#conversations li").count() == 1 and page.evaluate("window.pwned") is None
