#!/usr/bin/env bash
# Fuzzes what reads bytes from outside, with libFuzzer under address and undefined behaviour sanitizers.
#   tools/fuzz.sh TARGET [SECONDS] [libFuzzer's flags]
# TARGET: request, chat_template, tokenizer, safetensors or config. SECONDS: 60; 0 goes on until interrupted.
# New inputs gather in build/fuzz/corpus/TARGET; a finding is written there as crash-…, and the exit code is not 0.
# Put the input of a mended finding into tests/fuzz/corpus/TARGET: ./test replays that folder.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

target=${1:-}
[ -f "$root/tests/fuzz/${target}_fuzz.cc" ] || die "usage: tools/fuzz.sh TARGET [SECONDS]; targets: $(cd "$root/tests/fuzz" && echo *_fuzz.cc | sed 's/_fuzz\.cc//g')"
seconds=${2:-60}
shift $(($# < 2 ? $# : 2))
build_targets fuzz "${target}_fuzz"

found=$root/build/fuzz/corpus/$target
mkdir -p "$found"
cd "$found"
exec "$root/build/fuzz/tests/fuzz/${target}_fuzz" "$found" "$root/tests/fuzz/corpus/$target" \
  -dict="$root/tests/fuzz/dictionaries/$target.dict" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 \
  -max_len=16384 -print_final_stats=1 "$@"
