"""The checker of the documentation finds what it is for."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
import check_docs  # noqa: E402

RIGHT = """# A page

[itself](#a-page), [`code`](other.md#two-words)

<!-- run -->
```
isotope serve --port 1 | tail -f
```

| message | do |
|---|---|
| `cannot listen on …: …` | stop what does |
"""


class Flags:
    flags = {(): {"--help"}, ("serve",): {"--help", "--port"}}
    all = {"--help", "--port"}
    unknown = check_docs.Help.unknown


@pytest.mark.parametrize("change, problem", [
    (("", ""), None),
    (("#a-page", "#another-page"), "has no heading #another-page"),
    (("other.md", "missing.md"), "leads nowhere"),
    (("two-words", "three-words"), "has no heading #three-words"),
    (("<!-- run -->\n", ""), "without a marker"),
    (("<!-- run -->", "<!-- not run: -->"), "without a marker"),
    (("<!-- run -->", "<!-- tested: nothing.py -->"), "which is not there"),
    (("--port", "--prot"), "--prot is not in the --help"),
    (("isotope serve", "isotope server"), "no verb 'server'"),
    (("itself", "`--prot`"), "no command has the flag --prot"),
    (("cannot", "can not"), "no such message"),
    (("```\n\n|", "\n|"), "does not end"),
])
def test_page(tmp_path, monkeypatch, change, problem):
    monkeypatch.setattr(check_docs, "ROOT", tmp_path)
    monkeypatch.setattr(check_docs, "source_texts", lambda: ["cannot listen on …:…: …; stop what uses it"])
    (tmp_path / "other.md").write_text("## Two words\n")
    (tmp_path / "page.md").write_text(RIGHT.replace(*change) if problem else RIGHT)
    page = check_docs.read_page(tmp_path / "page.md")
    check_docs.check_links(page)
    check_docs.check_markers(page)
    check_docs.check_messages(page)
    check_docs.check_flags(page, Flags())
    found = [text for text in page.problems if problem and problem in text]
    assert len(found) == (problem is not None), page.problems
    assert problem or not page.problems
