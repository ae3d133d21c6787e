// Writes what the page's Markdown modules read as the HTML of CommonMark's reference programs, to compare with theirs.
import { parseBlocks } from "/web/blocks.js";
import { parseInlines, unescapeText } from "/web/inlines.js";

const escape = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
const encode = (dest) => encodeURI(dest.replaceAll(/%(?![0-9A-Fa-f]{2})/g, "%25")).replaceAll(/%25([0-9A-Fa-f]{2})/g, "%$1");

const plain = (nodes) => nodes.map((node) => node.text ?? (node.children ? plain(node.children) : "\n")).join("");

function inlineHtml(nodes) {
  return nodes.map((node) => {
    const inner = node.children ? inlineHtml(node.children) : "";
    const title = node.title ? ` title="${escape(node.title)}"` : "";
    switch (node.type) {
      case "text": return escape(node.text);
      case "code": return `<code>${escape(node.text)}</code>`;
      case "softbreak": return "\n";
      case "hardbreak": return "<br />\n";
      case "emph": return `<em>${inner}</em>`;
      case "strong": return `<strong>${inner}</strong>`;
      case "strike": return `<del>${inner}</del>`;
      case "link": return `<a href="${escape(encode(node.dest))}"${title}>${inner}</a>`;
      case "image": return `<img src="${escape(encode(node.dest))}" alt="${escape(plain(node.children))}"${title} />`;
      case "math": return `<math>${escape(node.text)}</math>`;
    }
  }).join("");
}

const inline = (text) => inlineHtml(parseInlines(text));

function blockHtml(block, tight) {
  switch (block.type) {
    case "paragraph": return tight ? inline(block.text) : `<p>${inline(block.text)}</p>`;
    case "heading": return `<h${block.level}>${inline(block.text)}</h${block.level}>`;
    case "rule": return "<hr />";
    case "code": {
      const language = unescapeText(block.info).split(/\s/)[0];
      return `<pre><code${language ? ` class="language-${escape(language)}"` : ""}>${escape(block.text)}</code></pre>`;
    }
    case "quote": return `<blockquote>\n${blocksHtml(block.children)}</blockquote>`;
    case "list": {
      const tag = block.ordered ? "ol" : "ul";
      const start = block.ordered && block.start !== 1 ? ` start="${block.start}"` : "";
      return `<${tag}${start}>\n${block.children.map((item) => itemHtml(item, block.tight)).join("")}</${tag}>`;
    }
    case "table": {
      const row = (cells, tag) => `<tr>\n${cells.map((cell, i) =>
        `<${tag}${block.align[i] ? ` style="text-align:${block.align[i]}"` : ""}>${inline(cell)}</${tag}>\n`).join("")}</tr>\n`;
      const body = block.rows.length ? `<tbody>\n${block.rows.map((cells) => row(cells, "td")).join("")}</tbody>\n` : "";
      return `<table>\n<thead>\n${row(block.head, "th")}</thead>\n${body}</table>`;
    }
    case "math": return `<math display>${escape(block.text)}</math>`;
  }
}

function itemHtml(item, tight) {
  let html = "<li>";
  item.children.forEach((block, i) => {
    const isText = tight && block.type === "paragraph";
    if (!isText && html.at(-1) !== "\n") html += "\n";
    html += blockHtml(block, tight) + (isText ? "" : "\n");
    if (isText && i + 1 < item.children.length) html += "\n";
  });
  return html + "</li>\n";
}

function blocksHtml(blocks) {
  return blocks.map((block) => blockHtml(block, false) + "\n").join("");
}

export const toHtml = (text) => blocksHtml(parseBlocks(text));
