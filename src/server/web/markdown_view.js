// Shows Markdown while it comes. Blocks that cannot change any more are left alone; of the last one only what changed is
// made anew, so that the cost of a token does not grow with the answer.
import { parseBlocks } from "./blocks.js";
import { copyButton, make } from "./dom.js";
import { highlight } from "./highlight.js";
import { parseInlines, unescapeText } from "./inlines.js";
import { toMathml } from "./math.js";

const MATHML = "http://www.w3.org/1998/Math/MathML";
const SAFE_SCHEMES = new Set(["http:", "https:", "mailto:"]);
/** Characters that turn the direction of text, which could make code look like other code. */
const BIDI = /[\u202A-\u202E\u2066-\u2069\u200E\u200F\u061C]/g;

/** The address, if it leads to a page or a mail and nowhere else; null otherwise. */
export function safeAddress(dest) {
  let url;
  try {
    url = new URL(dest);
  } catch {
    return null;
  }
  return SAFE_SCHEMES.has(url.protocol) ? url.href : null;
}

function link(node) {
  const address = safeAddress(node.dest);
  const children = inlines(node.children);
  const title = node.title ? `${node.title}\n${node.dest}` : node.dest;
  if (!address) return make("span", { class: "dead-link", title }, ...children);
  return make("a", { href: address, title, target: "_blank", rel: "noopener noreferrer nofollow" }, ...children);
}

/** Pictures are not loaded: asking for one would tell somebody else about the conversation. */
function image(node) {
  const name = node.children.map((child) => child.text ?? "").join("") || "picture";
  return link({ ...node, children: [{ type: "text", text: `🖼 ${name}` }] });
}

function mathNode({ tag, attributes, children, text }) {
  const node = document.createElementNS(MATHML, tag);
  for (const [name, value] of Object.entries(attributes ?? {})) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  else node.append(...children.map(mathNode));
  return node;
}

function formula(source, display) {
  const tree = toMathml(source, display);
  if (!tree) return make("code", { class: "formula-source" }, source);
  const node = mathNode(tree);
  node.setAttribute("aria-label", source);
  return node;
}

function inline(node) {
  switch (node.type) {
    case "text": return document.createTextNode(node.text);
    case "softbreak":
    case "hardbreak": return make("br");
    case "code": return make("code", {}, visible(node.text));
    case "emph": return make("em", {}, ...inlines(node.children));
    case "strong": return make("strong", {}, ...inlines(node.children));
    case "strike": return make("del", {}, ...inlines(node.children));
    case "link": return link(node);
    case "image": return image(node);
    case "math": return formula(node.text, node.display);
  }
}

const inlines = (nodes) => nodes.map(inline);
const inlineText = (text) => inlines(parseInlines(text));

/** Code with characters shown that would change how the rest of it looks. */
function visible(text) {
  return text.replaceAll(BIDI, (char) => `⟦U+${char.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟧`);
}

function codeBlock(block) {
  const language = unescapeText(block.info).split(/\s/)[0].slice(0, 40);
  const code = make("code");
  for (const [kind, text] of block.closed ? highlight(block.text, language) : [[null, block.text]]) {
    code.append(kind ? make("span", { class: `hl-${kind}` }, visible(text)) : visible(text));
  }
  const figure = make("figure", { class: "code" },
    make("figcaption", {}, make("span", {}, language), copyButton("Copy code", () => figure.source)),
    make("pre", { tabindex: "0" }, code));
  figure.source = block.text;
  return figure;
}

function table(block) {
  const properties = (tag, i) => ({ class: block.align[i] && `align-${block.align[i]}`, scope: tag === "th" && "col" });
  const cell = (tag, text, i) => make(tag, properties(tag, i), ...inlineText(text));
  const row = (cells, tag) => make("tr", {}, ...cells.map((text, i) => cell(tag, text, i)));
  return make("div", { class: "table", tabindex: "0" },
    make("table", {}, make("thead", {}, row(block.head, "th")), make("tbody", {}, ...block.rows.map((cells) => row(cells, "td")))));
}

