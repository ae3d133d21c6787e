#!/usr/bin/env python3
"""Writes what the library `tokenizers` does, as test vectors for our own tokenizers.

    python3 -m venv /path/to/venv && /path/to/venv/bin/pip install tokenizers==0.23.3
    /path/to/venv/bin/python tools/make_tokenizer_vectors.py

Reads tests/data/stories260K/tokenizer.json. Writes, below tests/data/tokenizers/:
  gpt2-style/tokenizer.json     trained here: Digits + ByteLevel with its regex, as SmolLM2 does it
  metaspace/tokenizer.json      trained here: SentencePiece-style BPE, Metaspace, byte fallback
  hf-vectors.json               ids and decoded texts; utf8-replacement cases from Python's own decoder
A case of hf-vectors.json may patch its tokenizer first: fields of "model" one by one, other fields as a whole.
"""

import json
import random
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

DATA = Path(__file__).resolve().parent.parent / "tests" / "data"
OUT = DATA / "tokenizers"

CORPUS = [
    "Once upon a time there was a little girl who lived in 3 houses with 12 cats and 144 mice.",
    "The quick brown fox doesn't jump over the lazy dog; it's sleeping, and they'll wait.",
    "def main(argc):\n    return {'key': [1, 22, 333], 'other': None}\n\n\n\tprint(main(0))",
    "Größe, Übermut und Straße: das ist schön. Déjà vu à la carte, naïve façade.",
    "Привет, мир! Как дела? 日本語のテキスト。中文字符。 안녕하세요 세계",
    "https://example.com/a/b?c=d&e=f#g   spaces    everywhere     here",
    "the then them these those that there their thesis theory theme lower lowest newest widest",
] * 20

TEXTS = [
    "", " ", "  ", "   ", "a", " a", "a ", "  a  b   c", "\n", "\n\n\n", " \n \t \r\n x", "\t\t",
    "Hello, world!", " Hello", "Hello  world", "hello\nworld", "Once upon a time, there was a girl.",
    "don't can't we'll I'M YOU'RE it'S", "1", "12", "123", "1234567890", "a1b22c333", "3.14159e-10", "x²+½=Ⅷ٣४",
    "Straße Größe ÄÖÜ", "e\u0301 vs \u00e9", "A\u030a \u212b", "\u1e9b\u0323", "ﬁ ﬃ ﷺ", "a\u0323\u0307 a\u0307\u0323",
    "Привет, мир", "日本語のテキスト", "中文，標點！", "안녕하세요", "ᄀ\u1161\u11a8 각", "مرحبا بالعالم", "שלום עולם", "नमस्ते दुनिया", "ไทยภาษา", "தமிழ்",
    "🙂", "👩‍👩‍👧‍👦 family", "🇩🇪🇫🇷", "👍🏽", "\U0001d54f\U0010ffff", "\u0000\u0001\u007f\u0080", "a\u00a0b\u2003c\u3000d\u180ee\u0085f", "\ufeffbom\u200b",
    "\ufffd\ufffe", "▁already▁meta", "▁", "▁▁a", "<unk>", "<s>Hello</s>", "<s> Hello </s> you", "a<s>b", "<|im_start|>user\nhi<|im_end|>\n",
    "<|im_start|><|im_start|>  x", "<0x0A><0xFF>", "<0x41", "{\"a\": [1, 2, {\"b\": null}]}", "for (int i=0; i<10; ++i) { s += a[i]; }",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "ababababababababababababa", "theththethetheth", "!!!!!!??????....", "a" + " " * 50 + "b",
    "\r\n\r\n", "x\r\ny\rz", "CamelCaseWordsHTTPServer", "snake_case_word", "don’t “quote” — dash…", "ſtrange 'ſ K'elvin", "Ⅻ ⓐ ﷼",
]

ADDED_TEXTS = [
    "<ls> x <rs> y <both> z", "a  <ls>  b  <rs>  c  <both>  d", "<word> a<word> <word>b <word>", "_<word>_ é<word> (<word>)",
    "<Norm> <NORM> a<Norm>b", "<ab> <abc> <abcd <abc", "<<ab>> <a<ab>", "\t<ls>\n\u3000<both>\u00a0<rs>", "<ls><rs><both><word>", "日<word>本 <word>",
]

