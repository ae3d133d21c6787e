// Markdown, first half: lines to blocks, after CommonMark's algorithm for open containers.
//
// Serves CommonMark without HTML (which stays text) and without link reference definitions, GitHub's
// tables, and mathematics as models write it: $$ … $$, \[ … \], \begin{align} … \end{align}.
// Every line is looked at a bounded number of times, whatever is in it.

const MAX_DEPTH = 50; // of containers; deeper ones are text
const MAX_COLUMNS = 100;

const isSpace = (char) => char === " " || char === "\t";

/** Without the spaces and tabs around it; what else Unicode calls a space stays. */
export function trimSpaces(text) {
  let begin = 0, end = text.length;
  while (begin < end && (isSpace(text[begin]) || text[begin] === "\n")) begin++;
  while (end > begin && (isSpace(text[end - 1]) || text[end - 1] === "\n")) end--;
  return text.slice(begin, end);
}

/** How often `char` stands at `at` and right after it. */
export function runLength(text, at, char) {
  let end = at;
  while (text[end] === char) end++;
  return end - at;
}

/** The cells of a table's row: between bars that are not escaped. */
function splitRow(line) {
  let text = trimSpaces(line);
  if (text.startsWith("|")) text = text.slice(1);
  const cells = [];
  let cell = "";
  for (let i = 0; i < text.length; i++) {
    if (text[i] === "\\" && text[i + 1] === "|") {
      cell += "|";
      i++;
    } else if (text[i] === "|") {
      cells.push(trimSpaces(cell));
      cell = "";
    } else {
      cell += text[i];
    }
  }
  if (trimSpaces(cell) !== "") cells.push(trimSpaces(cell));
  return cells;
}

const ALIGNMENTS = { "00": null, "10": "left", "01": "right", "11": "center" };

/** Of the row below a table's head: how its columns are aligned, or null if it is no such row. */
function readAlignments(line) {
  if (!/^[-|: \t]+$/.test(line) || !line.includes("|")) return null;
  const cells = splitRow(line);
  if (cells.length === 0 || cells.length > MAX_COLUMNS) return null;
  if (!cells.every((cell) => /^:?-+:?$/.test(cell))) return null;
  return cells.map((cell) => ALIGNMENTS[`${+cell.startsWith(":")}${+cell.endsWith(":")}`]);
}

/** What ends the formula that begins a line, or null if none does. */
function mathCloser(rest) {
  if (rest.startsWith("$$")) return { skip: 2, close: "$$" };
  if (rest.startsWith("\\[")) return { skip: 2, close: "\\]" };
  const begin = /^\\begin\{(equation|align|alignat|gather|multline|eqnarray|displaymath)(\*?)\}/.exec(rest);
  return begin && { skip: 0, close: `\\end{${begin[1]}${begin[2]}}`, environment: true };
}

function endsWithBlankLine(block) {
  for (let each = block; each; each = each.children?.at(-1)) {
    if (each.lastLineBlank) return true;
    if (each.type !== "list" && each.type !== "item") return false;
  }
  return false;
}

/** Its items are paragraphs of their own if a blank line stands between any two of their blocks. */
function isTight(list) {
  return list.children.every((item, i) => {
    const hasNext = i + 1 < list.children.length;
    if (hasNext && endsWithBlankLine(item)) return false;
    return item.children.every(
      (child, j) => !((hasNext || j + 1 < item.children.length) && endsWithBlankLine(child)));
  });
}

const isLeafWithLines = (block) => block.type === "code" || block.type === "math" || block.type === "table";

class BlockParser {
  constructor() {
    this.root = { type: "document", children: [], open: true, depth: 0 };
    this.tip = this.root;
    this.lineNumber = 0;
  }

  parse(text) {
    let begin = 0;
    while (begin < text.length) {
      let end = text.indexOf("\n", begin);
      if (end < 0) end = text.length;
      this.lineBegin = begin;
      this.addLine(text.slice(begin, end));
      begin = end + 1;
    }
    this.atEnd = true;
    while (this.tip !== this.root) this.close(this.tip);
    return this.root.children;
  }

  // The line and how far it has been read; tabs go to columns that are multiples of four.

