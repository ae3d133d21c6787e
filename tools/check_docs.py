#!/usr/bin/env python3
"""Holds every Markdown file to what it says.

    tools/check_docs.py [--binary build/release/isotope]

- Links and anchors lead somewhere, and docs/README.md, the table of contents, links every page of docs/ and recipes/.
- A fenced block without a language, or in sh, is commands of a shell, and a comment in front of it says what becomes of them
  (blocks of python may have one):

      <!-- run -->              tests/docs/test_commands.py runs them; they must end with 0
      <!-- run: exit 1 -->      … with 1
      <!-- run: serve -->       … they start a server, which the file's later blocks may ask
      <!-- output -->           for a block of `text` behind it: what they print; … stands for anything
      <!-- tested: PATH -->     that test does the same; with a page, its block of the same commands, which is run
      <!-- not run: REASON -->

- With --binary: every flag in code is one that the program's --help has.
- In tables with the column "message", each text between backquotes is one of the program's (… stands for values).
"""

import argparse
import dataclasses
import functools
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHELL = {"", "sh", "bash", "shell", "console"}
# In code without a program in front of it: flags of programs that are not ours.
FOREIGN_FLAGS = {"--sanitize": "./test", "--apply_chat_template": "lm_eval", "--use-server-token-count": "aiperf",
                 "--backend": "guidellm"}


@dataclasses.dataclass
class Block:
    """A fenced block of code: its language, its lines, the comment in front of it."""

    line: int
    language: str
    lines: list
    marker: str = ""

    def commands(self):
        """One string a command: continued lines are joined, comments left out."""
        text = re.sub(r"\\\n", " ", "\n".join(self.lines))
        return [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]


@dataclasses.dataclass
class Page:
    path: Path
    blocks: list
    prose: list  # (number, line) outside of blocks
    problems: list

    @property
    def name(self):
        return str(self.path.relative_to(ROOT))

    def problem(self, line, text):
        self.problems.append(f"{self.name}:{line}: {text}")


def pages():
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard", "*.md"],
                            capture_output=True, text=True)
    names = listed.stdout.split("\n") if listed.returncode == 0 else [
        str(path.relative_to(ROOT)) for folder in (".", "docs", "recipes") for path in (ROOT / folder).glob("*.md")]
    return [read_page(ROOT / name) for name in sorted(filter(None, names)) if (ROOT / name).exists()]


def read_page(path):
    page = Page(path, [], [], [])
    block, fence, marker, blank = None, "", "", True
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        opening = re.match(r"\s{0,3}(`{3,}|~{3,})(.*)$", line)
        if block is not None:
            if opening and opening[1].startswith(fence) and not opening[2].strip():
                block = None
            else:
                block.lines.append(line)
            continue
        comment = re.fullmatch(r"\s*<!--\s*(.*?)\s*-->\s*", line)
        if opening:
            fence = opening[1]
            block = Block(number, opening[2].strip().split(" ")[0], [], marker)
            page.blocks.append(block)
            marker = ""
        elif comment:
            marker = comment[1]
        else:
            if re.match(r"(\t| {4,})\S", line) and blank and not (page.prose and in_list(page.prose)):
                page.problem(number, "code by indentation; use a fence, so that it can have a marker")
            page.prose.append((number, line))
            marker = marker if not line.strip() else ""
        blank = not line.strip()
    if block is not None:
        page.problem(block.line, "this block does not end")
    return page


def in_list(prose):
    for _, line in reversed(prose):
        if line.strip():
            return line.startswith((" ", "-", "*")) or bool(re.match(r"\d+\.", line))
    return False


def without_code(line):
    return re.sub(r"(`+).*?\1", lambda match: "`" * len(match[0]), line)


# Links


@functools.cache
def anchors(path):
    """The anchors that GitHub gives a page's headings."""
    found = set()
    for _, line in read_page(path).prose:
        heading = re.match(r"#{1,6}\s+(.*?)\s*#*$", line)
        if heading:
            text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1])
            slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            count = 0
            while (name := f"{slug}-{count}" if count else slug) in found:
                count += 1
            found.add(name)
    return found


