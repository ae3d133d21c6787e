"""The chat page in a browser: conversations, errors, keys, keyboards, phones."""

import json
import re

import httpx
import pytest
from playwright.sync_api import expect

from browser import WAIT, answers, delta, finish, say, stored, usage, visit, wait_idle, wait_until
from real_server import CHAT_MODEL, running


def expect_titles(page, *titles):
    """The list follows the browser's storage, which takes its time."""
    expect(page.locator("#conversations .open")).to_have_text(list(titles))


def test_files_and_headers(http):
    page = http.get("/")
    assert (
        page.headers["Content-Type"] == "text/html; charset=utf-8"
        and page.headers["X-Content-Type-Options"] == "nosniff"
    )
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self';")
    assert page.headers["Referrer-Policy"] == "no-referrer" and page.headers["Cache-Control"] == "no-cache"
    for name in set(re.findall(r'"(web/[^"]+)"', page.text)):
        assert http.get("/" + name).status_code == 200, name
    again = http.get("/", headers={"If-None-Match": page.headers["ETag"]})
    assert again.status_code == 304 and again.content == b"" and again.headers["ETag"] == page.headers["ETag"]
    assert http.get("/", headers={"If-None-Match": '"other"'}).status_code == 200
    assert http.head("/web/app.js").content == b"" and http.get("/web/none.js").status_code == 404
    status = http.get("/v1/status").json()
    assert status["models"] and status["max_model_len"] == 512 and not status["thinking_switch"]
    assert status["kv_cache"]["tokens_total"] >= 512 and status["kv_cache"]["tokens_held"] >= 0


def test_no_page_on_request():
    with running("--no-web-page") as server:
        refused = httpx.get(server.url + "/")
        assert refused.status_code == 404 and "--no-web-page" in refused.json()["error"]["message"]
        assert httpx.get(server.url + "/v1/models").status_code == 200


def test_streams_and_counts(page, fake):
    fake.answer(
        delta(role="assistant", content=""),
        delta(content="Hello **wor"),
        WAIT,
        delta(content="ld**"),
        WAIT,
        finish(),
        usage(),
    )
    say(page, "Hi there")
    page.wait_for_selector(".assistant.running >> text=Hello **wor")
    fake.go()
    page.wait_for_selector(".running strong:text('world')")
    assert page.is_visible("#stop") and not page.is_visible("#send")
    fake.go()
    wait_idle(page)
    assert page.inner_text(".stats") == "7 tokens · 100.0 tokens/s · first after 42 ms · prompt 11 (4 cached)"
    assert page.inner_text("#context") == "Context: 18 of 4096 tokens"
    expect(page.locator("#kv-text")).to_have_text("25 %")
    assert page.inner_text("#model") == "fake-model"
    assert page.text_content("#announcer") == "The answer is complete"
    request = fake.requests[0]
    assert request["messages"] == [{"role": "user", "content": "Hi there"}]
    assert request["stream"] and request["stream_options"] == {"include_usage": True}
    assert not {"temperature", "model", "seed", "chat_template_kwargs"} & request.keys()
    expect_titles(page, "Hi there")
    assert page.title() == "Hi there – Isotope"


def test_stop_continue_regenerate_edit_undo(page, fake):
    fake.answer(delta(content="one two"), WAIT)
    say(page, "Count")
    page.wait_for_selector("text=one two")
    page.keyboard.press("Escape")
    wait_idle(page)
    assert fake.gone.wait(10)
    assert page.inner_text(".note") == "Stopped."
    fake.answer(delta(content=" three"), finish(), usage())
    page.click("[aria-label='Go on with this answer']")
    page.wait_for_selector("text=one two three")
    assert fake.requests[-1]["continue_final_message"] and not fake.requests[-1]["add_generation_prompt"]
    assert fake.requests[-1]["messages"][-1] == {"role": "assistant", "content": "one two"}
    wait_idle(page)
    fake.answer(delta(content="uno"), finish("length"), usage())
    page.keyboard.press("Alt+r")
    page.wait_for_selector("text=uno")
    wait_idle(page)
    assert answers(page).all_inner_texts() == ["uno"] and "limit" in page.inner_text(".note")
    page.click("#notice-action")  # undo
    assert answers(page).all_inner_texts() == ["one two three"]
    page.focus("#input")
    page.keyboard.press("ArrowUp")
    page.fill(".edit textarea", "Count backwards")
    fake.answer(delta(content="three two one"), finish(), usage())
    page.keyboard.press("Enter")
    page.wait_for_selector("text=three two one")
    wait_idle(page)
    assert fake.requests[-1]["messages"] == [{"role": "user", "content": "Count backwards"}]
    assert page.locator(".user .said").all_inner_texts() == ["Count backwards"]


