"""Models of the served families that are small enough for tests: real tokenizers and templates, random weights. What they
write makes no sense, but where a grammar makes them write calls, calls are what they write."""
import json
import lzma
import pathlib

DATA = pathlib.Path(__file__).resolve().parents[1] / "data"
CONTEXT = 4096


def _config(name, **changes):
    config = json.loads((DATA / "parity" / name / "config.json").read_text())
    return config | {"max_position_embeddings": CONTEXT} | changes


def _unpack(source, target):
    target.write_bytes(lzma.decompress(source.read_bytes()))


def qwen3(folder):
    """Qwen3: <think> and <tool_call> are tokens."""
    config = _config("qwen3-bf16-tied", vocab_size=151936, bos_token_id=151643, eos_token_id=151645)
    (folder / "config.json").write_text(json.dumps(config))
    tokenizers = DATA / "tokenizers" / "qwen3"
    _unpack(tokenizers / "tokenizer.json.xz", folder / "tokenizer.json")
    (folder / "tokenizer_config.json").write_bytes((tokenizers / "tokenizer_config.json").read_bytes())
    return str(folder)


def ministral3(folder):
    """Ministral 3, Reasoning: [THINK], [TOOL_CALLS] and [ARGS] are control tokens."""
    config = _config("ministral3-bf16-tied", vocab_size=131072)
    config["rope_parameters"]["original_max_position_embeddings"] = CONTEXT // 16
    (folder / "config.json").write_text(json.dumps(config))
    _unpack(DATA / "tokenizers" / "ministral3-tekken" / "tekken.json.xz", folder / "tekken.json")
    template = DATA / "chat-templates" / "ministral3" / "chat_template-Reasoning-2512.jinja"
    (folder / "chat_template.jinja").write_bytes(template.read_bytes())
    return str(folder)
