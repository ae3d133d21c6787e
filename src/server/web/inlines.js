// Markdown, second half: the text of a block to emphasis, links, code and formulas, after CommonMark's
// algorithm with stacks of delimiters and brackets. HTML stays text. Time grows linearly with the text:
// whatever is looked for ahead is looked for within a bound, or not again once it was missed.
import { runLength } from "./blocks.js";

const MAX_DEPTH = 30;      // of emphasis and links
const MAX_DELIMITERS = 100; // in a row; longer rows are text
const MAX_LINK = 2000, MAX_FORMULA = 4000;

const ENTITIES = {
  amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00A0", copy: "©", reg: "®", trade: "™", hellip: "…",
  mdash: "—", ndash: "–", lsquo: "‘", rsquo: "’", ldquo: "“", rdquo: "”", laquo: "«", raquo: "»", bull: "•",
  middot: "·", deg: "°", plusmn: "±", times: "×", divide: "÷", frac12: "½", frac14: "¼", frac34: "¾", larr: "←",
  uarr: "↑", rarr: "→", darr: "↓", harr: "↔", le: "≤", ge: "≥", ne: "≠", asymp: "≈", infin: "∞", sum: "∑",
  radic: "√", euro: "€", pound: "£", yen: "¥", cent: "¢", sect: "§", para: "¶", micro: "µ", alpha: "α", beta: "β",
  gamma: "γ", delta: "δ", pi: "π", lambda: "λ", mu: "μ", sigma: "σ", omega: "ω", auml: "ä", ouml: "ö", uuml: "ü",
  Auml: "Ä", Ouml: "Ö", Uuml: "Ü", szlig: "ß", eacute: "é", egrave: "è", shy: "\u00AD", zwj: "\u200D",
};

