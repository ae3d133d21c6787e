#!/usr/bin/env python3
"""Takes the pictures of docs/chat-page.md: the page of the program that was built, with an answer written here.

.venv/bin/python tools/chat_page_pictures.py      (needs what tools/requirements-test.txt and packages-test.txt list)
"""

import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/server"))

from browser import STATUS, FakeServer, chromium, delta, finish, usage, visit  # noqa: E402
from real_server import running  # noqa: E402

ANSWER = r"""The quadratic formula follows from completing the square. Starting with $ax^2 + bx + c = 0$ and $a \neq 0$:

$$
x = \frac{-b \pm \sqrt{b^2 - 4ac}}{2a}
$$

The sign of the discriminant $\Delta = b^2 - 4ac$ decides how many real roots there are:

| $\Delta$ | real roots | example |
|:--------:|:----------:|---------|
| $> 0$ | 2 | $x^2 - 1$ |
| $= 0$ | 1 | $x^2$ |
| $< 0$ | 0 | $x^2 + 1$ |

```python
from math import sqrt

def roots(a, b, c):
    # real roots, smallest first
    d = b * b - 4 * a * c
    if d < 0:
        return []
    return sorted({(-b - sqrt(d)) / (2 * a), (-b + sqrt(d)) / (2 * a)})
```

- `roots(1, 0, -1)` gives `[-1.0, 1.0]`
- a *repeated* root appears **once**
"""

EARLIER = {
    "Who discovered isotopes?": "Frederick Soddy, in 1913.",
    "A plan for a weekend in Ulm": "See the minster first.",
}
DESKTOP = {"viewport": {"width": 1200, "height": 860}}
PHONE = {"viewport": {"width": 390, "height": 780}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}


def ask(page, fake, question, answer, **reasoning):
    fake.answer(
        *([delta(**reasoning)] if reasoning else []),
        delta(content=answer),
        finish(),
        usage(completion=343, prompt=57, cached=32),
    )
    page.fill("#input", question)
    page.keyboard.press("Enter")
    page.wait_for_selector(f".assistant >> text={answer[:20]}")
    page.wait_for_selector("#send:visible")


def take(browser, fake, name, **device):
    with visit(browser, fake.url, **device) as page:
        for question, answer in EARLIER.items():
            ask(page, fake, question, answer)
            page.keyboard.press("Alt+n")
        ask(
            page,
            fake,
            "Derive the quadratic formula and write it as a Python function.",
            ANSWER,
            reasoning_content="Complete the square.",
        )
        page.wait_for_selector(".hl-keyword")
        page.evaluate("document.getElementById('scroller').scrollTop = 0")
        page.wait_for_timeout(300)
        page.screenshot(path=ROOT / f"docs/chat-page-{name}.png")


def main():
    STATUS["models"] = ["example-model"]
    with running() as server, chromium() as browser:
        fake = FakeServer(server.url)
        for scheme in ("light", "dark"):
            take(browser, fake, f"desktop-{scheme}", color_scheme=scheme, **DESKTOP)
            take(browser, fake, f"phone-{scheme}", color_scheme=scheme, **PHONE)


if __name__ == "__main__":
    main()
