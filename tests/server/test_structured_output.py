"""Answers that must have a form: JSON schemas, patterns, choices, grammars. tools/check_structured_output.py asks for far more
of them."""
import json
import re

import httpx
import pytest

from structured import SCHEMAS, fault_of_json, faults, schema_format

PERSON = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0, "maximum": 150}},
          "required": ["name", "age"], "additionalProperties": False}
CHAT = "/v1/chat/completions"
COMPLETION = "/v1/completions"


def complete(http, **fields):
    body = {"prompt": "Once upon a time", "temperature": 1.5, "seed": 1, "max_tokens": 200, **fields}
    response = http.post(COMPLETION, json=body)
    assert response.status_code == 200, response.text
    return response.json()["choices"][0]


def test_schemas_patterns_and_choices_hold_at_random(chat_server):
    with httpx.Client(base_url=chat_server.url, timeout=300) as session:
        found, answers, _ = faults(session, SCHEMAS[::12], seeds=[1], max_tokens=120)
    assert answers == len(SCHEMAS[::12]) + 13
    assert not found


@pytest.mark.parametrize("max_tokens", [24, 40, 80])
def test_answers_end_within_their_tokens(http, max_tokens):
    for seed in range(5):
        choice = complete(http, structured_outputs={"json": PERSON}, max_tokens=max_tokens, seed=seed)
        assert choice["finish_reason"] == "stop"
        assert fault_of_json(choice["text"], PERSON) is None


def test_an_answer_that_cannot_fit_is_cut(http):
    choice = complete(http, structured_outputs={"json": PERSON}, max_tokens=3)
    assert choice["finish_reason"] == "length"


@pytest.mark.parametrize("fields, pattern", [
    ({"guided_regex": "[ab]{5}"}, "[ab]{5}"),
    ({"guided_choice": ["left", "right"]}, "left|right"),
    ({"guided_grammar": 'root ::= "<" [a-c]+ ">"'}, "<[a-c]+>"),
    ({"guided_json": json.dumps({"enum": ["x", 7]})}, '"x"|7'),
    ({"structured_outputs": {"grammar": "root ::= digit{3}\ndigit ::= [0-9]"}}, "[0-9]{3}"),
    ({"structured_outputs": {"json_object": True}}, r"(?s)\{.*\}"),
    ({"response_format": {"type": "json_object"}}, r"(?s)\{.*\}"),
])
def test_every_name_of_a_form(http, fields, pattern):
    choice = complete(http, **fields)
    assert re.fullmatch(pattern, choice["text"]), choice
    assert choice["finish_reason"] == "stop"


def test_text_is_no_form(http):
    assert complete(http, response_format={"type": "text"}, max_tokens=5)["text"]


def test_combines_with_everything_else(http):
    """Several choices, penalties, biases, logprobs, a minimum length that the form cannot reach, no end-of-sequence."""
    body = {"prompt": "Once upon a time", "temperature": 1.5, "n": 4, "seed": 3, "max_tokens": 60, "logprobs": 3, "min_tokens": 50,
            "frequency_penalty": 1.5, "repetition_penalty": 1.2, "logit_bias": {"300": 50}, "ignore_eos": True,
            "structured_outputs": {"regex": "(a|b|c) (one|two)"}}
    choices = http.post(COMPLETION, json=body).json()["choices"]
    assert len(choices) == 4
    for choice in choices:
        assert re.fullmatch("(a|b|c) (one|two)", choice["text"])
        assert choice["finish_reason"] == "stop"
        assert "".join(choice["logprobs"]["tokens"]).strip() == choice["text"]


@pytest.mark.parametrize("fields", [{"ignore_eos": True}, {"min_tokens": 9}, {"ignore_eos": True, "min_tokens": 9}])
def test_a_complete_answer_ends_though_the_end_was_put_off(http, fields):
    """More could follow, but not in the tokens that are left: then the form goes before ignore_eos and min_tokens."""
    for stream in (False, True):
        body = {"prompt": "Once", "max_tokens": 9, "stream": stream, "skip_special_tokens": False,
                "structured_outputs": {"regex": "<(0123456789)*>(0123456789)*"}, **fields}
        response = http.post(COMPLETION, json=body)
        assert response.status_code == 200, response.text
        chunks = [json.loads(event[6:]) for event in response.text.split("\n\n") if event.startswith("data: {")]
        choices = [chunk["choices"][0] for chunk in chunks] if stream else [response.json()["choices"][0]]
        assert "".join(choice["text"] for choice in choices) == "<>"
        assert choices[-1]["finish_reason"] == "stop"


def test_a_form_of_stop_tokens_goes_before_min_tokens(http):
    every_token = list(range(512))
    choice = complete(http, structured_outputs={"regex": "a{5}"}, stop_token_ids=every_token, min_tokens=200)
    assert choice["text"] == "aaaaa" and choice["finish_reason"] == "stop"


def test_stop_strings_end_a_form(http):
    choice = complete(http, structured_outputs={"regex": "abcdef"}, stop="d")
    assert choice["text"] == "abc"
    assert choice["stop_reason"] == "d"


def test_streams_what_it_answers_whole(http):
    fields = {"prompt": "Once upon a time", "temperature": 1.5, "seed": 5, "max_tokens": 80, "structured_outputs": {"json": PERSON}}
    whole = http.post(COMPLETION, json=fields).json()["choices"][0]["text"]
    events = http.post(COMPLETION, json={**fields, "stream": True}).text.split("\n\n")
    chunks = [json.loads(event[6:]) for event in events if event.startswith("data: {")]
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == whole


def test_openai_client_parses_schemas(client):
    answer = client.chat.completions.create(model="stories", messages=[{"role": "user", "content": "Who?"}], max_tokens=80, temperature=1,
                                            **schema_format("person", PERSON))
    assert set(json.loads(answer.choices[0].message.content)) == {"name", "age"}


@pytest.mark.parametrize("fields, words", [
    ({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"properties": {"a": {"not": {}}}}}}},
     ["response_format.json_schema.schema", "#/properties/a", "not"]),
    ({"guided_json": "{"}, ["guided_json", "schema"]),
    ({"guided_json": {"$ref": "#/$defs/a"}}, ["guided_json", "#/$defs/a"]),
    ({"guided_json": {"type": "integer", "minimum": 3, "maximum": 2}}, ["guided_json", "no text"]),
    ({"guided_regex": "(a"}, ["guided_regex", "position 2"]),
    ({"guided_regex": r"(a)\1"}, ["guided_regex", "back reference"]),
    ({"guided_grammar": "root ::= x"}, ["guided_grammar", "line 1", "'x'"]),
    ({"structured_outputs": {"choice": []}}, ["structured_outputs.choice"]),
    ({"structured_outputs": {"choice": ["a"], "regex": "b"}}, ["structured_outputs.choice", "structured_outputs.regex"]),
])
def test_errors_name_the_field_and_the_place(http, fields, words):
    response = http.post(COMPLETION, json={"prompt": "x", **fields})
    assert response.status_code == 400
    error = response.json()["error"]
    for word in words:
        assert word in error["message"]
    assert error["param"] and words[0].startswith(error["param"].split(".")[0])
