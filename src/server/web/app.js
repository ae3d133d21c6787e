// The chat page: what the user does, to conversations, requests and what is shown.
import { receiveAnswer } from "./answer.js";
import { read, write } from "./browser_storage.js";
import {
  cleanSettings, exportJson, importJson, messagesForServer, newConversation, settingsForServer, titleFrom,
} from "./conversation.js";
import { askForKey, editSettings, showShortcuts } from "./dialogs.js";
import { announce, byId, make } from "./dom.js";
import { messageView } from "./message_view.js";
import { getStatus } from "./server.js";
import { showSidebar, toggleSidebar } from "./sidebar.js";
import { openStore } from "./store.js";

const DEFAULTS = "isotope-defaults", THEME = "isotope-theme", LAST = "isotope-last";
const SAVE_MS = 1000, STATUS_MS = 2000;
const MAX_IMPORT_BYTES = 200e6;

/** The message field is as high as its text, by style where the browser can do that. */
function fitInput() {
  if (CSS.supports("field-sizing", "content")) return;
  const field = byId("input");
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight}px`;
}

class Page {
  constructor(store) {
    this.store = store;
    this.views = new Map(); // by message
    this.follows = true;    // the end of the conversation stays in sight
    this.channel = new BroadcastChannel(`isotope ${location.pathname}`);
    this.channel.onmessage = ({ data }) => this.onOtherTab(data);
  }

  async start() {
    this.listen();
    const last = read(LAST, "sessionStorage");
    const conversation = last && (await this.store.get(last));
    this.show(conversation ?? newConversation(this.defaults()));
    await this.refreshList();
    await this.refreshStatus();
    if (!this.store.isPersistent) this.notice("This browser keeps no data here: conversations last as long as this page.");
  }

  defaults() {
    try {
      return cleanSettings(JSON.parse(read(DEFAULTS) ?? "{}"));
    } catch {
      return cleanSettings({});
    }
  }

  // What is shown.

  show(conversation) {
    this.conversation = this.answering?.conversation.id === conversation.id ? this.answering.conversation : conversation;
    write(LAST, this.conversation.id, "sessionStorage");
    this.follows = true;
    byId("notice").hidden = true;
    this.views.clear();
    byId("messages").replaceChildren();
    this.showMessages();
    this.showTitle();
    this.showContext();
    this.showButtons();
    toggleSidebar(false);
    byId("input").focus({ preventScroll: true });
  }

  showTitle() {
    const title = this.conversation.title || "New chat";
    byId("title").textContent = title;
    document.title = `${title} – Isotope`;
  }

  /** Makes what is on the page that of the conversation's messages; those already there stay. */
  showMessages() {
    const { messages } = this.conversation;
    for (const [message, view] of this.views) {
      if (messages.includes(message)) continue;
      view.node.remove();
      this.views.delete(message);
    }
    messages.forEach((message, i) => {
      const isNew = !this.views.has(message);
      if (isNew) {
        const view = messageView(message, this);
        this.views.set(message, view);
        byId("messages").append(view.node);
      }
      if (isNew || i + 2 >= messages.length) this.showMessage(message);
    });
    this.keepAtEnd();
  }

  showMessage(message) {
    const running = this.answering?.message === message;
    this.views.get(message)?.update(running, this.conversation.messages.at(-1) === message);
  }

  keepAtEnd() {
    const scroller = byId("scroller");
    if (this.follows) scroller.scrollTop = scroller.scrollHeight;
  }

  showButtons() {
    const running = Boolean(this.answering);
    byId("send").hidden = running;
    byId("stop").hidden = !running;
    byId("send").disabled = !byId("input").value.trim();
  }

  showContext() {
    const last = this.conversation.messages.findLast((message) => message.stats?.promptTokens);
    const used = last ? last.stats.promptTokens + last.stats.tokens : 0;
    const total = this.status?.max_model_len;
    byId("context").textContent = used && total ? `Context: ${used} of ${total} tokens` : "";
  }

  notice(text, action) {
    byId("notice-text").textContent = text;
    byId("notice-action").hidden = !action;
    byId("notice-action").textContent = action?.label ?? "";
    byId("notice-action").onclick = () => {
      byId("notice").hidden = true;
      action.act();
    };
    byId("notice").hidden = false;
  }

  // The server.

  async refreshStatus() {
    try {
      this.status = await getStatus();
    } catch (error) {
      if (error.status === 401) {
        if (await askForKey(error.message)) return this.refreshStatus();
      } else {
        this.notice(error.message, { label: "Try again", act: () => this.refreshStatus() });
      }
      return;
    }
    this.showStatus();
  }

  showStatus() {
    const { models, kv_cache: kv, requests, device, family } = this.status;
    byId("model").textContent = this.conversation?.settings.model ?? models[0];
    byId("model").title = `${family} on ${device}`;
    const share = kv.tokens_total > 0 ? kv.tokens_held / kv.tokens_total : 0;
    byId("kv").hidden = false;
    byId("kv-meter").value = share;
    byId("kv-text").textContent = `${Math.round(share * 100)} %`;
    byId("busy").textContent = requests.running > 1 || requests.waiting ? `${requests.running} running, ${requests.waiting} waiting` : "";
    this.showContext();
  }

  // Answers.

  send() {
    const text = byId("input").value;
    if (!text.trim() || this.answering) return;
    byId("input").value = "";
    byId("notice").hidden = true;
    fitInput();
    this.ask(text);
  }

  ask(text) {
    const { conversation } = this;
    conversation.messages.push({ role: "user", content: text });
    if (!conversation.title) conversation.title = titleFrom(text);
    this.showTitle();
    this.follows = true;
    return this.answer();
  }

  resend(message, text) {
    if (this.answering) return;
    this.cutBefore(message);
    this.ask(text);
  }

  regenerate(message) {
    if (this.answering) return;
    this.cutBefore(message);
    this.answer();
  }

  /** What is cut can be had back. */
  cutBefore(message) {
    const { conversation } = this;
    const before = [...conversation.messages];
    conversation.messages.splice(before.indexOf(message));
    const undo = () => {
      if (this.answering?.conversation === conversation) this.stop();
      conversation.messages = before;
      this.save(conversation);
      if (conversation === this.conversation) this.showMessages();
    };
    const what = before.at(-1) === message ? "The earlier answer was replaced." : "What followed was replaced.";
    this.notice(what, { label: "Undo", act: undo });
  }

  goOn(message) {
    if (this.answering) return;
    delete message.finish;
    delete message.error;
    this.receive(message, { continue_final_message: true, add_generation_prompt: false }, this.conversation.messages.length);
  }

  answer() {
    const message = { role: "assistant", content: "" };
    const end = this.conversation.messages.push(message) - 1;
    return this.receive(message, {}, end);
  }

  async receive(message, fields, end) {
    const { conversation } = this;
    const controller = new AbortController();
    const answering = (this.answering = { conversation, message, controller });
    const body = {
      ...settingsForServer(conversation, this.status?.thinking_switch),
      ...fields,
      messages: messagesForServer(conversation, end),
    };
    this.showMessages();
    this.showButtons();
    announce("The answer is being written");
    this.save(conversation);
    const statusTimer = setInterval(() => document.hidden || this.refreshStatus(), STATUS_MS);
    let failure = null;
    try {
      await receiveAnswer(message, body, controller.signal, () => this.onProgress(answering));
    } catch (error) {
      failure = error;
    }
    clearInterval(statusTimer);
    this.answering = null;
    this.onAnswered(conversation, message, failure);
  }

  onAnswered(conversation, message, failure) {
    announce(message.error ? `Error: ${message.error}` : message.finish === "stopped" ? "Stopped" : "The answer is complete");
    if (conversation === this.conversation) {
      this.showMessages();
      this.showContext();
    }
    this.showButtons();
    this.save(conversation);
    if (failure?.status === 401) this.onWrongKey(conversation, message, failure);
    else if (failure?.status !== 0) this.refreshStatus();
  }

  async onWrongKey(conversation, message, failure) {
    if (!(await askForKey(failure.message))) return;
    await this.refreshStatus();
    if (conversation === this.conversation && !message.content) this.regenerate(message);
  }

  /** Draws at most once a frame, and so seldom that drawing takes a third of the time at most. */
  onProgress(answering) {
    this.saveSoon(answering.conversation);
    if (this.drawing) return;
    this.drawing = setTimeout(() => requestAnimationFrame(() => {
      const begin = performance.now();
      this.drawing = null;
      if (this.answering !== answering || answering.conversation !== this.conversation) return;
      this.showMessage(answering.message);
      this.keepAtEnd();
      this.pause = 2 * (performance.now() - begin);
    }), this.pause ?? 0);
  }

  stop() {
    this.answering?.controller.abort();
  }

  // What is kept.

  saveSoon(conversation) {
    this.saving ??= setTimeout(() => {
      this.saving = null;
      if (this.answering?.conversation === conversation) this.save(conversation);
    }, SAVE_MS);
  }

  async save(conversation) {
    if (conversation.messages.length === 0) return;
    conversation.updated = Date.now();
    try {
      await this.store.put(conversation);
    } catch (error) {
      const why = error?.name === "QuotaExceededError" ? "The browser's storage is full: export conversations, then delete some."
                                                       : `The conversation could not be stored: ${error?.message ?? error}`;
      return this.notice(why, { label: "Export all", act: () => this.exportAll() });
    }
    this.channel.postMessage({ changed: conversation.id });
    await this.refreshList();
  }

  async refreshList() {
    this.heads = await this.store.heads();
    const shown = JSON.stringify([this.conversation?.id, this.heads.map(({ id, title }) => [id, title])]);
    if (shown === this.shownList) return; // who walks through the list by keyboard keeps the place
    if (document.activeElement?.closest("#conversations input")) return; // a name is being written
    this.shownList = shown;
    showSidebar(this.heads, this.conversation?.id, {
      open: (id) => this.open(id),
      rename: (id, title) => this.rename(id, title),
      remove: (id) => this.remove(id),
      exportOne: async (id) => this.download([await this.store.get(id)]),
    });
  }

  async onOtherTab({ changed }) {
    await this.refreshList();
    if (changed !== this.conversation.id || this.answering) return;
    const conversation = await this.store.get(changed);
    if (conversation) this.show(conversation);
  }

  async open(id) {
    const conversation = await this.store.get(id);
    if (conversation) this.show(conversation);
    await this.refreshList();
  }

  startNew() {
    this.show(newConversation(this.defaults()));
    this.refreshList();
  }

  async rename(id, title) {
    const conversation = id === this.conversation.id ? this.conversation : await this.store.get(id);
    conversation.title = title;
    await this.store.put(conversation);
    this.channel.postMessage({ changed: id });
    this.showTitle();
    await this.refreshList();
  }

  async remove(id) {
    const conversation = await this.store.get(id);
    if (this.answering?.conversation.id === id) {
      this.stop();
      this.answering.conversation.messages = []; // is not stored again
    }
    await this.store.remove(id);
    this.channel.postMessage({ removed: id });
    if (id === this.conversation.id) this.startNew();
    await this.refreshList();
    this.notice("The conversation was deleted.", { label: "Undo", act: async () => {
      await this.store.put(conversation);
      await this.open(id);
    } });
  }

  // Files.

  async exportAll() {
    this.download(await this.store.all());
  }

  download(conversations) {
    const address = URL.createObjectURL(new Blob([exportJson(conversations)], { type: "application/json" }));
    const name = `isotope-${new Date().toISOString().slice(0, 10)}.json`;
    make("a", { href: address, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
  }

  async importFile(file) {
    try {
      if (file.size > MAX_IMPORT_BYTES) throw new Error("it has more than 200 MB");
      const conversations = importJson(await file.text());
      for (const conversation of conversations) await this.store.put(conversation);
      await this.refreshList();
      if (conversations.length) await this.open(conversations[0].id);
      this.notice(conversations.length === 1 ? "1 conversation was imported." : `${conversations.length} conversations were imported.`);
    } catch (error) {
      this.notice(`${file.name} could not be imported: ${error.message}.`);
    }
  }

  // What the user does.

  async editSettings() {
    const { conversation } = this;
    const { settings, asDefault } = await editSettings(conversation.settings, this.status, this.store.isPersistent);
    conversation.settings = settings;
    if (asDefault) write(DEFAULTS, JSON.stringify(settings));
    this.save(conversation);
    if (this.status) this.showStatus();
    else this.refreshStatus();
  }

  nextTheme() {
    const order = ["auto", "light", "dark"];
    const theme = order[(order.indexOf(read(THEME) ?? "auto") + 1) % order.length];
    write(THEME, theme === "auto" ? null : theme);
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    announce(`Colours: ${theme}`);
    byId("theme").title = `Colours: ${theme}`;
  }

  editLast() {
    const last = this.conversation.messages.findLast((message) => message.role === "user");
    if (last && !this.answering) this.views.get(last).edit();
    return Boolean(last);
  }

  regenerateLast() {
    const last = this.conversation.messages.at(-1);
    if (last?.role === "assistant") this.regenerate(last);
  }

  openNeighbour(step) {
    const at = this.heads.findIndex((head) => head.id === this.conversation.id);
    const head = this.heads[at < 0 ? 0 : at + step];
    if (head) this.open(head.id);
  }

  listen() {
    const on = (id, type, act) => byId(id).addEventListener(type, act);
    on("composer", "submit", (event) => {
      event.preventDefault();
      this.send();
    });
    on("input", "input", () => {
      fitInput();
      this.showButtons();
    });
    on("input", "keydown", (event) => this.onInputKey(event));
    on("stop", "click", () => this.stop());
    on("new", "click", () => this.startNew());
    on("menu", "click", () => toggleSidebar());
    on("scrim", "click", () => toggleSidebar(false));
    on("settings", "click", () => this.editSettings());
    on("theme", "click", () => this.nextTheme());
    on("keys", "click", () => showShortcuts());
    on("export-all", "click", () => this.exportAll());
    on("import", "click", () => byId("import-file").click());
    on("import-file", "change", ({ target }) => {
      if (target.files[0]) this.importFile(target.files[0]);
      target.value = "";
    });
    on("notice-close", "click", () => (byId("notice").hidden = true));
    on("scroller", "scroll", () => this.onScroll());
    on("latest", "click", () => {
      this.follows = true;
      this.keepAtEnd();
    });
    document.addEventListener("keydown", (event) => this.onKey(event));
    addEventListener("pagehide", () => this.answering && this.store.put(this.answering.conversation).catch(() => {}));
  }

  onScroll() {
    const { scrollTop, scrollHeight, clientHeight } = byId("scroller");
    this.follows = scrollHeight - scrollTop - clientHeight < 60;
    byId("latest").hidden = this.follows;
  }

  onInputKey(event) {
    if (event.isComposing) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      this.send();
    } else if (event.key === "ArrowUp" && !event.altKey && byId("input").value === "" && this.editLast()) {
      event.preventDefault();
    }
  }

  onKey(event) {
    if (event.isComposing || event.ctrlKey || event.metaKey || document.querySelector("dialog[open]")) return;
    const act = event.altKey ? this.altShortcut(event.code) : this.shortcut(event);
    if (!act) return;
    event.preventDefault();
    act();
  }

  altShortcut(code) {
    return {
      KeyR: () => this.regenerateLast(),
      KeyN: () => this.startNew(),
      KeyS: () => this.editSettings(),
      ArrowUp: () => this.openNeighbour(-1),
      ArrowDown: () => this.openNeighbour(1),
    }[code];
  }

  shortcut({ key, target }) {
    if (key === "Escape") {
      if (document.body.classList.contains("show-sidebar")) return () => toggleSidebar(false);
      return this.answering ? () => this.stop() : null;
    }
    if (target.matches?.("input, textarea, select")) return null;
    return { "/": () => byId("input").focus(), "?": () => showShortcuts() }[key];
  }
}

new Page(await openStore(`isotope-chat ${location.pathname}`)).start();
