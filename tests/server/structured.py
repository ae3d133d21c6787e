"""Asks a server for constrained answers and checks them with the libraries of others."""
import json
import pathlib
import re
import sys
from concurrent.futures import ThreadPoolExecutor

import jsonschema

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
from structured_schemas import SCHEMAS  # noqa: E402

CHECKER = jsonschema.Draft202012Validator.FORMAT_CHECKER
PATTERNS = [r"[a-z]{3,20}", r"(yes|no), because [^\n]{1,60}", r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d)", r"[A-Z]\w* [A-Z]\w*", r"#[0-9a-f]{6}",
            r"(\+\d{1,2} )?\d{3,5}/\d{4,8}", r".{5,40}\.", r"(one|two|three)(, (one|two|three)){0,4}"]
CHOICES = [["yes", "no"], ["positive", "neutral", "negative"], ["a", "ab", "abc"], ["größer", "kleiner", "日本語", "😀"], ["1", "10", "100"]]


def schema_format(name, schema):
    return {"response_format": {"type": "json_schema", "json_schema": {"name": re.sub(r"\W", "_", name), "schema": schema, "strict": True}}}


def ask(session, content, seed, max_tokens=600, **fields):
    """One answer at temperature 1.5, drawn from all that the form allows."""
    body = {"messages": [{"role": "user", "content": content}], "temperature": 1.5, "top_p": 1, "top_k": -1, "seed": seed,
            "max_tokens": max_tokens, **fields}
    response = session.post("/v1/chat/completions", json=body)
    assert response.status_code == 200, response.text
    return response.json()


def fault_of_json(text, schema):
    """None if the text is valid JSON of the schema."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        return str(error)
    error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema, format_checker=CHECKER).iter_errors(value))
    return error and error.message


def cases(schemas):
    """(what, content, fields, fault of an answer)"""
    for name, schema in schemas:
        yield name, f"Answer in JSON: {name}", schema_format(name, schema), lambda text, schema=schema: fault_of_json(text, schema)
    for pattern in PATTERNS:
        yield pattern, "Answer briefly.", {"structured_outputs": {"regex": pattern}}, \
            lambda text, pattern=pattern: None if re.fullmatch(pattern, text) else "no match"
    for choice in CHOICES:
        yield str(choice), "Which one?", {"structured_outputs": {"choice": choice}}, \
            lambda text, choice=choice: None if text in choice else "none of them"


def faults(session, schemas, seeds, workers=8, **fields):
    """What is wrong with the answers, (what, seed, fault, text) each, and how many answers and tokens there were."""
    def run(job):
        (what, content, form, fault_of), seed = job
        answer = ask(session, content, seed, **form, **fields)
        text = answer["choices"][0]["message"]["content"]
        fault = fault_of(text)
        if not fault and answer["choices"][0]["finish_reason"] not in ("stop", "length"):
            fault = answer["choices"][0]["finish_reason"]
        return answer["usage"]["completion_tokens"], fault and (what, seed, fault, text)

    jobs = [(case, seed) for seed in seeds for case in cases(schemas)]
    with ThreadPoolExecutor(workers) as pool:
        results = list(pool.map(run, jobs))
    return [fault for _, fault in results if fault], len(results), sum(tokens for tokens, _ in results)
