// LaTeX formulas to trees of MathML Core, for the subset that models write. What is not understood makes the whole
// formula unreadable for this converter, and the page shows its source instead of something wrong.
import {
  ACCENTS, DELIMITERS, FUNCTIONS, INTEGRALS, inAlphabet, LARGE_OPERATORS, LETTERS, LIMIT_FUNCTIONS, OPERATORS, SPACES,
  UNDER_ACCENTS,
} from "./math_symbols.js";

const MAX_LENGTH = 8000, MAX_DEPTH = 60;

const ALPHABETS = {
  mathbf: "bold", textbf: "bold", boldsymbol: "boldItalic", bm: "boldItalic", bold: "bold", mathbb: "double", Bbb: "double",
  mathcal: "script", mathscr: "script", mathfrak: "fraktur", mathsf: "sans", mathtt: "mono", mathit: "italic",
};
const UPRIGHT = new Set(["mathrm", "operatorname", "operatorname*", "mathop"]);
const TEXTS = new Set(["text", "textrm", "textit", "textbf", "texttt", "textsf", "textnormal", "mbox", "hbox"]);
const SIZES = /^[bB]igg?[lrm]?$/;
const IGNORED = new Set(["displaystyle", "textstyle", "scriptstyle", "limits", "nolimits", "nonumber", "notag", "hline", "allowbreak",
                         "mathstrut", "strut", "relax"]);
const FENCES = {
  matrix: ["", ""], smallmatrix: ["", ""], pmatrix: ["(", ")"], bmatrix: ["[", "]"], Bmatrix: ["{", "}"], vmatrix: ["|", "|"],
  Vmatrix: ["‖", "‖"], cases: ["{", ""], rcases: ["", "}"], array: ["", ""],
};
const ALIGNED = new Set(["align", "aligned", "alignat", "alignedat", "split", "eqnarray", "gather", "gathered", "multline", "equation",
                         "displaymath"]);

class Unreadable extends Error {}

const element = (tag, children, attributes) => ({ tag, children, ...(attributes && { attributes }) });
const token = (tag, text, attributes) => ({ tag, text, ...(attributes && { attributes }) });
const row = (children) => (children.length === 1 ? children[0] : element("mrow", children));
const fence = (text, stretchy = true) => token("mo", text, { fence: "true", stretchy: String(stretchy) });
const space = (em) => element("mspace", [], { width: `${em}em` });

/** Commands, single characters and runs of spaces. */
function tokenize(source) {
  const pattern = /\\(?:operatorname\*|[A-Za-z]+|[^])|%[^\n]*|\s+|[^]/gu;
  const tokens = [];
  for (const [text] of source.matchAll(pattern)) {
    if (!text.startsWith("%")) tokens.push(text);
  }
  return tokens;
}

class MathParser {
  constructor(source) {
    this.tokens = tokenize(source);
    this.at = 0;
    this.depth = 0;
    this.alphabet = null;
  }

  parse() {
    const lines = this.parseLines(() => false);
    if (this.at < this.tokens.length) throw new Unreadable(this.tokens[this.at]);
    if (lines.length === 1 && lines[0].length === 1) return lines[0];
    const isAligned = lines.some((cells) => cells.length > 1);
    return [this.table(lines, { class: isAligned ? "aligned" : "gathered", displaystyle: "true" })];
  }

  peek() {
    while (/^\s/.test(this.tokens[this.at] ?? "")) this.at++;
    return this.tokens[this.at];
  }

  next() {
    const found = this.peek();
    if (found === undefined) throw new Unreadable("the end");
    this.at++;
    return found;
  }

  accept(text) {
    if (this.peek() !== text) return false;
    this.at++;
    return true;
  }

  expect(text) {
    if (!this.accept(text)) throw new Unreadable(`no ${text}`);
  }

  /** Runs `parse` one level deeper. */
  nested(parse) {
    if (++this.depth > MAX_DEPTH) throw new Unreadable("too deep");
    const result = parse();
    this.depth--;
    return result;
  }

  parseRow(isEnd) {
    return this.nested(() => {
      const nodes = [];
      for (let text = this.peek(); text !== undefined && text !== "}" && !isEnd(text); text = this.peek()) {
        if (["\\over", "\\choose", "\\atop"].includes(text)) return this.parseInfix(row(nodes), isEnd);
        const node = this.parseScripted();
        if (node) nodes.push(node);
      }
      return nodes;
    });
  }

  /** {a \over b} */
  parseInfix(above, isEnd) {
    const command = this.next();
    const below = row(this.parseRow(isEnd));
    const lines = command === "\\over" ? undefined : { linethickness: "0" };
    const fraction = element("mfrac", [above, below], lines);
    return command === "\\choose" ? [fence("("), fraction, fence(")")] : [fraction];
  }