function listNode(block) {
  const tag = block.ordered ? "ol" : "ul";
  return make(tag, { start: block.ordered && block.start !== 1 && String(block.start), class: block.tight && "tight" });
}

/** Below the page's own headings. */
function heading(block) {
  const tag = `h${Math.min(block.level + 2, 6)}`;
  return make(tag, { dir: "auto", class: `level-${block.level}` }, ...inlineText(block.text));
}

/** An element for the block, without the blocks inside it. */
function shell(block) {
  switch (block.type) {
    case "paragraph": return make("p", { dir: "auto" }, ...inlineText(block.text));
    case "heading": return heading(block);
    case "rule": return make("hr");
    case "code": return codeBlock(block);
    case "math": return block.closed ? make("div", { class: "formula", tabindex: "0" }, formula(block.text, true))
                                     : make("pre", { class: "formula-source" }, block.text);
    case "quote": return make("blockquote", { dir: "auto" });
    case "list": return listNode(block);
    case "item": return make("li", { dir: "auto" });
    case "table": return table(block);
  }
}

/** What, next to its children, decides how a block looks. */
function signature(block) {
  switch (block.type) {
    case "table": return JSON.stringify([block.align, block.head, block.rows]);
    case "list": return `list ${block.ordered} ${block.start} ${block.tight}`;
    default: return `${block.type} ${block.level ?? ""} ${block.info ?? ""} ${block.closed ?? ""} ${block.text ?? ""}`;
  }
}

/** A code block that only got longer gets the new text added. */
function extend(shown, block) {
  const before = shown.block;
  if (block.type !== "code" || before.type !== "code" || block.closed || before.closed || block.info !== before.info ||
      !block.text.startsWith(before.text)) return false;
  shown.node.querySelector("code").append(visible(block.text.slice(before.text.length)));
  shown.node.source = block.text;
  return true;
}

/** Makes the children of `parent` those of `blocks`; `shown` is what it made the last time. */
function reconcile(parent, shown, blocks) {
  blocks.forEach((block, i) => {
    const sign = signature(block);
    let entry = shown[i];
    if (!entry || (entry.sign !== sign && !extend(entry, block))) {
      const node = shell(block);
      if (entry) entry.node.replaceWith(node);
      else parent.append(node);
      entry = shown[i] = { node, inner: [] };
    }
    entry.sign = sign;
    entry.block = block;
    if (block.children) reconcile(entry.node, entry.inner, block.children);
  });
  for (const entry of shown.splice(blocks.length)) entry.node.remove();
}

export class MarkdownView {
  constructor(container) {
    this.container = container;
    this.begin = 0; // of the text that may still change its blocks
    this.shown = [];
  }

  /** Shows `text`, which begins with what was shown before. `final`: nothing will be added. */
  update(text, final = false) {
    const whole = text.indexOf("\r", this.begin) >= 0 ? text.replaceAll(/\r\n?/g, "\n") : text;
    const blocks = parseBlocks(whole.slice(this.begin));
    if (final) blocks.forEach(settle);
    reconcile(this.container, this.shown, blocks);
    this.freeze(whole, blocks);
  }

  /** The blocks before one whose first line is complete will not change. */
  freeze(whole, blocks) {
    const last = blocks.at(-1);
    if (!last || whole.indexOf("\n", this.begin + last.begin) < 0) return;
    const frozen = blocks.findIndex((block) => block.begin >= last.begin);
    this.shown.splice(0, frozen);
    this.begin += last.begin;
  }
}

/** A formula or code block without an end is what it looks like. */
function settle(block) {
  if (block.type === "math" && !block.closed) {
    block.type = "paragraph";
    block.text = block.source + block.text;
  }
  if (block.type === "code") block.closed = true;
  block.children?.forEach(settle);
}
