"""OpenAI's chat completions, as an endpoint answers them."""

import time
from typing import Any, ClassVar

from vendors.answers import broken_answer, valid_answer
from vendors.server import Answer, Body, Say, VendorServer, hint_headers, run_standalone

# kind: status, code, type, message
_ERRORS: dict[str, tuple[int, str | None, str, str]] = {
    "bad_request": (400, None, "invalid_request_error", "Invalid value for 'messages'."),
    "context_too_long": (
        400, "context_length_exceeded", "invalid_request_error",
        "This model's maximum context length is 128000 tokens. However, your messages resulted in 140000 tokens.",
    ),
    "schema_refused": (
        400, None, "invalid_request_error",
        "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.",
    ),
    "content_policy": (400, "content_filter", "invalid_request_error", "The response was filtered."),
    "unauthorized": (401, "invalid_api_key", "invalid_request_error", "Incorrect API key provided."),
    "quota": (
        429, "insufficient_quota", "insufficient_quota",
        "You exceeded your current quota, please check your plan and billing details.",
    ),
    "payment_required": (402, None, "billing_error", "Payment required."),
    "forbidden": (403, "unsupported_country_region_territory", "request_forbidden", "Country not supported"),
    "not_found": (404, None, "invalid_request_error", "Invalid URL (POST /v1/chat/completion)"),
    "unknown_model": (
        404, "model_not_found", "invalid_request_error",
        "The model `gpt-none` does not exist or you do not have access.",
    ),
    "request_timeout": (408, None, "timeout", "Request timed out."),
    "conflict": (409, None, "conflict", "The resource is locked."),
    "unprocessable": (422, None, "invalid_request_error", "Unprocessable."),
    "rate_limited": (429, "rate_limit_exceeded", "requests", "Rate limit reached for gpt-4o-mini."),
    "server_error": (500, None, "server_error", "The server had an error while processing your request."),
    "unavailable": (503, None, "server_error", "The engine is currently overloaded, please try again later."),
}  # fmt: skip


class OpenAIServer(VendorServer):
    """`POST /v1/chat/completions` (any path ending so), with structured output by `json_schema`."""

    vendor: ClassVar[str] = "openai"

    @property
    def base_url(self) -> str:
        """What OPENAI_BASE_URL is set to."""
        return f"{self.url}/v1"

    def prompt_of(self, body: Body) -> str:
        return "\n\n".join(str(message.get("content") or "") for message in body.get("messages", []))

    def applies(self, say: Say, body: Body) -> bool:
        if say.kind == "schema_refused":
            return bool(body.get("response_format", {}).get("type") == "json_schema")
        if say.kind == "json_refused":
            return "response_format" in body
        return True

    def answer(self, say: Say, path: str, body: Body) -> Answer:
        if say.kind == "hang":
            return Answer(hang=True)
        if say.kind == "reset":
            return Answer(cut=True)
        if say.kind == "html":
            return Answer(200, "<html><body>Bad gateway, sort of</body></html>")
        kind = "schema_refused" if say.kind == "json_refused" else say.kind
        if kind in _ERRORS:
            status, code, type_, message = _ERRORS[kind]
            error = {"message": message, "type": type_, "param": None, "code": code}
            return Answer(say.status or status, {"error": error}, hint_headers(say))
        return Answer(say.status or 200, self._completion(say, body))

    def _completion(self, say: Say, body: Body) -> Body:
        prompt = self.prompt_of(body)
        schema = body.get("response_format", {}).get("json_schema", {}).get("schema")
        valid = valid_answer(schema, prompt)
        content: str | None = {
            "ok": valid,
            "text": say.text,
            "truncated": valid[: len(valid) // 2],
            "invalid_json": valid[:-1] + ",}",
            "prose": f"Claro, aquí está el resumen:\n\n{valid}\n\n¡Espero que ayude!",
            "code_fence": f"```json\n{valid}\n```",
            "empty": "",
            "schema_breaking": broken_answer(schema, prompt),
        }.get(say.kind)
        finish = {"truncated": "length", "content_filter": "content_filter"}.get(say.kind, "stop")
        message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None}
        if say.kind == "refusal":
            message["refusal"] = "I'm sorry, but I can't help with that."
        elif content is None and say.kind != "content_filter":
            raise ValueError(f"unknown kind of answer: {say.kind}")
        tokens_in, tokens_out = max(1, len(prompt) // 4), max(1, len(content or "") // 4)
        return {
            "id": f"chatcmpl-{time.monotonic_ns()}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": body.get("model", "gpt-4o-mini"),
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
            "usage": {
                "prompt_tokens": tokens_in,
                "completion_tokens": tokens_out,
                "total_tokens": tokens_in + tokens_out,
            },
        }


if __name__ == "__main__":
    run_standalone(OpenAIServer)
