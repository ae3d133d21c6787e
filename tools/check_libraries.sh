#!/bin/sh
# The program may need only the system's C and C++ runtime libraries.
# Usage: check_libraries.sh PROGRAM
set -eu
extra=$(ldd "$1" | awk '{print $1}' |
  grep -vE '^(linux-vdso\.so\.1|libstdc\+\+\.so\.6|libm\.so\.6|libgcc_s\.so\.1|libc\.so\.6|/lib64/ld-linux-x86-64\.so\.2)$' || true)
if [ -n "$extra" ]; then
  echo "$1 needs more than the C and C++ runtimes:" $extra >&2
  exit 1
fi