SPLIT_TEXTS = ["", "a-b--c", "-a-", "--", "one-two 3-4", " - ", "日-本--語", "a1-2b", "no delimiters"]


def train(tokenizer, trainer):
    tokenizer.train_from_iterator(CORPUS, trainer)
    return json.loads(tokenizer.to_str())


def gpt2_style():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=420, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
                                  special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    return train(tokenizer, trainer)


def metaspace():
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=True)
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    trainer = trainers.BpeTrainer(vocab_size=620, show_progress=False,
                                  special_tokens=["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)])
    document = train(tokenizer, trainer)
    # The bytes are ordinary tokens of the vocabulary, not added ones.
    document["added_tokens"] = document["added_tokens"][:3]
    return document


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=True, separators=(",", ":")) + "\n")


def replace_pieces(*steps):
    return {"type": "Sequence", "pretokenizers": list(steps)}


BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}


def variants(gpt2):
    """(name, tokenizer, patch, texts): one for each component and option that tokenizer files use."""
    yield "stories260K", "../stories260K", {}, TEXTS
    yield "gpt2-style", "gpt2-style", {}, TEXTS
    yield "metaspace", "metaspace", {}, TEXTS
    for scheme in ("always", "never"):
        for split in (True, False):
            yield (f"metaspace-{scheme}-{split}", "metaspace",
                   {"pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split}}, TEXTS)
    yield "no-byte-fallback", "metaspace", {"model": {"byte_fallback": False}}, TEXTS
    yield "no-byte-fallback-no-fuse", "metaspace", {"model": {"byte_fallback": False, "fuse_unk": False}}, TEXTS
    yield "drop-unknown", "metaspace", {"model": {"byte_fallback": False, "unk_token": None}}, TEXTS
    yield "ignore-merges", "gpt2-style", {"model": {"ignore_merges": True, "merges": gpt2["model"]["merges"][:40]}}, TEXTS
    yield "prefix-space", "gpt2-style", {"pre_tokenizer": {**BYTE_LEVEL, "add_prefix_space": True, "use_regex": True}}, TEXTS
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        yield form, "gpt2-style", {"normalizer": {"type": form}}, TEXTS
    yield ("replace-normalizer", "gpt2-style",
           {"normalizer": {"type": "Sequence", "normalizers": [
               {"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": "_"}, {"type": "Prepend", "prepend": "> "}]}}, TEXTS)
    yield "digits", "gpt2-style", {"pre_tokenizer": replace_pieces({"type": "Digits", "individual_digits": False}, BYTE_LEVEL)}, TEXTS
    yield ("punctuation", "gpt2-style",
           {"pre_tokenizer": replace_pieces({"type": "Punctuation", "behavior": "Contiguous"}, BYTE_LEVEL)}, TEXTS)
    patterns = [{"Regex": "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
                          "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}, {"Regex": "\\w+|[^\\w\\s]+"}, {"Regex": "^\\s|\\s+$"}]
    for i, pattern in enumerate(patterns):
        split = {"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False}
        yield f"split-regex-{i}", "gpt2-style", {"pre_tokenizer": replace_pieces(split, BYTE_LEVEL)}, TEXTS
    for behavior in ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"):
        for invert in (False, True):
            for pattern in ({"String": "-"}, {"Regex": "[-0-9]"}):
                split = {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}
                yield (f"split-{behavior}-{invert}-{list(pattern)[0]}", "gpt2-style",
                       {"pre_tokenizer": replace_pieces(split, BYTE_LEVEL)}, SPLIT_TEXTS)
    yield "added-tokens", "gpt2-style", {"added_tokens": added_tokens(gpt2)}, ADDED_TEXTS
    yield "added-tokens-nfkc", "gpt2-style", {"added_tokens": added_tokens(gpt2), "normalizer": {"type": "NFKC"}}, ADDED_TEXTS + ["＜Norm＞<Norm>"]
    yield ("template", "gpt2-style", {"post_processor": {"type": "Sequence", "processors": [
        {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True},
        {"type": "TemplateProcessing",
         "single": [{"SpecialToken": {"id": "<|im_start|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                    {"SpecialToken": {"id": "<|im_end|>", "type_id": 0}}],
         "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
         "special_tokens": {"<|im_start|>": {"id": "<|im_start|>", "ids": [1], "tokens": ["<|im_start|>"]},
                            "<|im_end|>": {"id": "<|im_end|>", "ids": [2, 0], "tokens": ["<|im_end|>", "<|endoftext|>"]}}}]}},
           ["", "Hello", "a<|im_end|>b"])


def added_tokens(gpt2):
    first = len(gpt2["model"]["vocab"])
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}
    extra = [("<ls>", {"lstrip": True}), ("<rs>", {"rstrip": True}), ("<both>", {"lstrip": True, "rstrip": True, "special": True}),
             ("<word>", {"single_word": True}), ("<Norm>", {"normalized": True}), ("<ab>", {}), ("<abc>", {}), ("<a", {}), ("<abc", {"special": True})]
    return gpt2["added_tokens"] + [{"id": first + i, "content": content, **flags, **changes} for i, (content, changes) in enumerate(extra)]


def patched(document, patch):
    result = dict(document)
    for field, value in patch.items():
        result[field] = {**document[field], **value} if field == "model" else value
    return result


def decode_samples(tokenizer, texts, rng):
    """Ids of texts, and pieces of them that begin and end anywhere: also inside a character."""
    for text in texts:
        ids = tokenizer.encode(text).ids
        begin = rng.randint(0, len(ids))
        for sample in (ids, ids[begin:], ids[:begin]):
            if sample:
                yield sample


def is_valid_run(tokenizer, ids):
    """ByteFallback replaces every byte of a broken run; we replace as Unicode says. Skip broken runs."""
    decoder = json.loads(tokenizer.to_str())["decoder"]["type"]
    return decoder == "ByteLevel" or "\ufffd" not in tokenizer.decode(ids, skip_special_tokens=False)


def vectors_of(name, folder, patch, texts, rng):
    document = json.loads((OUT / folder / "tokenizer.json").read_text())
    tokenizer = Tokenizer.from_str(json.dumps(patched(document, patch)))
    encode = []
    for text in texts:
        case = {"text": text, "ids": tokenizer.encode(text, add_special_tokens=False).ids}
        with_special = tokenizer.encode(text, add_special_tokens=True).ids
        if with_special != case["ids"]:
            case["ids_with_special"] = with_special
        encode.append(case)
    decode = []
    for ids in decode_samples(tokenizer, [] if patch else texts, rng):
        if is_valid_run(tokenizer, ids):
            decode.append({"ids": ids, "text": tokenizer.decode(ids, skip_special_tokens=False),
                           "text_without_special": tokenizer.decode(ids, skip_special_tokens=True)})
    return {"name": name, "tokenizer": folder, "patch": patch, "encode": encode, "decode": decode}


def utf8_cases(rng):
    """Broken UTF-8 and Python's replacement, which follows Unicode's recommendation."""
    interesting = [0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC2, 0xDF, 0xE0, 0xE1, 0xED, 0xEF, 0xF0, 0xF1, 0xF4, 0xF5, 0xFF]
    cases = [bytes(rng.choice(interesting) for _ in range(rng.randint(1, 9))) for _ in range(400)]
    return [{"hex": case.hex(), "text": case.decode("utf-8", "replace")} for case in cases]


def main():
    rng = random.Random(1)
    gpt2 = gpt2_style()
    write(OUT / "gpt2-style" / "tokenizer.json", gpt2)
    write(OUT / "metaspace" / "tokenizer.json", metaspace())
    cases = [vectors_of(*variant, rng) for variant in variants(gpt2)]
    write(OUT / "hf-vectors.json", {"cases": cases, "utf8_replacement": utf8_cases(rng)})
    print(len(cases), "tokenizers,", sum(len(case["encode"]) for case in cases), "texts,",
          sum(len(case["decode"]) for case in cases), "decoded sequences")


if __name__ == "__main__":
    main()
