"""Gemini's `generateContent`, as the API answers it."""

from typing import Any, ClassVar

from vendors.answers import broken_answer, valid_answer
from vendors.server import Answer, Body, Say, VendorServer, hint_headers, run_standalone

# kind: status, google.rpc status, message
_ERRORS: dict[str, tuple[int, str, str]] = {
    "bad_request": (400, "INVALID_ARGUMENT", "Request contains an invalid argument."),
    "context_too_long": (
        400, "INVALID_ARGUMENT",
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
    ),
    "schema_refused": (400, "INVALID_ARGUMENT", "Invalid JSON payload received. Unknown name \"responseSchema\"."),
    "schema_too_large": (
        400, "INVALID_ARGUMENT",
        "The specified schema produces a constraint that has too many states for serving. Typical causes of this error "
        "are schemas with lots of text, schemas with long array length limits, or schemas using complex value matchers.",
    ),
    "bad_key": (400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."),
    "precondition": (400, "FAILED_PRECONDITION", "User location is not supported for the API use."),
    "unauthorized": (401, "UNAUTHENTICATED", "Request had invalid authentication credentials."),
    "payment_required": (402, "FAILED_PRECONDITION", "Billing is not enabled."),
    "forbidden": (403, "PERMISSION_DENIED", "Generative Language API has not been used in project before."),
    "unknown_model": (404, "NOT_FOUND", "models/none is not found for API version v1beta."),
    "request_timeout": (408, "DEADLINE_EXCEEDED", "Request timed out."),
    "conflict": (409, "ABORTED", "The operation was aborted."),
    "unprocessable": (422, "INVALID_ARGUMENT", "Unprocessable."),
    "rate_limited": (429, "RESOURCE_EXHAUSTED", "You exceeded your current quota, please check your plan."),
    "quota": (429, "RESOURCE_EXHAUSTED", "You exceeded your current quota, please check your plan."),
    "server_error": (500, "INTERNAL", "An internal error has occurred."),
    "unavailable": (503, "UNAVAILABLE", "The model is overloaded. Please try again later."),
}  # fmt: skip


class GeminiServer(VendorServer):
    """`POST /v1beta/models/{model}:generateContent`, with structured output by `responseSchema`."""

    vendor: ClassVar[str] = "gemini"

    @property
    def base_url(self) -> str:
        """What GEMINI_BASE_URL is set to."""
        return self.url

    def prompt_of(self, body: Body) -> str:
        contents = [body.get("systemInstruction", {}), *body.get("contents", [])]
        return "\n\n".join(part.get("text", "") for content in contents for part in content.get("parts", []))

    def applies(self, say: Say, body: Body) -> bool:
        return say.kind not in ("schema_refused", "schema_too_large") or "responseSchema" in body.get(
            "generationConfig", {}
        )

    def answer(self, say: Say, path: str, body: Body) -> Answer:
        if say.kind == "hang":
            return Answer(hang=True)
        if say.kind == "reset":
            return Answer(cut=True)
        if say.kind == "html":
            return Answer(200, "<html><body>Bad gateway, sort of</body></html>")
        if say.kind in _ERRORS:
            status, word, message = _ERRORS[say.kind]
            status = say.status or status
            error = {"code": status, "message": message, "status": word, "details": _details(say)}
            return Answer(status, {"error": error}, hint_headers(say))
        return Answer(say.status or 200, self._response(say, body))

    def _response(self, say: Say, body: Body) -> Body:
        prompt = self.prompt_of(body)
        schema = body.get("generationConfig", {}).get("responseSchema")
        if say.kind == "content_filter":
            return {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 10}}
        if say.kind == "refusal":
            return {"candidates": [{"finishReason": "SAFETY", "index": 0}], "usageMetadata": {"promptTokenCount": 10}}
        valid = valid_answer(schema, prompt)
        text = {
            "ok": valid,
            "text": say.text,
            "truncated": valid[: len(valid) // 2],
            "invalid_json": valid[:-1] + ",}",
            "prose": f"Claro, aquí está el resumen:\n\n{valid}\n\n¡Espero que ayude!",
            "code_fence": f"```json\n{valid}\n```",
            "empty": "",
            "schema_breaking": broken_answer(schema, prompt),
        }[say.kind]
        finish = "MAX_TOKENS" if say.kind == "truncated" else "STOP"
        content = {"role": "model", "parts": [{"text": text}] if text else []}
        tokens_in, tokens_out = max(1, len(prompt) // 4), max(1, len(text) // 4)
        return {
            "candidates": [{"content": content, "finishReason": finish, "index": 0}],
            "usageMetadata": {
                "promptTokenCount": tokens_in,
                "candidatesTokenCount": tokens_out,
                "totalTokenCount": tokens_in + tokens_out,
            },
            "modelVersion": "gemini-2.5-flash",
        }


def _details(say: Say) -> list[dict[str, Any]]:
    details: list[dict[str, Any]] = []
    if say.kind == "bad_key":
        details.append({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"})
    if say.kind in {"quota", "rate_limited"}:
        period = "PerDay" if say.kind == "quota" else "PerMinute"
        violation = {"quotaId": f"GenerateRequests{period}PerProjectPerModel-FreeTier"}
        details.append({"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]})
    if say.retry_info:
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": say.retry_info})
    return details


if __name__ == "__main__":
    run_standalone(GeminiServer)
