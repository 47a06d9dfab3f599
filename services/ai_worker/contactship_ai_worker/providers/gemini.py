"""Gemini through `google-genai`."""

import copy
import re
from collections import defaultdict
from typing import Any

import httpx2
from google import genai
from google.genai import errors, types
from pydantic import BaseModel

from contactship_ai_worker.providers.base import (
    AuthRefused,
    BadRequest,
    Busy,
    ConnectionLost,
    ModelRequest,
    ProviderError,
    QuotaExhausted,
    RateLimited,
    Refused,
    Reply,
    SchemaRefused,
    ServerFailed,
    T,
    TimedOut,
    Truncated,
    UnknownModel,
    Usage,
    validate,
)
from contactship_ai_worker.providers.hints import error_details, header_hint, retry_info_hint
from contactship_ai_worker.providers.http import SpreadClient
from contactship_ai_worker.providers.openai import REPAIR_TURN, repair_instruction
from contactship_ai_worker.providers.schema import gemini_schema, schema_in_words

# What stops an answer for its content; the other finish reasons are accidents.
_BLOCKED = {
    "SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR", "IMAGE_SAFETY",
}  # fmt: skip
_CONTEXT = re.compile(r"token count.{0,80}exceeds|too (long|large)|exceeds the maximum", re.I | re.S)
# The last one is a schema with more values and limits than Gemini can hold: "The specified schema produces a constraint
# that has too many states for serving."
_SCHEMA = re.compile(
    r"response_?schema|response_?mime_?type|json mode|generation_config|schema produces a constraint", re.I
)


class GeminiProvider:
    """One model. The SDK does not retry by default, and an own HTTP client keeps it so: through aiohttp, which it
    prefers wherever that is installed, it repeats a lost call after up to 10 s by itself."""

    name = "gemini"

    def __init__(self, *, key: str, base_url: str, model: str, timeout_seconds: float, connections: int) -> None:
        self.model = model
        self._plain: defaultdict[type[BaseModel], bool] = defaultdict(bool)
        self._http = SpreadClient(connections=connections, timeout_seconds=timeout_seconds)
        self._client = genai.Client(
            api_key=key,
            vertexai=False,
            http_options=types.HttpOptions(
                base_url=base_url,
                api_version="v1beta",  # where structured output and thinking budgets live
                timeout=round(timeout_seconds * 1000),  # milliseconds
                httpx_async_client=self._http,
            ),
        )

    async def complete(self, request: ModelRequest[T]) -> Reply[T]:
        plain = self._plain[request.output_model]
        try:
            response = await self._client.aio.models.generate_content(
                model=self.model, contents=_contents(request), config=self._config(request, plain=plain)
            )
        except errors.APIError as error:
            raise self._api_error(error, request.output_model, plain=plain) from None
        except httpx2.TimeoutException:
            raise TimedOut() from None
        except httpx2.TransportError:
            raise ConnectionLost() from None
        except (errors.UnknownApiResponseError, httpx2.HTTPError, ValueError, AttributeError, TypeError):
            # A 200 that is not this protocol dies in many ways inside the SDK.
            raise ServerFailed("bad_envelope") from None
        return read_response(response, request.output_model)

    async def aclose(self) -> None:
        await self._client.aio.aclose()
        await self._http.aclose()

    def _config(self, request: ModelRequest[T], *, plain: bool) -> types.GenerateContentConfig:
        system = [request.instructions]
        if plain:
            system.append(schema_in_words(request.output_model))
        if request.repair:
            system.append(repair_instruction(request.repair))
        return types.GenerateContentConfig(
            system_instruction="\n\n".join(system),
            max_output_tokens=request.max_output_tokens,
            response_mime_type="application/json",
            # A copy: the SDK rewrites the dict in place.
            response_schema=None if plain else copy.deepcopy(gemini_schema(request.output_model)),
            # Thinking is paid from the same token limit and would cut the answer off; only 2.5 Flash lets us decline.
            thinking_config=(
                types.ThinkingConfig(thinking_budget=0) if self.model.startswith("gemini-2.5-flash") else None
            ),
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        )

    def _api_error(self, error: errors.APIError, output_model: type[BaseModel], *, plain: bool) -> ProviderError:
        found = classify(error.code, error.details, getattr(error.response, "headers", {}))
        if isinstance(found, SchemaRefused):
            if plain:
                return BadRequest()
            self._plain[output_model] = True
        return found


def classify(status: int, body: Any, headers: Any) -> ProviderError:
    """What an error answer means; Google's reasons say more than the status."""
    error = body.get("error", body) if isinstance(body, dict) else {}
    error = error if isinstance(error, dict) else {}
    word, message = str(error.get("status") or ""), str(error.get("message") or "")[:2_000]
    reasons = {str(detail.get("reason")) for detail in error_details(body) if detail.get("reason")}
    if status in {401, 403} or reasons & {"API_KEY_INVALID", "API_KEY_EXPIRED"} or "API key not valid" in message:
        return AuthRefused(f"http_{status}")
    if status == 402:
        return QuotaExhausted()
    if status == 429:
        hint = retry_info_hint(body)
        hint = header_hint(headers) if hint is None else hint
        # The same status means "slow down" and "used up for today"; without a hint a daily quota is told by its name.
        return RateLimited(hint_seconds=hint) if hint is not None or not _daily_quota(body) else QuotaExhausted()
    if status in {408, 409}:
        return Busy(f"http_{status}")
    if status >= 500:
        return ServerFailed(f"http_{status}")
    if word == "FAILED_PRECONDITION":  # billing off, country not served: about the account, not about the question
        return AuthRefused("failed_precondition")
    if status == 404:
        return UnknownModel()  # the address holds nothing but the model's name
    if status == 413 or _CONTEXT.search(message):
        return BadRequest("context_too_long")
    if status in {400, 422} and _SCHEMA.search(message):
        return SchemaRefused()
    return BadRequest(f"http_{status}")


def read_response(response: types.GenerateContentResponse, output_model: type[T]) -> Reply[T]:
    """The first candidate, validated.

    Raises:
        Refused, Truncated, InvalidAnswer
    """
    counted = response.usage_metadata
    usage = Usage(
        (counted and counted.prompt_token_count) or 0,
        ((counted and counted.candidates_token_count) or 0) + ((counted and counted.thoughts_token_count) or 0),
    )
    feedback = response.prompt_feedback
    if feedback and feedback.block_reason:
        raise Refused("safety_block", usage=usage)
    candidate = response.candidates[0] if response.candidates else None
    finish = candidate.finish_reason.value if candidate and candidate.finish_reason else ""
    if finish in _BLOCKED:
        raise Refused("safety_block", usage=usage)
    if finish == "MAX_TOKENS":
        raise Truncated(usage=usage)
    parts = (candidate.content.parts if candidate and candidate.content else None) or []
    text = "".join(part.text for part in parts if part.text and not part.thought)
    return Reply(validate(text, output_model, usage), usage)


def _daily_quota(body: Any) -> bool:
    violations = [v for detail in error_details(body) for v in detail.get("violations") or [] if isinstance(v, dict)]
    return any("PerDay" in str(violation.get("quotaId", "")) for violation in violations)


def _contents(request: ModelRequest[T]) -> list[types.Content]:
    turns = [("user", request.input)]
    if request.repair:
        turns += [("model", request.repair.answer or "(empty)"), ("user", REPAIR_TURN)]
    return [types.Content(role=role, parts=[types.Part(text=text)]) for role, text in turns]