  look() {
    let next = this.offset, column = this.column;
    for (; isSpace(this.line[next]); next++) column += this.line[next] === "\t" ? 4 - (column % 4) : 1;
    this.next = next;
    this.nextColumn = column;
    this.indent = column - this.column;
    this.blank = next >= this.line.length;
  }

  advanceColumns(count) {
    while (count > 0 && this.offset < this.line.length) {
      const width = this.line[this.offset] === "\t" ? 4 - (this.column % 4) : 1;
      const step = Math.min(width, count);
      this.partialTab = step < width;
      this.column += step;
      if (!this.partialTab) this.offset++;
      count -= step;
    }
  }

  advanceToNext() {
    this.offset = this.next;
    this.column = this.nextColumn;
    this.partialTab = false;
  }

  /** Over characters that are no tabs. */
  advance(count) {
    this.offset += count;
    this.column += count;
    this.partialTab = false;
  }

  rest() {
    if (!this.partialTab) return this.line.slice(this.offset);
    return " ".repeat(4 - (this.column % 4)) + this.line.slice(this.offset + 1);
  }

  // Blocks.

  open(type, fields) {
    while (isLeafWithLines(this.tip) || this.tip.type === "paragraph" || this.tip.type === "heading" ||
           this.tip.type === "rule" || (this.tip.type === "list") !== (type === "item")) {
      this.close(this.tip);
    }
    const block = { type, open: true, parent: this.tip, depth: this.tip.depth + 1, begin: this.lineBegin,
                    lineNumber: this.lineNumber, ...fields };
    this.tip.children.push(block);
    this.tip = block;
    return block;
  }

  close(block) {
    block.open = false;
    if (block.type === "list") block.tight = isTight(block);
    if (block.type === "paragraph") block.text = trimSpaces(block.lines.join("\n"));
    if (block.type === "code") this.closeCode(block);
    if (block.type === "math") this.closeMath(block);
    this.tip = block.parent;
  }

  closeCode(block) {
    if (!block.fence) while (block.lines.length && trimSpaces(block.lines.at(-1)) === "") block.lines.pop();
    block.text = block.lines.map((line) => line + "\n").join("");
  }

  /** A formula without an end is text, unless the end may still come. */
  closeMath(block) {
    if (!block.closed && !this.atEnd) block.type = "paragraph";
    block.text = trimSpaces(block.lines.join("\n"));
    if (block.type === "paragraph") block.text = trimSpaces(block.source + block.text);
  }

  /** What the line does not go on with, once it is clear that it begins something else. */
  closeUnmatched() {
    if (this.allMatched) return;
    while (this.tip !== this.lastMatched) this.close(this.tip);
    this.allMatched = true;
  }

  addLine(line) {
    Object.assign(this, { line: line.includes("\0") ? line.replaceAll("\0", "\uFFFD") : line,
                          offset: 0, column: 0, partialTab: false });
    this.lineNumber++;
    let container = this.matchOpenBlocks();
    if (!container) return; // the line ended a block
    this.lastMatched = container;
    this.allMatched = container === this.tip;
    if (!isLeafWithLines(container)) container = this.openNewBlocks(container);
    if (container) this.addText(container);
    this.previousLineBegin = this.lineBegin;
  }

  matchOpenBlocks() {
    let container = this.root;
    for (;;) {
      const child = container.children?.at(-1);
      if (!child?.open) return container;
      this.look();
      const matched = this.continues(child);
      if (matched === "ended") return null;
      if (!matched) return container;
      container = child;
    }
  }

  continues(block) {
    switch (block.type) {
      case "quote":
        if (this.indent > 3 || this.line[this.next] !== ">") return false;
        this.advanceToNext();
        this.advance(1);
        if (isSpace(this.line[this.offset])) this.advanceColumns(1);
        return true;
      case "list":
        return true;
      case "item":
        if (this.blank) {
          if (block.children.length === 0) return false;
          this.advanceToNext();
          return true;
        }
        if (this.indent < block.width) return false;
        this.advanceColumns(block.width);
        return true;
      case "code":
        return block.fence ? this.continuesFence(block) : this.continuesIndented();
      case "math":
        return !this.blank && !block.closed;
      case "table":
        return !this.blank && !this.beginsOtherBlock();
      case "paragraph":
        return !this.blank;
      default:
        return false;
    }
  }

