#!/usr/bin/env python3
"""Compares the kernels in a folder of code objects with those that ran on the simulated gfx1201: all must have run, without fault.

check_simulated_kernels.py FOLDER REPORT...     FOLDER: of a kernel cache; REPORT: ISOTOPE_SIM_REPORT
"""

import collections
import json
import re
import sys
import zlib
from pathlib import Path


def read_reports(files):
    """{(checksum of the code object, kernel): launches}"""
    launches = collections.Counter()
    for file in files:
        with open(file) as lines:
            for line in lines:
                launch = json.loads(line)
                if "kernel" in launch and not launch["fault"]:
                    launches[launch["code"], launch["kernel"]] += 1
    return launches


def kernels_below(folder):
    for path in sorted(Path(folder).rglob("*")):
        data = path.read_bytes() if path.is_file() else b""
        begin = data.find(b"\x7fELF")
        if begin >= 0:
            code = data[begin:]
            for name in sorted(set(re.findall(rb"(?<=\0)\w+(?=\.kd\0)", code))):
                yield zlib.crc32(code), name.decode(), path.name


def main(folder, *reports):
    launches = read_reports(reports)
    kernels = list(kernels_below(folder))
    missing = [(name, file) for checksum, name, file in kernels if not launches[checksum, name]]
    for name, file in missing:
        print(f"{name} of {file} has not run on the simulated gfx1201")
    print(f"{len(kernels) - len(missing)} of {len(kernels)} kernels have run on the simulated gfx1201")
    return 1 if missing or not kernels else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