  parseGroup() {
    this.expect("{");
    const nodes = this.parseRow(() => false);
    this.expect("}");
    return nodes;
  }

  /** What a command or a script takes: a group or one thing. */
  parseArgument() {
    if (this.peek() === "{") return row(this.parseGroup());
    return this.nested(() => this.parseBase()) ?? row([]);
  }

  /** A group's text as it stands: of \text, \begin. */
  rawArgument() {
    this.expect("{");
    let text = "";
    for (let depth = 1; ; text += this.tokens[this.at++]) {
      const each = this.tokens[this.at];
      if (each === undefined) throw new Unreadable("no }");
      if (each === "{") depth++;
      if (each === "}" && --depth === 0) break;
    }
    this.at++;
    return text;
  }

  rawOption() {
    if (!this.accept("[")) return null;
    let text = "";
    for (let each = this.tokens[this.at++]; each !== "]"; each = this.tokens[this.at++]) {
      if (each === undefined) throw new Unreadable("no ]");
      text += each;
    }
    return text;
  }

  parseScripted() {
    const base = this.isScript(this.peek()) ? row([]) : this.parseBase();
    if (!base) return null;
    let below = null, above = null, primes = "";
    let limits = base.limits;
    for (let text = this.peek(); this.isScript(text) || text === "\\limits" || text === "\\nolimits"; text = this.peek()) {
      this.at++;
      if (text === "\\limits" || text === "\\nolimits") limits = text === "\\limits" ? "always" : undefined;
      else if (text === "'") primes += "′";
      else if (text === "_" && below === null) below = this.parseArgument();
      else if (text === "^" && above === null) above = this.parseArgument();
      else throw new Unreadable("two scripts");
    }
    if (primes) above = above ? row([token("mo", primes), above]) : token("mo", primes);
    return this.attach(base, below, above, limits);
  }

  isScript(text) {
    return text === "^" || text === "_" || text === "'";
  }

  attach(base, below, above, limits) {
    const { limits: ignored, ...node } = base;
    if (!below && !above) return node;
    const [under, over, both] = limits ? ["munder", "mover", "munderover"] : ["msub", "msup", "msubsup"];
    if (below && above) return element(both, [node, below, above]);
    return below ? element(under, [node, below]) : element(over, [node, above]);
  }

  parseBase() {
    const text = this.next();
    if (text === "{") {
      this.at--;
      return row(this.parseGroup());
    }
    if (text.startsWith("\\")) return this.parseCommand(text.slice(1));
    if (text === "&" || text === "#" || text === "$") throw new Unreadable(text);
    if (text === "~") return space(0.25);
    if (/[0-9]/.test(text)) return this.parseNumber(text);
    if (/\p{L}/u.test(text)) return this.identifier(text);
    return this.operator(text);
  }

  parseNumber(first) {
    let number = first;
    const isPart = (at) => /^[0-9]$/.test(this.tokens[at] ?? "");
    while (isPart(this.at) || (/^[.,]$/.test(this.tokens[this.at] ?? "") && isPart(this.at + 1))) number += this.tokens[this.at++];
    return token("mn", this.alphabet ? [...number].map((char) => inAlphabet(char, this.alphabet)).join("") : number);
  }

  identifier(text) {
    if (this.alphabet === "upright") return token("mi", text, { mathvariant: "normal" });
    return token("mi", this.alphabet ? inAlphabet(text, this.alphabet) : text);
  }

  operator(text) {
    const char = { "-": "−", "*": "∗" }[text] ?? text;
    if ("()[]|".includes(text)) return token("mo", char, { stretchy: "false" });
    return token("mo", char);
  }

  parseCommand(name) {
    if (name in LETTERS) return token("mi", LETTERS[name], /^[A-Z]/.test(name) ? { mathvariant: "normal" } : undefined);
    if (name in OPERATORS) return token("mo", OPERATORS[name]);
    if (name in LARGE_OPERATORS) return { ...token("mo", LARGE_OPERATORS[name], { movablelimits: "true" }), limits: "large" };
    if (name in INTEGRALS) return token("mo", INTEGRALS[name]);
    if (name in DELIMITERS) return token("mo", DELIMITERS[name], { stretchy: "false" });
    if (FUNCTIONS.has(name)) return this.functionName(name);
    if (name in LIMIT_FUNCTIONS) {
      return { ...token("mo", LIMIT_FUNCTIONS[name], { movablelimits: "true", form: "prefix" }), limits: "large" };
    }
    if (name in SPACES) return space(SPACES[name]);
    if (IGNORED.has(name)) return null;
    if (name in ACCENTS) return this.parseAccent("mover", ACCENTS[name], name);
    if (name in UNDER_ACCENTS) return this.parseAccent("munder", UNDER_ACCENTS[name], name);
    return this.parseTextCommand(name) ?? this.parseStructure(name);
  }