  continuesFence(block) {
    const length = this.indent <= 3 ? runLength(this.line, this.next, block.fence) : 0;
    if (length >= block.fenceLength && trimSpaces(this.line.slice(this.next + length)) === "") {
      while (this.tip !== block) this.close(this.tip);
      block.closed = true;
      this.close(block);
      return "ended";
    }
    this.advanceColumns(Math.min(this.indent, block.fenceIndent));
    return true;
  }

  continuesIndented() {
    if (this.indent >= 4) this.advanceColumns(4);
    else if (this.blank) this.advanceToNext();
    else return false;
    return true;
  }

  beginsOtherBlock() {
    const rest = this.line.slice(this.next, this.next + 12);
    return this.indent > 3 || /^(?:>|#{1,6}(?:[ \t]|$)|```|~~~|[-+*][ \t]|\d{1,9}[.)][ \t]|\$\$|\\\[)/.test(rest);
  }

  /** The block that takes the rest of the line, or null if nothing of it is left. */
  openNewBlocks(container) {
    for (;;) {
      this.look();
      const opened = this.openOne(container);
      if (!opened) {
        this.advanceToNext();
        return container;
      }
      if (opened === "whole line") return null;
      container = opened;
      if (isLeafWithLines(container)) return container;
    }
  }

  openOne(container) {
    if (this.blank) return null;
    if (this.indent >= 4) return this.openIndentedCode() || null;
    const deep = container.depth >= MAX_DEPTH;
    switch (this.line[this.next]) {
      case ">":
        return deep ? null : this.openQuote();
      case "#":
        return this.openHeading();
      case "`":
      case "~":
        return this.openFence();
      case "$":
      case "\\":
        return this.openMath();
      default:
        return this.openTable(container) || this.underline(container) || this.openRule() ||
               (deep ? null : this.openItem(container));
    }
  }

  openQuote() {
    this.closeUnmatched();
    this.advanceToNext();
    this.advance(1);
    if (isSpace(this.line[this.offset])) this.advanceColumns(1);
    return this.open("quote", { children: [] });
  }

  openHeading() {
    const level = runLength(this.line, this.next, "#");
    const after = this.line[this.next + level];
    if (level > 6 || (after !== undefined && !isSpace(after))) return null;
    let text = trimSpaces(this.line.slice(this.next + level));
    let end = text.length;
    while (text[end - 1] === "#") end--;
    if (end === 0 || isSpace(text[end - 1])) text = trimSpaces(text.slice(0, end));
    this.closeUnmatched();
    this.close(this.open("heading", { level, text }));
    return "whole line";
  }

  openFence() {
    const fence = this.line[this.next];
    const fenceLength = runLength(this.line, this.next, fence);
    const info = this.line.slice(this.next + fenceLength);
    if (fenceLength < 3 || (fence === "`" && info.includes("`"))) return null;
    this.closeUnmatched();
    this.open("code", { fence, fenceLength, fenceIndent: this.indent, info: trimSpaces(info), lines: [], closed: false });
    return "whole line";
  }

  openMath() {
    const rest = this.line.slice(this.next);
    const math = mathCloser(rest);
    if (!math) return null;
    const end = rest.indexOf(math.close, math.skip);
    if (end >= 0 && trimSpaces(rest.slice(end + math.close.length)) !== "") return null; // within a paragraph
    this.closeUnmatched();
    const block = this.open("math", { ...math, source: rest.slice(0, math.skip), lines: [], closed: false });
    this.addMathLine(block, rest.slice(math.skip));
    return "whole line";
  }

  addMathLine(block, line) {
    const end = line.indexOf(block.close);
    if (end < 0) return void block.lines.push(line);
    block.lines.push(block.environment ? line.slice(0, end) + block.close : line.slice(0, end));
    block.closed = true;
    const rest = trimSpaces(line.slice(end + block.close.length));
    this.close(block);
    if (rest) this.open("paragraph", { lines: [rest], begin: block.begin });
  }

  openTable(container) {
    if (container.type !== "paragraph") return null;
    const align = readAlignments(this.line.slice(this.next));
    if (!align) return null;
    const head = splitRow(container.lines.at(-1));
    if (head.length !== align.length || !(container.lines.at(-1).includes("|"))) return null;
    container.lines.pop();
    const begin = container.lines.length ? this.previousLineBegin : container.begin;
    if (container.lines.length === 0) {
      container.parent.children.pop();
      this.tip = container.parent;
      container.open = false;
    }
    this.open("table", { align, head, rows: [], begin });
    return "whole line";
  }

  /** A line of = or - makes the paragraph above it a heading. */
  underline(container) {
    if (container.type !== "paragraph") return null;
    const char = this.line[this.next];
    if (char !== "=" && char !== "-") return null;
    if (trimSpaces(this.line.slice(this.next + runLength(this.line, this.next, char))) !== "") return null;
    this.close(container);
    container.type = "heading";
    container.level = char === "=" ? 1 : 2;
    return "whole line";
  }

  openRule() {
    if (!/^(?:(?:\*[ \t]*){3,}|(?:_[ \t]*){3,}|(?:-[ \t]*){3,})$/.test(this.line.slice(this.next))) return null;
    this.closeUnmatched();
    this.close(this.open("rule"));
    return "whole line";
  }

  openItem(container) {
    const found = /^(?:[-+*]|(\d{1,9})[.)])(?=[ \t]|$)/.exec(this.line.slice(this.next, this.next + 11));
    if (!found) return null;
    const marker = found[0];
    const isEmpty = trimSpaces(this.line.slice(this.next + marker.length)) === "";
    const interrupts = container.type === "paragraph";
    if (interrupts && (isEmpty || (found[1] !== undefined && Number(found[1]) !== 1))) return null;
    this.closeUnmatched();
    const kind = marker.at(-1);
    let width = this.indent + marker.length;
    this.advanceToNext();
    this.advance(marker.length);
    this.look();
    const spaces = this.indent;
    const padding = isEmpty || spaces > 4 ? 1 : spaces;
    this.advanceColumns(padding);
    width += padding;
    const list = container.type === "list" && container.kind === kind ? container : null;
    if (!list) {
      const ordered = found[1] !== undefined;
      this.open("list", { kind, ordered, start: ordered ? Number(found[1]) : null, children: [] });
    }
    return this.open("item", { width, children: [] });
  }

