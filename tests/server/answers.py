"""What an answer says, whole or put together from a stream, in one form that can be compared."""


def from_whole(choice):
    """A choice of a chat completion."""
    message = choice.message
    calls = [{"name": call.function.name, "arguments": call.function.arguments} for call in message.tool_calls or []]
    result = {"reasoning": getattr(message, "reasoning_content", None) or "", "content": message.content or "",
              "calls": calls, "finish": choice.finish_reason,
              "stop": choice.stop_reason}
    if choice.logprobs:
        result["tokens"] = [(entry.token, entry.logprob) for entry in choice.logprobs.content]
    return result


def from_stream(chunks):
    """All choices of a streamed chat completion, by index, and its usage. Checks the order of what comes."""
    choices, usage = {}, None
    for chunk in chunks:
        usage = chunk.usage or usage
        for part in chunk.choices:
            first = part.index not in choices
            choice = choices.setdefault(part.index, {"reasoning": "", "content": "", "calls": [], "finish": None,
                                                     "stop": None, "tokens": []})
            assert choice["finish"] is None, "nothing follows the end"
            assert (part.delta.role == "assistant") == first
            choice["reasoning"] += getattr(part.delta, "reasoning_content", None) or ""
            choice["content"] += part.delta.content or ""
            for call in part.delta.tool_calls or []:
                if call.id is not None:
                    assert call.index == len(choice["calls"]) and call.type == "function"
                    assert call.function.arguments == ""
                    choice["calls"].append({"name": call.function.name, "arguments": ""})
                else:
                    assert call.index == len(choice["calls"]) - 1 and call.function.name is None
                    choice["calls"][-1]["arguments"] += call.function.arguments
            if part.logprobs:
                choice["tokens"] += [(entry.token, entry.logprob) for entry in part.logprobs.content]
            choice["finish"] = part.finish_reason
            choice["stop"] = part.stop_reason
    for choice in choices.values():
        if not choice["tokens"]:
            del choice["tokens"]
    return [choices[index] for index in sorted(choices)], usage
