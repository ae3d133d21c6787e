#!/usr/bin/env python3
"""The long form of tests/server/test_structured_output.py: every schema of structured_schemas.py, patterns and choices, sampled
at random, each answer checked by jsonschema or re; then what masks cost.

    ISOTOPE_BINARY=build/release/isotope python tools/check_structured_output.py MODEL [--seeds 5] [--no-answers] [--no-cost]

Exits with 1 if an answer is wrong. The cost compares answers with a form to answers of as many tokens without one, one at a
time and in turns, by the server's own tpot_ms.
"""
import argparse
import pathlib
import statistics
import sys
import time

import httpx

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests" / "server"))
from real_server import running  # noqa: E402
from structured import SCHEMAS, ask, faults, schema_format  # noqa: E402


def check_answers(session, seeds):
    begin = time.monotonic()
    found, answers, tokens = faults(session, SCHEMAS, range(seeds), max_tokens=400)
    for what, seed, fault, text in found:
        print(f"WRONG {what!r}, seed {seed}: {fault}\n  {text!r}")
    print(f"{answers} answers with {tokens} tokens in {time.monotonic() - begin:.0f} s, {len(found)} wrong")
    return not found


def decode_ms(session, content, seed, **fields):
    """Milliseconds for all tokens after the first, and how many tokens there are."""
    usage = ask(session, content, seed, **fields)["usage"]
    return usage["tpot_ms"] * (usage["completion_tokens"] - 1), usage["completion_tokens"]


def measure_cost(session, rounds):
    chosen = [schema for schema in SCHEMAS if schema[0].startswith(("tool", "answer"))]
    masked, free, count, ratios = 0.0, 0.0, 0, []
    for i in range(rounds):
        pair = [0.0, 0.0]
        for name, schema in chosen:
            content = f"Answer in JSON: {name}"
            spent, tokens = decode_ms(session, content, i, max_tokens=200, **schema_format(name, schema))
            if tokens < 8:
                continue
            plain, _ = decode_ms(session, content, i, max_tokens=tokens, min_tokens=tokens, ignore_eos=True)
            pair[0] += spent
            pair[1] += plain
            count += tokens - 1
        masked += pair[0]
        free += pair[1]
        ratios.append(pair[0] / pair[1])
        print(f"round {i}: {pair[0]:.0f} ms with a form, {pair[1]:.0f} ms without, ratio {ratios[-1]:.3f}", flush=True)
    print(f"{count} tokens: {masked / count:.3f} ms a token with a form, {free / count:.3f} ms without; median ratio {statistics.median(ratios):.3f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--seeds", type=int, default=5, help="answers to each form")
    parser.add_argument("--rounds", type=int, default=3, help="of measuring")
    parser.add_argument("--no-answers", action="store_true", help="only the cost")
    parser.add_argument("--no-cost", action="store_true", help="only the answers")
    arguments = parser.parse_args()
    right = True
    with running(model=arguments.model) as server, httpx.Client(base_url=server.url, timeout=600) as session:
        if not arguments.no_answers:
            right = check_answers(session, arguments.seeds)
        if not arguments.no_cost:
            measure_cost(session, arguments.rounds)
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