def links(page):
    for number, line in page.prose:
        for match in re.finditer(r"\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)", without_code(line)):
            yield number, match[1]


def check_links(page):
    for number, target in links(page):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.path.parent / path).resolve() if path else page.path
        if not file.exists():
            page.problem(number, f"the link {target} leads nowhere")
        elif anchor and (file.suffix != ".md" or anchor not in anchors(file)):
            page.problem(number, f"the link {target}: {path or 'this page'} has no heading #{anchor}")


def check_contents(all_pages):
    book = ROOT / "docs/README.md"
    table = read_page(book)
    linked = {(book.parent / target.partition("#")[0]).resolve() for _, target in links(table)}
    for page in all_pages:
        if page.path.parent in (ROOT / "docs", ROOT / "recipes") and page.path not in linked | {book}:
            page.problem(1, "docs/README.md, the table of contents, does not link this page")


# Commands


def check_markers(page):
    run_before = False
    for block in page.blocks:
        kind, _, rest = block.marker.partition(":")
        rest = rest.strip()
        if block.language not in SHELL and not (block.language == "python" and kind):
            if kind == "output" and not run_before:
                page.problem(block.line, "output of a block that is not run")
            run_before = False
            continue
        run_before = kind == "run"
        if kind == "run" and (not rest or rest == "serve" or re.fullmatch(r"exit \d+", rest)):
            continue
        if kind == "not run" and rest:
            continue
        if kind == "tested" and rest:
            if not (ROOT / rest).exists():
                page.problem(block.line, f"tested by {rest}, which is not there")
            elif rest.endswith(".md") and not any(other.lines == block.lines and other.marker.startswith("run")
                                                  for other in read_page(ROOT / rest).blocks):
                page.problem(block.line, f"{rest} does not run the same commands")
            continue
        page.problem(block.line, "commands without a marker (run, tested: PATH, not run: REASON; see tools/check_docs.py); "
                                 "if this is no command, name the block's language, such as text")


def matches(expected, output):
    """Whether the output holds these lines, one after another; … stands for anything, between lines too."""
    pattern = r"\s+".join(".*?".join(re.escape(part) for part in re.split("…", line.strip())) for line in expected if line.strip())
    return re.search(re.sub(r"\\ ", r"\\s+", pattern), output, re.DOTALL)


# Flags


class Help:
    """The flags of every verb, as --help has them."""

    def __init__(self, binary):
        self.binary = str(binary)
        self.flags = {}
        self.examples = []
        self._read(())
        self.all = set().union(*self.flags.values())

    def _read(self, verb):
        text = subprocess.run([self.binary, *verb, "--help"], capture_output=True, text=True, check=True).stdout
        options = re.findall(r"(?m)^  (-[^\n]*?)(?:\s{2,}|$)", text)
        self.flags[verb] = {flag for option in options for flag in re.findall(r"(?<![\w-])--?[a-z][\w-]*", option)}
        self.examples += re.findall(r"(?m)^  (isotope .*)", text.partition("Example")[2])
        listed = re.search(r"(?ms)^Subcommands:\n(.*?)(?:\n\n|\Z)", text)
        for name in re.findall(r"(?m)^  ([a-z][\w-]*)", listed[1]) if listed else []:
            self._read((*verb, name))

    def unknown(self, words):
        """Flags behind `isotope` that its verb has not; None if there is no such verb."""
        verb, allowed, unknown = (), set(self.flags[()]), []
        for word in words:
            if (*verb, word) in self.flags:
                verb = (*verb, word)
                allowed |= self.flags[verb]
            elif not verb and not word.startswith("-") and re.fullmatch(r"[a-z]+", word) and not unknown:
                return None
            elif re.match(r"--?[a-zA-Z]", word) and word.split("=")[0] not in allowed:
                unknown.append(word.split("=")[0])
            if word in ("|", "&", "&&", ";", ">"):
                break
        return unknown


def words_of(command):
    try:
        return shlex.split(command)
    except ValueError:
        return command.split()


