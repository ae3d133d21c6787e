// One message on the page.
import { copyButton, iconButton, make } from "./dom.js";
import { MarkdownView } from "./markdown_view.js";

const FINISH_NOTES = {
  length: "The answer reached the limit of tokens.",
  stopped: "Stopped.",
  content_filter: "The server filtered the answer.",
};

function seconds(value) {
  return value < 10 ? `${value.toFixed(1)} s` : `${Math.round(value)} s`;
}

/** The line below an answer. */
function statsText({ tokens, perSecond, ttftMs, promptTokens, cachedTokens }) {
  const parts = [];
  if (tokens) parts.push(`${tokens} ${tokens === 1 ? "token" : "tokens"}`);
  if (tokens > 1 && perSecond) parts.push(`${perSecond.toFixed(1)} tokens/s`);
  if (ttftMs !== undefined) parts.push(`first after ${ttftMs < 1000 ? `${Math.round(ttftMs)} ms` : seconds(ttftMs / 1000)}`);
  if (promptTokens) parts.push(`prompt ${promptTokens}${cachedTokens ? ` (${cachedTokens} cached)` : ""}`);
  return parts.join(" · ");
}

/** JSON with line ends, or the text as it is. */
function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function callNode(call) {
  return make("details", { class: "call" },
    make("summary", {}, "Call of ", make("code", {}, call.function.name || "…")),
    make("pre", { tabindex: "0" }, pretty(call.function.arguments)));
}

class UserMessage {
  constructor(message, actions) {
    this.message = message;
    this.actions = actions;
    this.body = make("div", { class: "said", dir: "auto" }, message.content);
    this.node = make("article", { class: "message user", "aria-label": "You" }, this.body,
      make("div", { class: "tools" }, copyButton("Copy message", () => message.content),
        iconButton("edit", "Edit and send again", () => this.edit())));
  }

  update() {}

  edit() {
    if (this.node.classList.contains("editing")) return;
    this.node.classList.add("editing");
    const field = make("textarea", { "aria-label": "Edit the message", dir: "auto", rows: "3" });
    field.value = this.message.content;
    const close = () => {
      this.node.classList.remove("editing");
      form.replaceWith(this.body);
    };
    const send = () => {
      if (!field.value.trim()) return;
      close();
      this.actions.resend(this.message, field.value);
    };
    const form = make("div", { class: "edit" }, field,
      make("p", { class: "buttons" }, make("button", { type: "button", class: "quiet", onclick: close }, "Cancel"),
        make("button", { type: "button", class: "button", onclick: send }, "Send")));
    field.addEventListener("keydown", (event) => {
      if (event.key === "Escape") close();
      else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) send();
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    this.body.replaceWith(form);
    field.focus();
  }
}

class AssistantMessage {
  constructor(message, actions) {
    this.message = message;
    this.actions = actions;
    this.body = make("div", { class: "markdown" });
    this.view = new MarkdownView(this.body);
    this.calls = make("div", { class: "calls" });
    this.shownCalls = "";
    this.note = make("p", { class: "note" });
    this.error = make("div", { class: "error", role: "alert" });
    this.stats = make("span", { class: "stats" });
    this.tools = make("div", { class: "tools" });
    this.node = make("article", { class: "message assistant", "aria-label": "Assistant" },
      this.body, this.calls, this.error, this.note, make("div", { class: "foot" }, this.tools, this.stats));
  }

  /** `running`: the answer is still coming; `isLast`: nothing follows it. */
  update(running, isLast) {
    const { message } = this;
    this.node.classList.toggle("running", running);
    this.node.setAttribute("aria-busy", String(running));
    this.updateReasoning(running);
    this.view.update(message.content, !running);
    this.updateCalls();
    this.note.textContent = (!running && FINISH_NOTES[message.finish]) || "";
    this.stats.textContent = message.stats ? statsText(message.stats) : "";
    this.error.replaceChildren();
    if (running) this.tools.replaceChildren();
    else this.updateTools(isLast);
  }

  updateReasoning(running) {
    const { reasoning, content, stats } = this.message;
    if (!reasoning) return;
    if (!this.reasoning) {
      this.reasoning = make("details", { class: "reasoning" }, make("summary"), make("div", { class: "markdown" }));
      this.reasoningView = new MarkdownView(this.reasoning.lastChild);
      this.reasoning.addEventListener("toggle", () => this.showReasoning());
      this.node.prepend(this.reasoning);
    }
    const thinking = running && !content && !this.message.tool_calls;
    const time = stats?.reasoningSeconds ? seconds(stats.reasoningSeconds) : "";
    this.reasoning.firstChild.textContent = thinking ? `Thinking… ${time}` : time ? `Thought for ${time}` : "Thoughts";
    this.reasoning.classList.toggle("thinking", thinking);
    this.thinking = thinking;
    this.showReasoning();
  }

  /** What is folded costs nothing. */
  showReasoning() {
    if (this.reasoning.open) this.reasoningView.update(this.message.reasoning, !this.thinking);
  }

  updateCalls() {
    const calls = this.message.tool_calls ?? [];
    const shown = JSON.stringify(calls);
    if (shown === this.shownCalls || !calls.length) return;
    const open = [...this.calls.children].map((node) => node.open);
    this.calls.replaceChildren(...calls.map(callNode));
    open.forEach((isOpen, i) => (this.calls.children[i].open = isOpen));
    this.shownCalls = shown;
  }

  updateTools(isLast) {
    const { message, actions } = this;
    const canContinue = isLast && message.content && !message.tool_calls && (message.finish !== "stop" || message.error);
    this.tools.replaceChildren(
      copyButton("Copy answer as Markdown", () => message.content),
      iconButton("redo", "Answer again (Alt+R)", () => actions.regenerate(message)),
      ...(canContinue ? [iconButton("continue", "Go on with this answer", () => actions.goOn(message))] : []));
    if (!message.error) return;
    this.error.append(make("p", {}, message.error),
      make("button", { type: "button", class: "button", onclick: () => actions.regenerate(message) }, "Try again"));
  }
}

class ToolMessage {
  constructor(message) {
    this.node = make("article", { class: "message tool", "aria-label": "Tool" },
      make("details", { class: "call" }, make("summary", {}, "Answer of a tool"), make("pre", { tabindex: "0" }, pretty(message.content))));
  }

  update() {}
}

const VIEWS = { user: UserMessage, assistant: AssistantMessage, tool: ToolMessage };

/** An object with `node` and update(running, isLast). `actions`: resend, regenerate, goOn. */
export function messageView(message, actions) {
  return new VIEWS[message.role](message, actions);
}
