#!/usr/bin/env python3
"""A checkpoint of random BF16 weights in a model's shape, to measure speed where the model itself cannot be had.

    make_random_checkpoint.py CONFIG OUTPUT [--tokenizer FOLDER]

CONFIG is a folder with a config.json, as bench/models/qwen3-0.6b-fp8; what it says of quantization is left out. Files of a tokenizer
(tokenizer*.json) are copied from FOLDER, for programs that want one. Needs transformers and torch.
"""
import argparse
import pathlib
import shutil

import torch
import transformers


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=pathlib.Path)
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("--tokenizer", type=pathlib.Path)
    args = parser.parse_args()
    config = transformers.AutoConfig.from_pretrained(args.config)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    torch.manual_seed(1)
    transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(args.output)
    for file in args.tokenizer.glob("tokenizer*.json") if args.tokenizer else []:
        shutil.copy(file, args.output)


if __name__ == "__main__":
    main()
