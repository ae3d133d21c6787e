#!/bin/sh
# Unpacks every FILE.xz below SOURCE to the same place below TARGET, with the plain files that lie
# beside it, so that a test can open the folder as a model. What is up to date is left alone.
# Usage: unpack_fixtures.sh SOURCE TARGET
set -eu

if [ $# -ne 2 ]; then
  echo "usage: $0 SOURCE TARGET" >&2
  exit 2
fi
if ! command -v xz >/dev/null; then
  echo "$0: xz is missing; install the package xz-utils" >&2
  exit 1
fi
mkdir -p "$2"
source=$(cd "$1" && pwd)
target=$(cd "$2" && pwd)

# Written beside its final name and then renamed: a killed run leaves no half file behind.
publish() {
  mv -f "$1.new.$$" "$1"
}

find "$source" -name '*.xz' | while IFS= read -r packed; do
  folder=$(dirname "$packed")
  relative=${folder#"$source"}
  mkdir -p "$target$relative"
  for file in "$folder"/*; do
    [ -f "$file" ] || continue
    output=$target$relative/$(basename "$file" .xz)
    [ -e "$output" ] && [ ! "$file" -nt "$output" ] && continue
    case $file in
      *.xz) xz -dc "$file" >"$output.new.$$" ;;
      *) cp "$file" "$output.new.$$" ;;
    esac
    publish "$output"
  done
done
