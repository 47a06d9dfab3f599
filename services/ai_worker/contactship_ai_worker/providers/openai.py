"""OpenAI, and everything that speaks its chat completions protocol."""

import re
from collections import defaultdict
from typing import Any

import openai
from openai import AsyncOpenAI
from pydantic import BaseModel

from contactship_ai_worker.providers.base import (
    AuthRefused,
    BadRequest,
    Busy,
    ConnectionLost,
    InvalidAnswer,
    ModelRequest,
    ProviderError,
    QuotaExhausted,
    RateLimited,
    Refused,
    Repair,
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
from contactship_ai_worker.providers.hints import header_hint
from contactship_ai_worker.providers.http import SpreadClient
from contactship_ai_worker.providers.schema import openai_schema, schema_in_words

REPAIR_TURN = "Answer again, corrected as the system message says."

# What an endpoint may understand, best first; we step down when it refuses, separately for every output model.
_MODES = ("json_schema", "json_object", "text")
_QUOTA_CODES = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "quota_exceeded"}
_CONTEXT = re.compile(r"context.?(length|window)|too (long|large)|maximum.{0,20}tokens|exceed.{0,40}tokens", re.I)
_NO_SUCH_MODEL = re.compile(
    r"\bmodels?\b.{0,200}\b(not found|not exist|unknown|unsupported|no access|not supported|not available)"
    r"|(unknown|invalid|unsupported|no such)\s+model",
    re.I | re.S,
)


class OpenAIProvider:
    """One endpoint and model. The SDK's retries are off: attempts are counted in one place, the engine."""

    name = "openai"

    def __init__(self, *, key: str, base_url: str, model: str, timeout_seconds: float, connections: int) -> None:
        self.model = model
        # Only OpenAI itself knows the newer name, and its reasoning models refuse the older one.
        self._limit_name = "max_completion_tokens" if "api.openai.com" in base_url else "max_tokens"
        self._modes: defaultdict[type[BaseModel], int] = defaultdict(int)
        self._client = AsyncOpenAI(
            api_key=key,
            base_url=base_url,
            timeout=timeout_seconds,
            max_retries=0,
            # The SDK keeps 100 idle connections only: beyond that every call would pay a new TLS handshake.
            http_client=SpreadClient(connections=connections, timeout_seconds=timeout_seconds),
        )

    async def complete(self, request: ModelRequest[T]) -> Reply[T]:
        mode = self._modes[request.output_model]
        try:
            response = await self._client.chat.completions.with_raw_response.create(
                model=self.model,
                messages=_messages(request, in_words=mode > 0),  # type: ignore[arg-type]
                # As extra body: the SDK walks typed parameters key by key, a fifth of the call's CPU for a schema.
                extra_body={self._limit_name: request.max_output_tokens} | _response_format(request.output_model, mode),
            )
            body = response.http_response.json()
        except openai.APIStatusError as error:
            raise self._status_error(error, request.output_model, mode) from None
        except openai.APITimeoutError:
            raise TimedOut() from None
        except openai.APIConnectionError:
            raise ConnectionLost() from None
        except (openai.OpenAIError, ValueError):  # a 200 whose body is not JSON, or not even text
            raise ServerFailed("bad_envelope") from None
        return read_completion(body, request.output_model)

    async def aclose(self) -> None:
        await self._client.close()

    def _status_error(self, error: openai.APIStatusError, output_model: type[BaseModel], mode: int) -> ProviderError:
        found = classify(error.status_code, error.body, error.response.headers)
        if isinstance(found, SchemaRefused):
            if mode + 1 == len(_MODES):
                return BadRequest()
            # Not `+= 1`: of 256 calls refused at the same time only the first may step down.
            self._modes[output_model] = max(self._modes[output_model], mode + 1)
        return found


def classify(status: int, body: Any, headers: Any) -> ProviderError:
    """What an error answer means; the code says more than the status, where there is one."""
    fields = body if isinstance(body, dict) else {}
    code = str(fields.get("code") or "")
    kind = str(fields.get("type") or "")
    message = str(fields.get("message") or "")[:2_000]
    if code in _QUOTA_CODES or kind in _QUOTA_CODES or status == 402:
        return QuotaExhausted()
    if code in {"model_not_found", "invalid_model"} or (status in {400, 404} and _NO_SUCH_MODEL.search(message)):
        return UnknownModel()
    if status in {401, 403}:
        return AuthRefused(f"http_{status}")
    if status == 429:
        return RateLimited(hint_seconds=header_hint(headers))
    if status in {408, 409}:
        return Busy(f"http_{status}")
    if status >= 500:
        return ServerFailed(f"http_{status}")
    if code in {"content_filter", "content_policy_violation"}:
        return Refused("content_filter")
    if code == "context_length_exceeded" or status == 413 or (status == 400 and _CONTEXT.search(message)):
        return BadRequest("context_too_long")
    if status in {400, 422} and re.search(r"response_format|json_schema|json_object|structured output", message, re.I):
        return SchemaRefused()
    return BadRequest(f"http_{status}")


def read_completion(body: Any, output_model: type[T]) -> Reply[T]:
    """The first choice of a chat completion, validated.

    Raises:
        Refused, Truncated, InvalidAnswer, ServerFailed: the last when it is not a chat completion at all.
    """
    try:
        choice = body["choices"][0]
        message = choice["message"]
        finish, refusal, content = choice.get("finish_reason"), message.get("refusal"), message.get("content")
        counted = body.get("usage") or {}
        usage = Usage(int(counted.get("prompt_tokens") or 0), int(counted.get("completion_tokens") or 0))
    except (KeyError, IndexError, TypeError, AttributeError, ValueError):
        raise ServerFailed("bad_envelope") from None
    if refusal:
        raise Refused("model_refusal", usage=usage)
    if finish == "content_filter":
        raise Refused("content_filter", usage=usage)
    if finish == "length":
        raise Truncated(usage=usage)
    if content is not None and not isinstance(content, str):
        raise InvalidAnswer("not_text", repair=Repair("", "The answer was not text."), usage=usage)
    return Reply(validate(content, output_model, usage), usage)


def _messages(request: ModelRequest[T], *, in_words: bool) -> list[dict[str, str]]:
    """Everything that instructs stands in the system message; what strangers wrote is only ever a user message."""
    system = [request.instructions]
    if in_words:
        system.append(schema_in_words(request.output_model))
    turns = [{"role": "user", "content": request.input}]
    if request.repair:
        system.append(repair_instruction(request.repair))
        turns += [
            {"role": "assistant", "content": request.repair.answer or "(empty)"},
            {"role": "user", "content": REPAIR_TURN},
        ]
    return [{"role": "system", "content": "\n\n".join(system)}, *turns]


def repair_instruction(repair: Repair) -> str:
    """What the system message adds in the repair turn."""
    return f"Your previous answer was refused:\n{repair.problem}\nGive the whole answer again without these errors."


def _response_format(output_model: type[BaseModel], mode: int) -> dict[str, Any]:
    if _MODES[mode] == "json_schema":
        schema = {"name": output_model.__name__, "strict": True, "schema": openai_schema(output_model)}
        return {"response_format": {"type": "json_schema", "json_schema": schema}}
    return {"response_format": {"type": "json_object"}} if _MODES[mode] == "json_object" else {}