def test_reload_rename_delete(page, fake):
    for name in ["First", "Second"]:
        fake.answer(delta(content=f"To {name}"), finish(), usage())
        say(page, name)
        page.wait_for_selector(f"text=To {name}")
        wait_idle(page)
        if name == "First":
            page.click("#new")
    expect_titles(page, "Second", "First")
    page.reload()
    page.wait_for_selector("text=To Second")
    assert page.inner_text("#title") == "Second" and page.inner_text(".stats").startswith("7 tokens")
    page.click("#conversations .open >> text=First")
    page.wait_for_selector("text=To First")
    page.click("li.current [aria-label='Rename']")
    page.keyboard.type("<b>Renamed</b>")
    page.keyboard.press("Enter")
    wait_until(page, "document.getElementById('title').textContent === '<b>Renamed</b>'")
    page.reload()
    page.wait_for_selector("text=To First")
    expect_titles(page, "Second", "<b>Renamed</b>")
    page.click("li.current [aria-label='Delete']")
    wait_until(page, "document.querySelectorAll('#conversations li').length === 1")
    page.click("#notice-action")
    page.wait_for_selector("text=To First")
    expect_titles(page, "Second", "<b>Renamed</b>")


def test_interrupted_by_reload_keeps_what_came(page, fake):
    fake.answer(delta(content="half an answer"), WAIT, WAIT)
    say(page, "Go")
    page.wait_for_selector("text=half an answer")
    wait_until(page, lambda: stored(page).get("Go") == ["Go", "half an answer"])
    page.reload()
    page.wait_for_selector("text=half an answer")
    assert page.is_visible("#send")


