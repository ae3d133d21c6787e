// A conversation as the page keeps, exports and imports it.

export const FORMAT = "isotope-conversations";

/** Fields that go to the server as they are, with their bounds there. */
export const SAMPLING = [
  { name: "temperature", label: "Temperature", min: 0, max: 100, step: 0.1 },
  { name: "top_p", label: "Top-p", min: 0.01, max: 1, step: 0.01 },
  { name: "top_k", label: "Top-k", min: -1, max: 1_000_000, step: 1 },
  { name: "min_p", label: "Min-p", min: 0, max: 1, step: 0.01 },
  { name: "max_tokens", label: "Max tokens", min: 1, max: 10_000_000, step: 1 },
  { name: "seed", label: "Seed", min: 0, max: 9_007_199_254_740_991, step: 1 },
];

const ROLES = new Set(["user", "assistant", "tool"]);

const newId = () => Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");

export function newConversation(settings) {
  const now = Date.now();
  return { id: newId(), title: "", created: now, updated: now, settings: structuredClone(settings), messages: [] };
}

/** What the list shows of a conversation without a name: how it began. */
export function titleFrom(text) {
  const line = text.trim().split("\n", 1)[0];
  const chars = [...line.slice(0, 200)];
  return chars.length > 60 ? chars.slice(0, 57).join("") + "…" : line;
}

/** The messages that the model is to answer, up to (not with) number `end`. */
export function messagesForServer(conversation, end) {
  const { system } = conversation.settings;
  const messages = system ? [{ role: "system", content: system }] : [];
  conversation.messages.slice(0, end).forEach((message, i) => {
    const { role, content } = message;
    if (role === "tool") {
      messages.push({ role, content, ...(message.tool_call_id && { tool_call_id: message.tool_call_id }) });
      return;
    }
    // Calls that were answered; a template may refuse others.
    const calls = conversation.messages[i + 1]?.role === "tool" ? message.tool_calls : null;
    if (content || calls || role === "user") messages.push({ role, content, ...(calls && { tool_calls: calls }) });
  });
  return messages;
}

/** The fields of a request that the conversation's settings make. */
export function settingsForServer({ settings }, hasThinkingSwitch) {
  const fields = {};
  for (const { name } of SAMPLING) if (typeof settings[name] === "number") fields[name] = settings[name];
  if (settings.model) fields.model = settings.model;
  if (hasThinkingSwitch && typeof settings.thinking === "boolean") {
    fields.chat_template_kwargs = { enable_thinking: settings.thinking };
  }
  return fields;
}

export function exportJson(conversations) {
  return JSON.stringify({ format: FORMAT, version: 1, conversations }, null, 1);
}

const asText = (value) => (typeof value === "string" ? value : "");
const asTime = (value) => (Number.isFinite(value) && value > 0 ? value : Date.now());

/** Of anything, the settings in it that are valid. */
export function cleanSettings(value) {
  const settings = { system: asText(value?.system) };
  for (const { name, min, max } of SAMPLING) {
    const number = value?.[name];
    if (typeof number === "number" && number >= min && number <= max) settings[name] = number;
  }
  if (typeof value?.thinking === "boolean") settings.thinking = value.thinking;
  if (typeof value?.model === "string" && value.model) settings.model = value.model;
  return settings;
}

function cleanCalls(value) {
  if (!Array.isArray(value)) return undefined;
  return value.map((call) => ({
    id: asText(call?.id), type: "function",
    function: { name: asText(call?.function?.name), arguments: asText(call?.function?.arguments) },
  }));
}

const STATS = ["promptTokens", "cachedTokens", "tokens", "ttftMs", "perSecond", "seconds", "reasoningSeconds"];

function cleanMessage(value) {
  if (!ROLES.has(value?.role)) throw new Error(`a message has the role ${JSON.stringify(value?.role)}`);
  const message = { role: value.role, content: asText(value.content) };
  for (const name of ["reasoning", "error", "finish", "tool_call_id"]) if (asText(value[name])) message[name] = value[name];
  const calls = cleanCalls(value.tool_calls);
  if (calls?.length) message.tool_calls = calls;
  const stats = Object.fromEntries(STATS.filter((name) => Number.isFinite(value.stats?.[name])).map((name) => [name, value.stats[name]]));
  if (Object.keys(stats).length) message.stats = stats;
  return message;
}

function cleanConversation(value) {
  if (!Array.isArray(value?.messages)) throw new Error("a conversation has no list of messages");
  const messages = value.messages.map(cleanMessage);
  const title = asText(value.title).slice(0, 500) || titleFrom(messages[0]?.content ?? "");
  return { id: newId(), title, created: asTime(value.created), updated: asTime(value.updated),
           settings: cleanSettings(value.settings), messages };
}

/** Conversations of an exported file, with new ids. Errors: what is wrong with the file. */
export function importJson(text) {
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error("the file is no JSON");
  }
  if (value?.format !== FORMAT || !Array.isArray(value.conversations)) {
    throw new Error(`the file was not exported by this page ("format" is not "${FORMAT}")`);
  }
  return value.conversations.map(cleanConversation);
}