def check_flags(page, known):
    def check(number, command):
        words = words_of(command)
        for at, word in enumerate(words):
            if (word == "isotope" or word.endswith("release/isotope")) and not (at and words[at - 1].startswith("-")):
                unknown = known.unknown(words[at + 1:])
                if unknown is None:
                    page.problem(number, f"isotope has no verb '{words[at + 1]}'")
                for flag in unknown or []:
                    page.problem(number, f"{flag} is not in the --help of that command")
                return

    for block in page.blocks:
        if block.language in SHELL:
            for command in block.commands():
                check(block.line, command)
    for number, line in page.prose:
        for _, code in re.findall(r"(`+)(.+?)\1", line):
            if code.startswith("isotope "):
                check(number, code)
            elif re.match(r"--[a-z]", code):
                for flag in re.findall(r"(?:^|[\s,])(--[a-z][\w-]*)", code):
                    if flag not in known.all and flag not in FOREIGN_FLAGS:
                        page.problem(number, f"no command has the flag {flag}")


# Messages


@functools.cache
def source_texts():
    """Every literal of the sources as the program prints it, neighbours joined; a value is a `…`."""
    texts = []
    literal = r'"(?:[^"\\\n]|\\.)*"'
    for path in sorted((ROOT / "src").rglob("*")):
        if path.suffix in {".cc", ".h"} and "test" not in path.name:
            source = re.sub(r"(?m)^\s*//.*$", "", path.read_text(encoding="utf-8"))
            for match in re.finditer(rf"{literal}(?:\s*{literal})*", source):
                text = "".join(part[1:-1] for part in re.findall(literal, match[0]))
                text = re.sub(r"\{\w*(?::[^{}]*)?\}", "…", text.replace("{{", "⦃").replace("}}", "⦄"))
                text = text.replace("⦃", "{").replace("⦄", "}").replace('\\"', '"').replace("\\n", "\n")
                texts.append(text)
    return texts


def says(pattern, text, whole=False):
    """Whether a text has the words of a pattern between its values, in this order."""
    parts = [part.strip() for part in pattern.split("…")]
    if any(part not in text for part in parts):
        return False
    regex = ".*?".join(map(re.escape, parts))
    return bool((re.fullmatch if whole else re.search)(regex, text, re.DOTALL))


def is_message(text):
    """Whether a literal has the words of this text, or the text is a literal with some values filled in."""
    return any(says(text, source) or (sum(map(str.isalpha, source)) >= 8 and says(source, text, whole=True))
               for source in source_texts())


def check_messages(page):
    inside = False
    for number, line in page.prose:
        if not line.startswith("|"):
            inside = False
        elif re.match(r"\|\s*message\s*\|", line):
            inside = True
        elif inside and not set(line) <= set("|-: "):
            first = re.split(r"(?<!\\)\|", line)[1]
            for _, text in re.findall(r"(`+)(.+?)\1", first):
                if not is_message(text.replace("\\|", "|")):
                    page.problem(number, f"the program has no such message: {text}")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--binary", help="also compare flags with its --help")
    binary = arguments.parse_args().binary
    all_pages = pages()
    known = Help(binary) if binary else None
    for page in all_pages:
        check_links(page)
        check_markers(page)
        check_messages(page)
        if known:
            check_flags(page, known)
    check_contents(all_pages)
    problems = [problem for page in all_pages for problem in page.problems]
    for example in known.examples if known else []:
        if known.unknown(words_of(example)[1:]) != []:
            problems.append(f"--help: the example `{example}` has a flag or verb that is not there")
    print(*problems, sep="\n", file=sys.stderr)
    if problems:
        return 1
    blocks = [block for page in all_pages for block in page.blocks]
    count = {kind: sum(block.marker.split(":")[0] == kind for block in blocks) for kind in ("run", "tested", "not run")}
    print(f"{len(all_pages)} pages; blocks of commands: {count['run']} run, {count['tested']} tested elsewhere, "
          f"{count['not run']} not run")
    return 0


if __name__ == "__main__":
    sys.exit(main())
