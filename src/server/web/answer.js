// One answer on its way: what the stream's events add to a message, and how fast they came.
import { streamChat } from "./server.js";

/** Adds to `calls` what an event says of them: the name once, the arguments in pieces. */
function addCalls(calls, deltas) {
  for (const delta of deltas) {
    const index = Number.isInteger(delta.index) && delta.index >= 0 && delta.index < 1024 ? delta.index : calls.length;
    while (calls.length <= index) calls.push({ id: "", type: "function", function: { name: "", arguments: "" } });
    const call = calls[index];
    call.id ||= delta.id ?? "";
    call.function.name += delta.function?.name ?? "";
    call.function.arguments += delta.function?.arguments ?? "";
  }
}

class Clock {
  constructor() {
    this.begin = performance.now();
    this.first = this.last = this.content = null;
    this.events = 0;
  }

  tick(isContent) {
    this.last = performance.now();
    this.first ??= this.last;
    if (isContent) this.content ??= this.last;
    this.events++;
  }

  /** By the server's count where there is one; it is the page's own until then. */
  stats(usage) {
    const tokens = usage?.completion_tokens ?? this.events;
    const between = (this.last - this.first) / Math.max(1, this.events - 1);
    const tpot = usage ? usage.tpot_ms ?? between : between;
    return {
      tokens,
      seconds: (performance.now() - this.begin) / 1000,
      ...(this.first !== null && { ttftMs: usage?.ttft_ms ?? this.first - this.begin }),
      ...(tpot > 0 && { perSecond: 1000 / tpot }),
      ...(usage && { promptTokens: usage.prompt_tokens, cachedTokens: usage.prompt_tokens_details?.cached_tokens ?? 0 }),
    };
  }

  reasoningSeconds() {
    return this.first === null ? 0 : ((this.content ?? performance.now()) - this.first) / 1000;
  }
}

/** `message`, with what a delta says added. Whether it was a part of the answer proper. */
function addDelta(message, delta) {
  const reasoning = delta.reasoning_content ?? delta.reasoning;
  if (typeof reasoning === "string") message.reasoning = (message.reasoning ?? "") + reasoning;
  if (typeof delta.content === "string") message.content += delta.content;
  if (Array.isArray(delta.tool_calls)) addCalls((message.tool_calls ??= []), delta.tool_calls);
  if (typeof delta.refusal === "string") message.content += delta.refusal;
  return Boolean(delta.content || delta.tool_calls);
}

/**
 * Fills `message` with the answer to `body`, calling `onChange` whenever something came. What ended it is in
 * message.finish ("stop", "length", "tool_calls", "stopped" by the user) or message.error.
 */
export async function receiveAnswer(message, body, signal, onChange) {
  const clock = new Clock();
  const earlierReasoning = message.stats?.reasoningSeconds ?? 0;
  let usage = null;
  const note = () => {
    message.stats = clock.stats(usage);
    if (message.reasoning) message.stats.reasoningSeconds = earlierReasoning || clock.reasoningSeconds();
  };
  try {
    for await (const event of streamChat(body, signal)) {
      usage = event.usage ?? usage;
      const choice = event.choices?.[0];
      if (choice?.finish_reason) message.finish = choice.finish_reason;
      const delta = choice?.delta ?? {};
      const isPart = Boolean(delta.content || delta.reasoning_content || delta.reasoning || delta.tool_calls);
      const isContent = addDelta(message, delta);
      if (isPart) clock.tick(isContent);
      note();
      onChange();
    }
  } catch (error) {
    if (error.name === "AbortError") {
      message.finish = "stopped";
    } else {
      message.error = error.message;
      throw error;
    }
  } finally {
    note();
  }
}
