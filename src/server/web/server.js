// Requests to the server that the page came from.

import { read, write } from "./browser_storage.js";

const BASE = new URL("./", document.baseURI); // with the prefix of a proxy, if there is one

export class ServerError extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status; // 0: no answer came
  }
}

const KEY = "isotope-api-key";

/** Kept for this tab, or by choice in the browser. */
export const apiKey = {
  get: () => read(KEY, "sessionStorage") ?? read(KEY) ?? "",
  set(key, remember) {
    write(KEY, remember ? key : null);
    write(KEY, remember ? null : key, "sessionStorage");
  },
};

async function request(path, options = {}) {
  const key = apiKey.get();
  const headers = { ...options.headers, ...(key && { Authorization: `Bearer ${key}` }) };
  let response;
  try {
    response = await fetch(new URL(path, BASE), { ...options, headers, cache: "no-store", credentials: "same-origin" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError("The server does not answer. Is it running?");
  }
  if (!response.ok) throw await errorOf(response);
  return response;
}

async function errorOf(response) {
  const text = await response.text().catch(() => "");
  let message;
  try {
    message = JSON.parse(text).error.message;
  } catch {
    message = text.slice(0, 500);
  }
  const wait = response.headers.get("Retry-After");
  const advice = wait && /^\d+$/.test(wait) ? ` (try again in ${wait} s)` : "";
  return new ServerError((message || `The server answered with status ${response.status}.`) + advice, response.status);
}

export async function getStatus() {
  return (await request("v1/status")).json();
}

/** What the chat completion's stream says, event by event. */
export async function* streamChat(body, signal) {
  const response = await request("v1/chat/completions", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } }),
    signal,
  });
  for await (const data of eventData(response.body)) {
    if (data === "[DONE]") return;
    let event;
    try {
      event = JSON.parse(data);
    } catch {
      throw new ServerError("The answer is no stream of JSON events; a proxy may have changed it.");
    }
    if (event.error) throw new ServerError(event.error.message ?? "The server failed.", Number(event.error.code) || 500);
    yield event;
  }
  throw new ServerError("The connection ended before the answer did.");
}

/** The data of server-sent events. Each byte is looked at once, however long a line is. */
export async function* eventData(stream) {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  const pieces = []; // of the line that has not ended
  let data = [];
  try {
    for (;;) {
      const { value, done } = await reader.read().catch((error) => {
        if (error.name === "AbortError") throw error;
        throw new ServerError("The connection to the server was lost.");
      });
      const lines = (done ? decoder.decode() : decoder.decode(value, { stream: true })).split("\n");
      for (let i = 0; i < lines.length; i++) {
        pieces.push(lines[i]);
        if (i + 1 === lines.length) break; // goes on with the next bytes
        const line = pieces.splice(0).join("").replace(/\r$/, "");
        if (line.startsWith("data:")) data.push(line.slice(line[5] === " " ? 6 : 5));
        else if (line === "" && data.length) yield data.splice(0).join("\n");
      }
      if (done) return;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
