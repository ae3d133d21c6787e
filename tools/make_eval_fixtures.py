#!/usr/bin/env python3
"""Writes tests/data/eval/: what others answer to what `isotope eval` computes.

    python3 -m venv /tmp/lm-eval && /tmp/lm-eval/bin/pip install -r tools/requirements-lm-eval.txt
    /tmp/lm-eval/bin/python tools/make_eval_fixtures.py

- python-random.json: draws of Python's random.Random.sample
- gsm8k-filters.json: lm-evaluation-harness's own filters and exact_match, configured by its gsm8k.yaml, on hand-written and
  random texts and on all reference answers
- paired-tests.json: stderr by the harness, McNemar's exact test by statsmodels, paired tests and bootstrap intervals by scipy
"""
import json
import lzma
import pathlib
import random

import lm_eval
import numpy as np
import scipy.stats
import yaml
from lm_eval.api.metrics import exact_match_hf_evaluate, mean_stderr
from lm_eval.filters.extraction import RegexFilter
from statsmodels.stats.contingency_tables import mcnemar

DATA = pathlib.Path(__file__).resolve().parent.parent / "tests/data"

TEXTS = [
    "", " ", "#### 5", "####5", "####  5", "#### -5", "#### - 5", "#### --5", "#### $5", "#### 1,234.50", "#### 12.", "#### .5",
    "#### ,", "#### .", "#### 3\n#### 4", "x #### 3 y #### 4", "##### 7", "#### 7 ####", "#### \n7", "no number", "5", "7.",
    "$5", "$", "$$", "..", ".", ",", "1,2", "1, 2", "a1b2c3", "-4", "--4", "- 4", "4-5", "4 - 5", "10%", "$1,000.00.", "3.14.15",
    "The answer is $42.", "The answer is 42.\n", "The answer is: 42, right?", "= 1/2", "½", "٣", "１２", "#### １２", "é#### 9é",
    "#### 9\u00a0", "<<2+2=4>>4", "#### 4\nQuestion: what is 9?", "0", "00", "-0", "#### 1e5", "#### 1_000", "12 eggs.", "...5...",
    "$-5", "-$5", "#### -$5", "(5)", "5)", "#### 5.0", "#### five", "1\n2\n3", "line\r\n#### 8\r\n", "\t#### 8\t", "####\t8",
]
REFERENCES = [
    "#### 5", "5", "#### 1,234", "#### $5", "#### 12.", "#### 12.\n", "#### 12..", "a #### b #### 7", "####7", "#### ", "", ".",
    "#### -4", "#### 42", "no mark 42", "[INVALID]", "[invalid]", "#### 9", "#### 10%", "x\ny\n#### 3.14.15", "$$", "1,000.00",
]


def sampled():
    cases = []
    for seed, population, k in [(1234, 7473, 5), (1234, 21, 5), (1234, 22, 5), (0, 5, 5), (42, 100, 8), (42, 85, 8), (42, 86, 8),
                                (7, 1, 1), (7, 3, 0), (99, 1000, 64), (2**32 - 1, 65536, 5)]:
        generator = random.Random(seed)
        cases.append({"seed": seed, "population": population, "k": k,
                      "draws": [generator.sample(range(population), k) for _ in range(20)]})
    return cases


def filters(references):
    task = yaml.safe_load((pathlib.Path(lm_eval.__file__).parent / "tasks/gsm8k/gsm8k.yaml").read_text())
    regexes = {entry["name"]: RegexFilter(**{key: value for key, value in entry["filter"][0].items() if key != "function"})
               for entry in task["filter_list"]}
    metric = {key: task["metric_list"][0][key] for key in ("ignore_case", "ignore_punctuation")}
    metric["regexes_to_ignore"] = task["metric_list"][0]["regexes_to_ignore"]

    def extract(text):
        return {name: regex.apply([[text]], [{}])[0][0] for name, regex in regexes.items()}

    def matches(prediction, reference):
        return bool(exact_match_hf_evaluate([prediction], [reference], **metric)["exact_match"])

    generator = random.Random(1)
    pieces = ["#### ", "####", "#", " ", "$", "-", ".", ",", "\n", "0", "1", "27", "345", "a", "é", "=", "\u00a0"]
    texts = TEXTS + ["".join(generator.choices(pieces, k=generator.randint(1, 14))) for _ in range(500)]
    extracted = [{"text": text} | extract(text) for text in texts]
    verdicts = []
    for _ in range(800):
        prediction = generator.choice(extracted)[generator.choice(list(regexes))]
        reference = generator.choice(REFERENCES) if generator.random() < 0.5 else f"#### {prediction}"
        verdicts.append([prediction, reference, matches(prediction, reference)])
    own = [{name: [value, matches(value, text)] for name, value in extract(text).items()} for text in references]
    return {"texts": extracted, "verdicts": verdicts, "references": own}


def paired():
    generator = np.random.default_rng(1)
    units = []
    for count, shift in [(2, 0.1), (12, 0.0), (40, 0.02), (143, 0.004)]:
        tokens = 512
        differences = generator.normal(shift * tokens, 5.0, count)
        test = scipy.stats.ttest_1samp(differences, 0)
        bootstrap = scipy.stats.bootstrap((differences / tokens,), np.mean, n_resamples=20000, method="percentile", rng=2)
        units.append({"tokens": tokens, "differences": differences.tolist(), "mean": float(np.mean(differences)) / tokens,
                      "stderr": float(scipy.stats.sem(differences)) / tokens,
                      "p_normal": float(2 * scipy.stats.norm.sf(abs(test.statistic))),
                      "low": float(bootstrap.confidence_interval.low), "high": float(bootstrap.confidence_interval.high)})
    splits = [(0, 0), (0, 1), (1, 0), (3, 3), (0, 6), (10, 2), (25, 40), (500, 430), (1319, 0), (600, 719)]
    return {
        "stderr": [[right, total, mean_stderr([1] * right + [0] * (total - right))]
                   for right, total in [(0, 2), (1, 2), (9, 200), (78, 100), (1319, 1319), (700, 1319)]],
        "mcnemar": [[b, c, float(mcnemar([[0, b], [c, 0]], exact=True).pvalue)] for b, c in splits],
        "paired": units,
    }


def write(name, value):
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    (DATA / "eval" / name).write_text(text + "\n")


def main():
    (DATA / "eval").mkdir(exist_ok=True)
    rows = lzma.decompress((DATA / "gsm8k/test.jsonl.xz").read_bytes()).decode().splitlines()
    write("python-random.json", sampled())
    write("gsm8k-filters.json", filters([json.loads(row)["answer"] for row in rows]))
    write("paired-tests.json", paired())


if __name__ == "__main__":
    main()