  openIndentedCode() {
    if (this.tip.type === "paragraph") return null; // goes on with it
    this.closeUnmatched();
    this.advanceColumns(4);
    return this.open("code", { fence: null, info: "", lines: [], closed: true });
  }

  addText(container) {
    this.look();
    if (!this.allMatched && !this.blank && this.tip.type === "paragraph") {
      this.tip.lines.push(this.line.slice(this.next)); // CommonMark's lazy continuation
      return;
    }
    this.noteBlankLine(container);
    this.closeUnmatched();
    if (container.type === "code") container.lines.push(this.rest());
    else if (container.type === "math") this.addMathLine(container, this.line.slice(this.offset));
    else if (container.type === "table") container.rows.push(splitRow(this.line.slice(this.offset)).slice(0, container.align.length));
    else if (this.blank) return;
    else if (container.type === "paragraph") container.lines.push(this.line.slice(this.next));
    else this.open("paragraph", { lines: [this.line.slice(this.next)] });
  }

  noteBlankLine(container) {
    const last = container.children?.at(-1);
    if (this.blank && last) last.lastLineBlank = true;
    const isBlank = this.blank && container.type !== "quote" && !(container.type === "code" && container.fence) &&
                    !(container.type === "item" && !last && container.lineNumber === this.lineNumber);
    for (let each = container; each; each = each.parent) each.lastLineBlank = isBlank;
  }
}

/**
 * The blocks of `text`, whose lines end in \n. Each has a `type`, `begin` (where its first line begins)
 * and, by type: text; children; level; info; align, head, rows; ordered, start, tight.
 * Code and math have `closed`: false for a block that the text ends within.
 */
export function parseBlocks(text) {
  return new BlockParser().parse(text);
}
