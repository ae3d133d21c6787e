#!/usr/bin/env python3
"""lm-evaluation-harness, unmodified, over each protocol that it speaks, against `isotope serve`:

    local-completions        GSM8K, 5 shots
    local-chat-completions   GSM8K, 5 shots as a conversation
    local-completions        log-likelihoods of GSM8K's worked answers (echo and logprobs), question by question compared
                             with those that transformers computes from the same checkpoint (--model hf)

    python3 -m venv /tmp/lm-eval && /tmp/lm-eval/bin/pip install -r tools/requirements-lm-eval.txt torch accelerate
    /tmp/lm-eval/bin/python tests/clients/lm_eval_protocols.py --model models/SmolLM2-135M-Instruct --data DIR --limit 8

DIR holds train.jsonl and test.jsonl. The model is a checkpoint that transformers loads, too. Ends with 1 if anything failed
or a log-likelihood is off by more than --tolerance, relatively: the checkpoint's BF16 is computed in different ways.
"""
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
from lm_eval_runs import (LOCAL_FILES, argument_parser, completions_arguments, read_samples, run_harness, server_arguments,
                          serving, write_gsm8k)

LIKELIHOOD = """task: worked_answers
output_type: loglikelihood
test_split: test
doc_to_text: "Question: {{question}}\\nAnswer:"
doc_to_target: "{{answer}}"
metric_list:
  - metric: acc
"""


def run(kind, model_args, task, folder, limit, *flags):
    print(f"\n{kind}, {task}:", flush=True)
    run_harness(kind, model_args, task, folder, limit, *flags)
    samples = read_samples(kind, task, folder)
    assert samples, f"{kind} logged no samples"
    return samples


def compare(ours, theirs, tolerance):
    """Log-likelihoods by question; the number of those that differ."""
    def by_question(samples):
        return {sample["doc_id"]: float(sample["resps"][0][0][0]) for sample in samples}

    ours, theirs = by_question(ours), by_question(theirs)
    assert ours.keys() == theirs.keys()
    worst = max(ours, key=lambda i: abs(ours[i] - theirs[i]) / abs(theirs[i]))
    off = sum(abs(ours[i] - theirs[i]) > tolerance * abs(theirs[i]) for i in ours)
    print(f"\n{len(ours)} log-likelihoods; the worst differs by {abs(ours[worst] - theirs[worst]) / abs(theirs[worst]):.2%} "
          f"({ours[worst]:.2f}, transformers {theirs[worst]:.2f}); {off} by more than {tolerance:.1%}")
    return off


def main():
    parser = argument_parser(__doc__, limit=8)
    parser.add_argument("--tolerance", type=float, default=0.01)
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        write_gsm8k(folder, flags.data)
        (folder / "worked_answers.yaml").write_text(LIKELIHOOD + LOCAL_FILES.format(data=flags.data))
        with serving(flags.binary, flags.model, flags.engine_flags) as url:
            completions = completions_arguments(url, flags.model, concurrency=4, send_tokens=True)
            chat = server_arguments(url, "/v1/chat/completions", flags.model, concurrency=4)
            run("local-completions", completions, "gsm8k_local", folder, flags.limit)
            run("local-chat-completions", chat, "gsm8k_local", folder, flags.limit, "--apply_chat_template",
                "--fewshot_as_multiturn", "True")
            ours = run("local-completions", completions, "worked_answers", folder, flags.limit)
        theirs = run("hf", {"pretrained": flags.model, "dtype": "bfloat16"}, "worked_answers", folder, flags.limit, "--device",
                     "cpu")
    sys.exit(compare(ours, theirs, flags.tolerance) > 0)


if __name__ == "__main__":
    main()
