// Settings, the API key, the list of shortcuts.
import { SAMPLING } from "./conversation.js";
import { byId, make } from "./dom.js";
import { apiKey } from "./server.js";

const isMac = /Mac|iPhone|iPad/.test(navigator.platform);
const ALT = isMac ? "⌥" : "Alt";

const SHORTCUTS = [
  ["Enter", "send"],
  ["Shift Enter", "a new line"],
  ["Esc", "stop the answer"],
  ["↑", "in an empty field: edit the last message"],
  [`${ALT} R`, "answer again"],
  [`${ALT} N`, "new chat"],
  [`${ALT} ↑ / ↓`, "conversation above, below"],
  [`${ALT} S`, "settings"],
  ["/", "to the message field"],
  ["?", "this list"],
];

export function showShortcuts() {
  byId("shortcuts").replaceChildren(...SHORTCUTS.flatMap(([keys, what]) => [
    make("dt", {}, ...keys.split(" ").flatMap((key) => [key === "/" && keys !== "/" ? key : make("kbd", {}, key), " "])),
    make("dd", {}, what)]));
  byId("keys-dialog").showModal();
}

const closed = (dialog) => new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));

/** Whether a key was given. */
export async function askForKey(reason) {
  const dialog = byId("key-dialog");
  if (dialog.open) return false;
  byId("key-reason").textContent = reason;
  byId("key").value = "";
  dialog.returnValue = "";
  let given = false;
  const submit = () => (given = true);
  dialog.addEventListener("submit", submit, { once: true });
  dialog.showModal();
  await closed(dialog);
  dialog.removeEventListener("submit", submit);
  if (given && byId("key").value) apiKey.set(byId("key").value.trim(), byId("keep-key").checked);
  return given;
}

function samplingField({ name, label, min, max, step }, value, fallback) {
  const field = make("input", { type: "number", id: `setting-${name}`, min: String(min), max: String(max), step: step < 1 ? "any" : "1",
                                inputmode: step < 1 ? "decimal" : "numeric", placeholder: fallback });
  field.value = value ?? "";
  return make("label", { class: "field" }, label, field);
}

/** What the server takes where a field is empty. */
function fallbackOf(name, status) {
  const value = status?.default_sampling?.[name];
  if (name === "max_tokens") return "what fits";
  if (name === "seed") return "random";
  if (name === "top_k" && !(value > 0)) return "all";
  return value === undefined ? "" : String(Number(value.toPrecision(6)));
}

async function storageText(isPersistent) {
  if (!isPersistent) return "This browser keeps no data here: conversations last as long as this page.";
  const { usage, quota } = (await navigator.storage?.estimate?.()) ?? {};
  if (usage === undefined) return "";
  return `Stored in this browser: ${(usage / 1e6).toFixed(1)} of ${Math.round(quota / 1e6)} MB.`;
}

function fillModels(names, chosen) {
  const known = chosen && !names.includes(chosen) ? [chosen, ...names] : names;
  const select = byId("setting-model");
  select.replaceChildren(...known.map((name) => make("option", { value: name }, name)));
  select.value = chosen || (names[0] ?? "");
}

function readSettings(settings, status) {
  const result = { system: byId("setting-system").value };
  for (const { name } of SAMPLING) {
    const field = byId(`setting-${name}`);
    if (field.value !== "" && field.validity.valid) result[name] = field.valueAsNumber;
  }
  const thinking = byId("setting-thinking").value;
  if (thinking) result.thinking = thinking === "true";
  const model = byId("setting-model").value;
  if (model && model !== status?.models[0]) result.model = model;
  return result;
}

/** The settings as the user leaves them, and whether new conversations get them, too. */
export async function editSettings(settings, status, isPersistent) {
  const dialog = byId("settings-dialog");
  fillModels(status?.models ?? [], settings.model);
  byId("setting-system").value = settings.system ?? "";
  byId("sampling").replaceChildren(...SAMPLING.map((each) => samplingField(each, settings[each.name], fallbackOf(each.name, status))));
  byId("thinking-field").hidden = !status?.thinking_switch;
  byId("setting-thinking").value = settings.thinking === undefined ? "" : String(settings.thinking);
  byId("as-default").checked = false;
  byId("forget-key").hidden = !apiKey.get();
  byId("forget-key").onclick = () => {
    apiKey.set(null, false);
    byId("forget-key").hidden = true;
  };
  byId("storage").textContent = "";
  // The browser counts as long as it wants; the dialog does not wait for that.
  storageText(isPersistent).then((text) => (byId("storage").textContent = text), () => {});
  dialog.showModal();
  await closed(dialog);
  return { settings: readSettings(settings, status), asDefault: byId("as-default").checked };
}