def test_reasoning_and_tool_calls(page, fake):
    fake.answer(
        delta(reasoning_content="Let me *think*"),
        WAIT,
        delta(reasoning=" more"),
        delta(content="So: 4"),
        finish(),
        usage(),
    )
    say(page, "2+2")
    page.wait_for_selector("summary:has-text('Thinking…')")
    assert not page.is_visible(".reasoning .markdown")
    fake.go()
    wait_idle(page)
    assert page.inner_text(".reasoning summary").startswith("Thought for")
    page.click(".reasoning summary")
    wait_until(page, "document.querySelector('.reasoning .markdown').innerText === 'Let me think more'")
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": '}}
    fake.answer(
        delta(tool_calls=[call]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": '"Ulm"}'}}]),
        finish("tool_calls"),
        usage(),
    )
    say(page, "Weather?")
    page.wait_for_selector(".call code >> text=weather")
    wait_idle(page)
    page.click(".call summary")
    assert page.inner_text(".call pre") == '{\n  "city": "Ulm"\n}'
    assert "Let me" not in json.dumps(fake.requests[-1]["messages"])


def test_settings(page, fake):
    page.click("#settings")
    page.fill("#setting-system", "Be brief.")
    assert page.get_attribute("#setting-temperature", "placeholder") == "0.6"
    for name, value in {
        "temperature": "0.2",
        "top_p": "0.5",
        "top_k": "7",
        "min_p": "0.1",
        "max_tokens": "99",
        "seed": "5",
    }.items():
        page.fill(f"#setting-{name}", value)
    page.select_option("#setting-thinking", "false")
    page.select_option("#setting-model", "other-name")
    page.check("#as-default")
    page.fill("#setting-top_p", "7")  # out of range: the dialog stays
    page.click("#settings-dialog .button")
    assert page.is_visible("#settings-dialog")
    page.fill("#setting-top_p", "0.5")
    page.click("#settings-dialog .button")
    for text in ["Hi", "In a new conversation"]:
        fake.answer(delta(content="Yes"), finish(), usage())
        say(page, text)
        page.wait_for_selector("text=Yes")
        wait_idle(page)
        request = fake.requests[-1]
        assert request["messages"][0] == {"role": "system", "content": "Be brief."}
        expected = {
            "temperature": 0.2,
            "top_p": 0.5,
            "top_k": 7,
            "min_p": 0.1,
            "max_tokens": 99,
            "seed": 5,
            "model": "other-name",
        }
        assert {name: request[name] for name in expected} == expected
        assert request["chat_template_kwargs"] == {"enable_thinking": False}
        page.click("#new")


def test_settings_do_not_wait_for_the_storage_to_be_counted(page, fake):
    page.evaluate("() => { navigator.storage.estimate = () => new Promise((resolve) => { window.counted = resolve; }); }")
    page.keyboard.press("Alt+s")
    assert page.is_visible("#settings-dialog") and page.inner_text("#storage") == ""
    page.evaluate("counted({ usage: 2e6, quota: 5e8 })")
    expect(page.locator("#storage")).to_have_text("Stored in this browser: 2.0 of 500 MB.")


def test_errors_in_place_with_retry(browser, fake):
    with visit(browser, fake.url, expected_errors=["the server responded with a status"]) as page:
        fake.answer((429, {"error": {"message": "too many requests wait"}}, ("Retry-After", "3")))
        say(page, "Hi")
        page.wait_for_selector(".error >> text=too many requests wait (try again in 3 s)")
        fake.answer(delta(content="partial"), {"error": {"message": "out of memory"}})
        page.click(".error .button")
        page.wait_for_selector(".error >> text=out of memory")
        assert answers(page).all_inner_texts() == ["partial"]
        fake.answer(delta(content="cut"), "")
        page.click(".error .button")
        page.wait_for_selector(".error >> text=/connection/i")
        fake.answer("data: <html>\n\n")
        page.click(".error .button")
        page.wait_for_selector(".error >> text=no stream of JSON events")
        fake.answer(delta(content="better"), finish(), usage())
        page.click(".error .button")
        page.wait_for_selector("text=better")
        wait_idle(page)
        assert page.locator(".error p").count() == 0 and answers(page).all_inner_texts() == ["better"]


def test_api_key(browser, fake):
    fake.key = "sesame"
    try:
        with visit(browser, fake.url, expected_errors=["the server responded with a status of 401"]) as page:
            page.wait_for_selector("#key-dialog[open]")
            page.fill("#key", "sesame")
            page.keyboard.press("Enter")
            page.wait_for_selector("text=fake-model")
            assert page.evaluate("[sessionStorage['isotope-api-key'], localStorage['isotope-api-key']]") == [
                "sesame",
                None,
            ]
            fake.answer(delta(content="opened"), finish(), usage())
            say(page, "Hi")
            page.wait_for_selector("text=opened")
            wait_idle(page)
            fake.key = "mellon"
            page.reload()
            page.wait_for_selector("#key-dialog[open]")
            page.fill("#key", "mellon")
            page.check("#keep-key")
            page.keyboard.press("Enter")
            page.wait_for_selector("text=fake-model")
            assert page.evaluate("[sessionStorage['isotope-api-key'], localStorage['isotope-api-key']]") == [
                None,
                "mellon",
            ]
    finally:
        fake.key = None


def test_import_export(page, fake, tmp_path):
    fake.answer(delta(content="Kept $x^2$"), finish(), usage())
    say(page, "Keep this")
    page.wait_for_selector("text=Kept")
    wait_idle(page)
    with page.expect_download() as download:
        page.click("#export-all")
    file = tmp_path / "export.json"
    download.value.save_as(file)
    exported = json.loads(file.read_text())
    assert exported["format"] == "isotope-conversations"
    assert [message["content"] for message in exported["conversations"][0]["messages"]] == ["Keep this", "Kept $x^2$"]
    page.click("li.current [aria-label='Delete']")
    wait_until(page, "document.querySelectorAll('#conversations li').length === 0")
    page.set_input_files("#import-file", file)
    page.wait_for_selector("text=Kept")
    expect_titles(page, "Keep this")
    bad = {
        "a.json": "{",
        "b.json": "[]",
        "c.json": '{"format": "isotope-conversations", "conversations": [{"messages": [{"role": "system"}]}]}',
    }
    for name, text in bad.items():
        (tmp_path / name).write_text(text)
        page.set_input_files("#import-file", tmp_path / name)
        page.wait_for_selector(f"#notice >> text={name} could not be imported")


def test_full_storage_is_told(page, fake):
    page.evaluate(
        """() => { IDBObjectStore.prototype.put = () => { throw new DOMException("full", "QuotaExceededError"); }; }"""
    )
    fake.answer(delta(content="Not stored"), finish(), usage())
    say(page, "Hi")
    page.wait_for_selector("#notice >> text=storage is full")
    page.wait_for_selector("text=Not stored")


def test_keyboard_alone(page, fake):
    assert page.evaluate("document.activeElement.id") == "input"
    page.keyboard.type("line one")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("line two")
    fake.answer(delta(content="Good"), finish(), usage())
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Good")
    wait_idle(page)
    assert fake.requests[-1]["messages"][0]["content"] == "line one\nline two"
    expect_titles(page, "line one")
    page.keyboard.press("Alt+n")
    assert page.inner_text("#title") == "New chat"
    page.keyboard.press("Alt+ArrowDown")
    page.wait_for_selector("text=Good")
    page.focus("#new")
    page.keyboard.press("?")
    assert page.is_visible("#keys-dialog") and "Shift" in page.inner_text("#shortcuts")
    page.keyboard.press("Escape")
    expect(page.locator("#keys-dialog")).to_be_hidden()
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "input"
    page.keyboard.press("Alt+s")
    assert page.is_visible("#settings-dialog")
    page.keyboard.press("Escape")
    expect(page.locator("#settings-dialog")).to_be_hidden()
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll('button, input, textarea, select, meter')].filter((node) =>
      node.type !== 'file' && !node.hidden && !node.getAttribute('aria-label') && !node.innerText?.trim() && !node.labels?.length).map((node) => node.id)"""
    )
    assert unnamed == []
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                "document.activeElement.id || document.activeElement.title || document.activeElement.className"
            )
        )
    assert {"new", "theme", "settings", "Copy answer as Markdown", "input"} <= reached


def contrast(page, selector):
    """Of a text with what lies behind it, as WCAG counts it."""
    return page.evaluate(
        """(selector) => {
      const node = document.querySelector(selector);
      const parse = (text) => text.match(/[\\d.]+/g).map(Number);
      let behind = node;
      while (parse(getComputedStyle(behind).backgroundColor)[3] === 0) behind = behind.parentElement;
      const light = (color) => parse(color).slice(0, 3).map((c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
      const [a, b] = [light(getComputedStyle(node).color), light(getComputedStyle(behind).backgroundColor)].sort((x, y) => y - x);
      return (a + 0.05) / (b + 0.05);
    }""",
        selector,
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_and_phone(browser, fake, scheme):
    with visit(
        browser, fake.url, viewport={"width": 390, "height": 780}, color_scheme=scheme, has_touch=True, is_mobile=True
    ) as page:
        fake.answer(
            delta(
                content="Text [link](https://example.org/)\n\n```python\ndef f(): # c\n  return 'x' + 1\n```\n"
                + "| a | b |\n|-|-|\n"
                + "| wide cells | " * 9
            ),
            finish("length"),
            usage(),
        )
        say(page, "Hi")
        page.wait_for_selector(".hl-keyword")
        wait_idle(page)
        for selector in [
            ".said",
            ".assistant p",
            ".markdown a",
            ".stats",
            ".note",
            ".hl-keyword",
            ".hl-string",
            ".hl-comment",
            ".hl-number",
            ".hl-call",
            "figcaption span",
            "#context",
            "#model",
        ]:
            assert contrast(page, selector) >= 4.5, selector
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert not page.is_visible("#new")
        page.tap("#menu")
        page.wait_for_selector("#new:visible")
        page.keyboard.press("Escape")
        page.wait_for_selector("#new", state="hidden")
        page.tap("#theme")
        page.tap("#theme")
        expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        page.reload()
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"


@pytest.mark.skipif(not CHAT_MODEL, reason="ISOTOPE_CHAT_MODEL is not set")
def test_with_the_model_behind_a_prefix(browser):
    """The whole way, with a key and below a path as behind a proxy."""
    with running("--api-key", "sesame", "--root-path", "/llm", model=CHAT_MODEL) as server:
        assert httpx.get(server.url + "/llm").headers["Location"] == "/llm/"
        with visit(browser, server.url + "/llm", expected_errors=["status of 401", "status of 400"]) as page:
            page.fill("#key", "sesame")
            page.keyboard.press("Enter")
            page.wait_for_selector("#kv:visible")
            page.click("#settings")
            page.fill("#setting-temperature", "0")
            page.fill("#setting-max_tokens", "24")
            page.keyboard.press("Enter")
            say(page, "What is the capital of France?")
            page.wait_for_selector("text=Paris", timeout=60000)
            wait_idle(page)
            first = page.inner_text(".assistant .markdown")
            assert re.match(r"\d+ tokens · [\d.]+ tokens/s · first after .* · prompt \d+", page.inner_text(".stats"))
            page.keyboard.press("Alt+r")
            page.wait_for_selector("#notice >> text=was replaced")
            wait_idle(page)
            assert page.inner_text(".assistant .markdown") == first  # greedy
            page.click("#settings")
            page.fill("#setting-max_tokens", "4000")
            page.keyboard.press("Enter")
            say(page, "Write a very long story about a lighthouse.")
            wait_until(page, "document.querySelectorAll('.assistant .markdown')[1]?.textContent.length > 20")
            page.keyboard.press("Escape")
            wait_idle(page)
            server.wait_until_idle()
            page.reload()
            page.wait_for_selector("text=Paris")
            assert page.locator(".message").count() == 4
            long = "word " * 20000
            say(page, long)
            page.wait_for_selector(".error >> text=/maximum context length/", timeout=30000)