const ESCAPABLE = /[!-/:-@[-`{-~]/;
const PUNCTUATION = /[\p{P}\p{S}]/u;
const CJK = /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Hangul}]/u;
const PLAIN = /[^\n\\`*_~$[\]!<&]+/y;
const BARE_URL = /https?:\/\/[^\s<]/;
const URI = /<([A-Za-z][A-Za-z0-9.+-]{1,31}:[^\s<>\u0000-\u0020]{0,2000})>/y;
const EMAIL = /<([\w.!#$%&'*+/=?^`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,8})>/y;
const ENTITY = /&(?:#(\d{1,7})|#[xX]([0-9A-Fa-f]{1,6})|([A-Za-z][A-Za-z0-9]{1,30}));/y;

function matchAt(pattern, text, at) {
  pattern.lastIndex = at;
  return pattern.exec(text);
}

function decodeEntity(found) {
  if (found[3]) return Object.hasOwn(ENTITIES, found[3]) ? ENTITIES[found[3]] : null;
  const code = found[1] ? parseInt(found[1], 10) : parseInt(found[2], 16);
  const isCharacter = code > 0 && code <= 0x10ffff && !(code >= 0xd800 && code < 0xe000);
  return isCharacter ? String.fromCodePoint(code) : "\uFFFD";
}

/** Without backslashes before punctuation, and with what entities stand for. */
export function unescapeText(text) {
  let result = "";
  for (let i = 0; i < text.length;) {
    const entity = text[i] === "&" ? matchAt(ENTITY, text, i) : null;
    const decoded = entity && decodeEntity(entity);
    if (decoded) {
      result += decoded;
      i += entity[0].length;
      continue;
    }
    if (text[i] === "\\" && ESCAPABLE.test(text[i + 1] ?? "")) i++;
    result += text[i++];
  }
  return result;
}

const isWhite = (char) => char === undefined || /\s/.test(char);

/** A node is in a list with others; those with children have `first`. */
class List {
  first = null;
  last = null;

  push(node) {
    node.prev = this.last;
    node.next = null;
    if (this.last) this.last.next = node;
    else this.first = node;
    return (this.last = node);
  }

  remove(node) {
    if (node.prev) node.prev.next = node.next;
    else this.first = node.next;
    if (node.next) node.next.prev = node.prev;
    else this.last = node.prev;
  }

  insertAfter(place, node) {
    node.prev = place;
    node.next = place.next;
    if (place.next) place.next.prev = node;
    else this.last = node;
    place.next = node;
  }

  /** Moves what stands between `begin` and `end` (null: the list's end) into a new node after `begin`. */
  wrap(begin, end, node) {
    const first = begin.next;
    const last = end ? end.prev : this.last;
    node.inner = new List();
    if (first && first !== end) {
      node.inner.first = first;
      node.inner.last = last;
      begin.next = end;
      if (end) end.prev = begin;
      else this.last = begin;
      first.prev = null;
      last.next = null;
    }
    this.insertAfter(begin, node);
  }
}

function depthOf(first, end) {
  let depth = 0;
  for (let node = first; node && node !== end; node = node.next) depth = Math.max(depth, node.depth ?? 0);
  return depth;
}

/** As arrays, with neighbouring texts joined; links within links are their texts. */
function toArray(list, inLink) {
  const result = [];
  const add = (node) => {
    const last = result.at(-1);
    if (node.type === "text" && last?.type === "text") last.text += node.text;
    else if (node.type !== "text" || node.text !== "") result.push(node);
  };
  for (let node = list.first; node; node = node.next) {
    const { type, text, dest, title, display } = node;
    if (!node.inner) {
      add({ type, text, ...(display === undefined ? {} : { display }) });
      continue;
    }
    const children = toArray(node.inner, inLink || type === "link");
    if (type === "link" && inLink) children.forEach(add);
    else add({ type, children, ...(dest === undefined ? {} : { dest, title }) });
  }
  return result;
}

class InlineParser {
  constructor(text) {
    this.text = text;
    this.at = 0;
    this.list = new List();
    this.delimiter = null; // the last of the delimiters, which form a list
    this.bracket = null;   // likewise
    this.missing = new Set(); // closers that are not there any more
    this.order = 0;           // of delimiters
    this.tooDeep = false;     // from here on emphasis and links are text
  }

  parse() {
    while (this.at < this.text.length) this.parseOne();
    this.processEmphasis(null);
    return toArray(this.list, false);
  }

  addText(text) {
    return this.list.push({ type: "text", text });
  }

  parseOne() {
    const char = this.text[this.at];
    switch (char) {
      case "\n": return this.parseNewline();
      case "\\": return this.parseBackslash();
      case "`": return this.parseCode();
      case "*":
      case "_":
      case "~": return this.parseDelimiters(char);
      case "$": return this.parseDollar();
      case "[": return this.openBracket(1);
      case "!": return this.text[this.at + 1] === "[" ? this.openBracket(2) : this.takeText(1);
      case "]": return this.closeBracket();
      case "<": return this.parseAutolink();
      case "&": return this.parseEntity();
      default: return this.parsePlain();
    }
  }

  takeText(length) {
    this.addText(this.text.slice(this.at, this.at + length));
    this.at += length;
  }

  parsePlain() {
    const run = matchAt(PLAIN, this.text, this.at)[0];
    const url = run.includes("://") || run.endsWith("//") || run.endsWith("/") ? BARE_URL.exec(run) : null;
    if (!url) return this.takeText(run.length);
    const begin = this.at + url.index;
    if (url.index > 0) this.takeText(url.index);
    if (begin > 0 && /[A-Za-z0-9]/.test(this.text[begin - 1])) return this.takeText(url[0].length);
    this.parseBareUrl();
  }

  /** As GitHub: up to a space, without the punctuation that ends the sentence. */
  parseBareUrl() {
    const url = /[^\s<]*/y;
    const text = this.text.slice(this.at, this.at + MAX_LINK);
    let end = matchAt(url, text, 0)[0].length;
    const count = (char) => text.slice(0, end).split(char).length;
    let surplus = count(")") - count("("); // of closing parentheses
    for (;; end--) {
      const last = text[end - 1];
      if (last === ")" && surplus > 0) surplus--;
      else if (!/[?!.,:;*_~'"`\]]/.test(last)) break;
    }
    this.pushLink(text.slice(0, end), text.slice(0, end));
    this.at += end;
  }

  pushLink(dest, text) {
    const inner = new List();
    inner.push({ type: "text", text });
    this.list.push({ type: "link", dest, title: "", inner, depth: 1 });
  }

  parseNewline() {
    this.at++;
    const last = this.list.last;
    let isHard = false;
    if (last?.type === "text") {
      let end = last.text.length;
      while (last.text[end - 1] === " ") end--;
      isHard = last.text.length - end >= 2;
      last.text = last.text.slice(0, end);
    }
    this.list.push({ type: isHard ? "hardbreak" : "softbreak" });
    while (this.text[this.at] === " " || this.text[this.at] === "\t") this.at++;
  }

  parseBackslash() {
    const next = this.text[this.at + 1];
    if (next === "\n") {
      this.list.push({ type: "hardbreak" });
      this.at += 2;
      while (this.text[this.at] === " ") this.at++;
    } else if ((next === "(" && this.parseFormula("\\)", 2, false)) || (next === "[" && this.parseFormula("\\]", 2, true))) {
      return;
    } else if (next !== undefined && ESCAPABLE.test(next)) {
      this.addText(next);
      this.at += 2;
    } else {
      this.takeText(1);
    }
  }

  /** From the opener at hand, which is `open` long, to `close`. */
  parseFormula(close, open, display) {
    if (this.missing.has(close)) return false;
    const begin = this.at + open;
    if (!(this.found?.close === close && this.found.end >= begin)) {
      this.found = { close, end: this.text.indexOf(close, begin) };
    }
    const { end } = this.found;
    if (end < 0) this.missing.add(close);
    if (end < 0 || end - begin > MAX_FORMULA || this.text.slice(begin, end).trim() === "") return false;
    this.list.push({ type: "math", text: this.text.slice(begin, end).trim(), display });
    this.at = end + close.length;
    return true;
  }

  /** $x$ where no price is meant: no space inside, no digit after it. */
  parseDollar() {
    if (this.text[this.at + 1] === "$") {
      if (!this.parseFormula("$$", 2, true)) this.takeText(2);
      return;
    }
    const begin = this.at + 1;
    const limit = Math.min(this.text.length, begin + 1000);
    if (!isWhite(this.text[begin])) {
      for (let end = begin; end < limit; end++) {
        if (this.text[end] === "\\") end++;
        else if (this.text[end] === "$" && !isWhite(this.text[end - 1]) && !/[0-9]/.test(this.text[end + 1] ?? "")) {
          this.list.push({ type: "math", text: this.text.slice(begin, end), display: false });
          this.at = end + 1;
          return;
        }
      }
    }
    this.takeText(1);
  }

  parseCode() {
    const length = runLength(this.text, this.at, "`");
    const closer = "`".repeat(Math.min(length, MAX_DELIMITERS + 1));
    const begin = this.at + length;
    if (length <= MAX_DELIMITERS && !this.missing.has(closer)) {
      for (let end = this.text.indexOf(closer, begin); end >= 0;) {
        const run = runLength(this.text, end, "`");
        if (run === length) return this.pushCode(begin, end, length);
        end = this.text.indexOf(closer, end + run);
      }
      this.missing.add(closer);
    }
    this.takeText(length);
  }

  pushCode(begin, end, length) {
    let text = this.text.slice(begin, end).replaceAll("\n", " ");
    const isPadded = text.length > 1 && text.startsWith(" ") && text.endsWith(" ") && /[^ ]/.test(text);
    if (isPadded) text = text.slice(1, -1);
    this.list.push({ type: "code", text });
    this.at = end + length;
  }

  parseAutolink() {
    const uri = matchAt(URI, this.text, this.at);
    const email = uri ? null : matchAt(EMAIL, this.text, this.at);
    const found = uri ?? email;
    if (!found) return this.takeText(1);
    this.pushLink(uri ? found[1] : "mailto:" + found[1], found[1]);
    this.at += found[0].length;
  }

  parseEntity() {
    const found = matchAt(ENTITY, this.text, this.at);
    const decoded = found && decodeEntity(found);
    if (!decoded) return this.takeText(1);
    this.addText(decoded);
    this.at += found[0].length;
  }

  // Emphasis.

  charBefore(at) {
    const low = this.text.charCodeAt(at - 1);
    return low >= 0xdc00 && low < 0xe000 ? this.text.slice(at - 2, at) : this.text[at - 1];
  }

  charAfter(at) {
    const code = this.text.codePointAt(at);
    return code === undefined ? undefined : String.fromCodePoint(code);
  }

  parseDelimiters(char) {
    const length = runLength(this.text, this.at, char);
    const before = this.charBefore(this.at), after = this.charAfter(this.at + length);
    const usable = length <= MAX_DELIMITERS && (char !== "~" || length === 2);
    const node = this.addText(this.text.slice(this.at, this.at + length));
    this.at += length;
    if (!usable) return;
    const isMark = (c) => c !== undefined && PUNCTUATION.test(c);
    // Scripts without spaces between words may have them right before or after punctuation.
    const isEdge = (c) => isWhite(c) || isMark(c) || CJK.test(c);
    const left = !isWhite(after) && (!isMark(after) || isEdge(before));
    const right = !isWhite(before) && (!isMark(before) || isEdge(after));
    const canOpen = char === "_" ? left && (!right || isMark(before)) : left;
    const canClose = char === "_" ? right && (!left || isMark(after)) : right;
    if (!canOpen && !canClose) return;
    const delimiter = { node, char, length, whole: length, canOpen, canClose, order: ++this.order,
                        prev: this.delimiter, next: null };
    if (this.delimiter) this.delimiter.next = delimiter;
    this.delimiter = delimiter;
  }

  removeDelimiter(delimiter) {
    if (delimiter.prev) delimiter.prev.next = delimiter.next;
    if (delimiter.next) delimiter.next.prev = delimiter.prev;
    else this.delimiter = delimiter.prev;
  }

  /** Pairs the delimiters after `bottom`. */
  processEmphasis(bottom) {
    const floors = new Map(); // at and below which no opener is for such a closer
    let closer = this.delimiter;
    while (closer && closer.prev !== bottom) closer = closer.prev;
    while (closer && !this.tooDeep) {
      if (!closer.canClose) {
        closer = closer.next;
        continue;
      }
      const kind = closer.char + closer.canOpen + (closer.whole % 3);
      const opener = this.findOpener(closer, Math.max(floors.get(kind) ?? 0, bottom?.order ?? 0));
      if (opener) {
        closer = this.pair(opener, closer);
        continue;
      }
      floors.set(kind, closer.prev?.order ?? 0);
      const next = closer.next;
      if (!closer.canOpen) this.removeDelimiter(closer);
      closer = next;
    }
    while (this.delimiter && this.delimiter !== bottom) this.removeDelimiter(this.delimiter);
  }

  findOpener(closer, floor) {
    for (let each = closer.prev; each && each.order > floor; each = each.prev) {
      if (each.char !== closer.char || !each.canOpen) continue;
      const odd = (each.canClose || closer.canOpen) && closer.whole % 3 !== 0 && (each.whole + closer.whole) % 3 === 0;
      if (!odd || closer.char === "~") return each;
    }
    return null;
  }

  /** Returns the closer to go on with. */
  pair(opener, closer) {
    const used = opener.length >= 2 && closer.length >= 2 ? 2 : 1;
    for (let each = closer.prev; each !== opener;) {
      const prev = each.prev;
      this.removeDelimiter(each);
      each = prev;
    }
    const depth = 1 + depthOf(opener.node.next, closer.node);
    if (depth > MAX_DEPTH) {
      this.tooDeep = true;
    } else {
      const type = closer.char === "~" ? "strike" : used === 2 ? "strong" : "emph";
      opener.node.text = opener.node.text.slice(used);
      closer.node.text = closer.node.text.slice(used);
      this.list.wrap(opener.node, closer.node, { type, depth });
    }
    opener.length -= used;
    closer.length -= used;
    if (opener.length === 0) this.removeDelimiter(opener);
    if (closer.length > 0) return closer;
    const next = closer.next;
    this.removeDelimiter(closer);
    return next;
  }

  // Links.

  openBracket(length) {
    const node = this.addText(this.text.slice(this.at, this.at + length));
    this.at += length;
    this.bracket = { node, isImage: length === 2, active: true, delimiter: this.delimiter, prev: this.bracket };
  }

  closeBracket() {
    const opener = this.bracket;
    this.at++;
    if (opener) this.bracket = opener.prev;
    const link = opener?.active && !this.tooDeep ? this.parseTarget() : null;
    const depth = link ? 1 + depthOf(opener.node.next, null) : 0;
    if (depth > MAX_DEPTH) this.tooDeep = true;
    if (!link || this.tooDeep) return void this.addText("]");
    this.at = link.end;
    this.processEmphasis(opener.delimiter);
    this.list.wrap(opener.node, null, { type: opener.isImage ? "image" : "link", dest: link.dest, title: link.title, depth });
    this.list.remove(opener.node);
    if (opener.isImage) return;
    // No links within links: those below have been turned off by an earlier one from the first inactive on.
    for (let each = this.bracket; each && (each.active || each.isImage); each = each.prev) if (!each.isImage) each.active = false;
  }

  /** (destination "title") at this.at, or null. */
  parseTarget() {
    if (this.text[this.at] !== "(") return null;
    const text = this.text.slice(this.at + 1, this.at + 1 + MAX_LINK);
    let i = skipWhite(text, 0);
    const dest = readDestination(text, i);
    if (!dest) return null;
    i = skipWhite(text, dest.end);
    let title = "";
    if (i > dest.end && /["'(]/.test(text[i] ?? "")) {
      const found = readTitle(text, i);
      if (!found) return null;
      title = found.text;
      i = skipWhite(text, found.end);
    }
    if (text[i] !== ")") return null;
    return { dest: unescapeText(dest.text), title: unescapeText(title), end: this.at + 1 + i + 1 };
  }
}

function skipWhite(text, at) {
  while (text[at] === " " || text[at] === "\t" || text[at] === "\n") at++;
  return at;
}

function readDestination(text, begin) {
  if (text[begin] === "<") {
    for (let i = begin + 1; i < text.length && text[i] !== "\n" && text[i] !== "<"; i++) {
      if (text[i] === "\\") i++;
      else if (text[i] === ">") return { text: text.slice(begin + 1, i), end: i + 1 };
    }
    return null;
  }
  let depth = 0, i = begin;
  for (; i < text.length && text[i] > " " && text[i] !== "\x7f"; i++) {
    if (text[i] === "\\" && ESCAPABLE.test(text[i + 1] ?? "")) i++;
    else if (text[i] === "(" && ++depth > 32) return null;
    else if (text[i] === ")" && --depth < 0) break;
  }
  return depth > 0 ? null : { text: text.slice(begin, i), end: i };
}

function readTitle(text, begin) {
  const close = text[begin] === "(" ? ")" : text[begin];
  for (let i = begin + 1; i < text.length; i++) {
    if (text[i] === "\\") i++;
    else if (text[i] === close) return { text: text.slice(begin + 1, i), end: i + 1 };
    else if (text[i] === "(" && close === ")") return null;
  }
  return null;
}

/**
 * Nodes by `type`: text, code, softbreak, hardbreak, math (text, display), emph, strong, strike, and link and image
 * (children, dest, title). A destination is what the text says; whether it may be followed is decided where it is shown.
 */
export function parseInlines(text) {
  return new InlineParser(text).parse();
}