  /** A name set upright, with a thin space before what it is applied to. */
  functionName(name) {
    const next = this.peek();
    const isApplied = next !== undefined && !/^[\^_'(){}[\],.;:=+\-*/|&]$|^\\(?:left|right|[,;:! ]|\\)/.test(next);
    const node = token("mi", name);
    return isApplied ? element("mrow", [node, space(0.167)]) : node;
  }

  parseAccent(tag, char, name) {
    const isBrace = name.endsWith("brace");
    const stretchy = isBrace || /^(?:wide|over|under)/.test(name);
    const mark = token("mo", char, { stretchy: String(stretchy) });
    const node = element(tag, [this.parseArgument(), mark], { [tag === "mover" ? "accent" : "accentunder"]: "true" });
    return isBrace ? { ...node, limits: "always" } : node;
  }

  parseTextCommand(name) {
    if (TEXTS.has(name)) {
      const text = this.rawArgument().replaceAll(/\\([ %$#&_{}])/g, "$1").replaceAll(/[{}$]/g, "").replaceAll(/\s+/g, "\u00A0");
      return token("mtext", name === "textbf" ? [...text].map((char) => inAlphabet(char, "bold")).join("") : text);
    }
    if (UPRIGHT.has(name)) return this.parseUpright(name);
    if (!Object.hasOwn(ALPHABETS, name)) return null;
    const outer = this.alphabet;
    this.alphabet = ALPHABETS[name];
    const node = this.parseArgument();
    this.alphabet = outer;
    return node;
  }

  parseUpright(name) {
    const start = this.at;
    const text = this.peek() === "{" ? this.rawArgument() : this.next();
    if (/^[A-Za-z0-9 ,.\-\s]+$/.test(text)) {
      const word = token("mi", text.trim().replaceAll(/\s+/g, "\u00A0"), { mathvariant: "normal" });
      return name === "operatorname*" ? { ...word, limits: "large" } : word;
    }
    this.at = start; // something with commands in it
    const outer = this.alphabet;
    this.alphabet = "upright";
    const node = this.parseArgument();
    this.alphabet = outer;
    return node;
  }

  parseStructure(name) {
    switch (name) {
      case "frac": case "dfrac": case "tfrac": case "cfrac":
        return element("mfrac", [this.parseArgument(), this.parseArgument()], name === "dfrac" ? { displaystyle: "true" } : undefined);
      case "binom": case "dbinom": case "tbinom":
        return this.parseBinomial();
      case "sqrt": return this.parseRoot();
      case "left": return this.parseFenced();
      case "begin": return this.parseEnvironment();
      case "overset": case "stackrel": return this.swapped("mover");
      case "underset": return this.swapped("munder");
      case "xrightarrow": return this.parseArrow("→");
      case "xleftarrow": return this.parseArrow("←");
      case "not": return this.parseNegation();
      case "mod": return element("mrow", [space(1), token("mo", "mod"), space(0.333)]);
      case "bmod": return token("mo", "mod", { lspace: "0.222em", rspace: "0.222em" });
      case "pmod": return this.parseModulus();
      case "boxed": case "fbox": return element("mrow", [this.parseArgument()], { class: "boxed" });
      case "phantom": case "hphantom": case "vphantom": return element("mphantom", [this.parseArgument()]);
      case "cancel": return element("mrow", [this.parseArgument()], { class: "cancelled" });
      case "tag": return element("mrow", [space(2), token("mtext", `(${this.rawArgument()})`)]);
      case "label": return this.rawArgument(), null;
      case "color": return this.rawArgument(), null;
      case "textcolor": return this.rawArgument(), this.parseArgument();
      case "mathbin": case "mathrel": case "mathord": case "mathopen": case "mathclose": case "mathinner": case "ensuremath":
        return this.parseArgument();
      case "substack": return this.parseSubstack();
      default:
        if (SIZES.test(name)) return fence(this.parseDelimiter(), false);
        throw new Unreadable(`\\${name}`);
    }
  }

  parseBinomial() {
    const stack = element("mfrac", [this.parseArgument(), this.parseArgument()], { linethickness: "0" });
    return element("mrow", [fence("("), stack, fence(")")]);
  }

  parseModulus() {
    const name = token("mo", "mod", { rspace: "0.333em" });
    return element("mrow", [space(1), fence("(", false), name, this.parseArgument(), fence(")", false)]);
  }

  swapped(tag) {
    const script = this.parseArgument();
    return element(tag, [this.parseArgument(), script]);
  }

  parseArrow(char) {
    const below = this.accept("[") ? row(this.parseRow((text) => text === "]")) : null;
    if (below) this.expect("]");
    const arrow = token("mo", char, { stretchy: "true" });
    const above = this.parseArgument();
    return below ? element("munderover", [arrow, below, above]) : element("mover", [arrow, above]);
  }

  parseNegation() {
    const node = this.parseArgument();
    if (typeof node.text !== "string") throw new Unreadable("\\not");
    return { ...node, text: (node.text + "\u0338").normalize("NFC") };
  }

  parseRoot() {
    if (!this.accept("[")) return element("msqrt", [this.parseArgument()]);
    const index = row(this.parseRow((text) => text === "]"));
    this.expect("]");
    return element("mroot", [this.parseArgument(), index]);
  }

  parseDelimiter() {
    const text = this.next();
    if (text === ".") return "";
    const name = text.slice(1);
    if (text.startsWith("\\") && name in DELIMITERS) return DELIMITERS[name];
    if (text.startsWith("\\") && /arrow$/.test(name) && name in OPERATORS) return OPERATORS[name];
    if (text.length === 1 && "()[]|/<>".includes(text)) return { "<": "⟨", ">": "⟩" }[text] ?? text;
    throw new Unreadable(`delimiter ${text}`);
  }

  parseFenced() {
    const nodes = [];
    const add = (delimiter) => delimiter && nodes.push(fence(delimiter));
    add(this.parseDelimiter());
    for (;;) {
      nodes.push(...this.parseRow((text) => text === "\\right" || text === "\\middle"));
      const text = this.next();
      if (text !== "\\right" && text !== "\\middle") throw new Unreadable("no \\right");
      add(this.parseDelimiter());
      if (text === "\\right") return element("mrow", nodes);
    }
  }

  /** Lines of cells up to `isEnd`. */
  parseLines(isEnd) {
    const lines = [[]];
    for (;;) {
      const cell = this.parseRow((text) => text === "&" || text === "\\\\" || text === "\\cr" || isEnd(text));
      lines.at(-1).push(row(cell));
      if (this.accept("&")) continue;
      if (!this.accept("\\\\") && !this.accept("\\cr")) break;
      this.accept("*");
      if (/^\d/.test(this.tokens[this.at + 1] ?? "")) this.rawOption(); // \\[2pt]
      lines.push([]);
    }
    const last = lines.at(-1);
    if (lines.length > 1 && last.length === 1 && last[0].tag === "mrow" && last[0].children.length === 0) lines.pop();
    return lines;
  }

  parseSubstack() {
    this.expect("{");
    const lines = this.parseLines((text) => text === "}");
    this.expect("}");
    return this.table(lines, { class: "substack" });
  }

  table(lines, attributes) {
    return element("mtable", lines.map((cells) => element("mtr", cells.map((cell) => element("mtd", [cell])))), attributes);
  }

  parseEnvironment() {
    const name = this.rawArgument();
    const base = name.replace(/\*$/, "");
    const isAligned = ALIGNED.has(base);
    if (!isAligned && !Object.hasOwn(FENCES, base)) throw new Unreadable(`\\begin{${name}}`);
    const columns = base === "array" || base.startsWith("alignat") || base === "alignedat" ? this.columnSpec() : "";
    const lines = this.parseLines((text) => text === "\\end");
    this.expect("\\end");
    if (this.rawArgument() !== name) throw new Unreadable("\\end");
    if (isAligned) {
      const kind = /^(?:align|split|eqnarray)/.test(base) ? "aligned" : "gathered";
      return this.table(lines, { class: kind, displaystyle: "true" });
    }
    const [open, close] = FENCES[base];
    const kind = base.endsWith("cases") ? "cases" : /^[lr]+$/.test(columns) ? `array-${columns[0]}` : null;
    const table = this.table(lines, kind ? { class: kind } : undefined);
    return open || close ? element("mrow", [open && fence(open), table, close && fence(close)].filter(Boolean)) : table;
  }

  columnSpec() {
    this.rawOption();
    return this.rawArgument().replaceAll(/[^lcr]/g, "");
  }
}

/**
 * `source` (LaTeX without its dollar signs) as a tree of {tag, attributes, children} and {tag, attributes, text}, or
 * null if it uses what is not known here.
 */
export function toMathml(source, display) {
  if (source.length > MAX_LENGTH) return null;
  try {
    const nodes = new MathParser(source).parse();
    return element("math", [element("mrow", nodes)], display ? { display: "block" } : undefined);
  } catch (error) {
    if (error instanceof Unreadable) return null;
    throw error;
  }
}
