"""Writes `docs/reference/errors.md` from the typed errors: `python -m contactship_api.http.error_manual`.

Status, code and meaning come from the classes; what to do about each stands here. A test compares the page with what
would be written, and finds a code without advice.
"""

import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import contactship_api.app  # noqa: F401 - loads every feature, and with it its errors
from contactship_common.errors import ContactshipError

FILE = Path("docs/reference/errors.md")

_READ_AGAIN = "Read the resource again, apply your change to what you find, send the new `ETag`."
_LIST = "Take an id from the list. What you may not see is not found either."
_REUSE = "Use the one that exists, or choose another value."
_UPLOAD = "Send the upload again, complete."
_FORM = "Send one field `file`; see the operation in `/api/docs`."
_CSV = "Save the table as CSV in UTF-8, look at it with `?dryRun=true`, and send it again."
_PHONE = "Write the number in E.164, such as `+541134567890`."
_UNKNOWN_IN_BODY = "Correct the id in the body."
_RIGHT = "Ask an ADMIN for the role, or for a key with the scope that `detail` names."
_CODE_OVER = "Ask for a new code."

WHAT_TO_DO: dict[str, str] = {
    "agent_not_found": "Assign an active user; `GET /api/v1/users` lists them for an ADMIN.",
    "api_key_not_found": _LIST,
    "bad_cursor": "Start the walk again without `cursor`.",
    "bad_idempotency_key": "Send 1 to 255 visible ASCII characters, a UUID for instance.",
    "batch_not_found": _LIST,
    "callbacks_not_configured": "Leave `callbackUrl` out, or have the operator set `CALLBACK_SIGNING_SECRET`.",
    "classification_not_found": "Classify the meeting first: `POST /api/v1/workers/classify/{meetingId}`.",
    "client_email_taken": _REUSE,
    "client_has_meetings": "Delete with `?cascade=true`, or keep the client.",
    "client_not_found": _LIST,
    "columns_missing": "Add the columns that `missing` names to the first line.",
    "columns_repeated": "Rename or leave out all but one of the columns that `repeated` names.",
    "concurrent_change": "Send the request again.",
    "conflict": "Read what is there; the same thing exists already.",
    "conversation_already_open": "Use the open conversation, or close it first.",
    "conversation_closed": "Open it with `PATCH /api/v1/conversations/{id}`, or start a new one.",
    "conversation_does_not_fit": "Leave `conversationId` out, or take one of this number and channel.",
    "conversation_lead_not_found": _UNKNOWN_IN_BODY,
    "conversation_not_found": _LIST,
    "correction_not_wanted": "Send `correctedValue` with `verdict: wrong`, one field, and a meeting only.",
    "database_unavailable": "Wait for `Retry-After`, send it again; with an `Idempotency-Key` nothing happens twice.",
    "delivery_not_found": _LIST,
    "delivery_not_resendable": "Read the delivery: send again the newest one, and only after it has failed.",
    "email_column_missing": "Name the column in the first line, or in `mapping`.",
    "email_taken": _REUSE,
    "encoding_unknown": _CSV,
    "field_unknown": "Judge a field that this kind of subject has; `/api/docs` names them.",
    "file_empty": _CSV,
    "file_missing": _FORM,
    "forbidden": _RIGHT,
    "idempotency_in_progress": "Wait a second and send the same again.",
    "idempotency_key_reused": "Take a new key for a new request.",
    "import_not_found": _LIST,
    "inbound_not_allowed": "Post as an agent, or use an API key with `messages:inbound`.",
    "inbox_entry_emptied": "Nothing: the body was deleted after `INBOX_RETENTION_DAYS`.",
    "inbox_entry_not_found": _LIST,
    "interaction_ended": "Start a new interaction.",
    "interaction_not_found": _LIST,
    "interaction_without_transcript": "Wait for the transcript of the call.",
    "internal_error": "A bug. Report it with the `requestId`; the log has a `request.broke` line with the same id.",
    "invalid_login": "Check e-mail and password; the answer does not say which was wrong.",
    "invalid_refresh_token": "Log in again.",
    "json_too_deep": "Nest at most 64 levels.",
    "last_admin": "Make another ADMIN first.",
    "lead_email_taken": "Use the lead whose id the answer names, or another e-mail.",
    "lead_external_id_taken": _REUSE,
    "lead_not_found": _LIST + " After a merge the answer has `mergedInto`.",
    "line_too_long": _CSV,
    "malformed_json": "Send valid JSON in UTF-8: no NaN, no NUL, no lone surrogates.",
    "malformed_upload": _UPLOAD,
    "mapping_invalid": "Correct the entries of `mapping` that `errors` lists.",
    "meeting_not_found": _LIST,
    "meeting_without_transcript": "Add a transcript with `PATCH /api/v1/meetings/{id}`.",
    "merge_into_itself": "Name another lead as `intoId`.",
    "merge_target_not_found": _UNKNOWN_IN_BODY,
    "method_not_allowed": "Use a method that the header `Allow` names.",
    "name_column_missing": "Name the column in the first line, or in `mapping`.",
    "no_phone_number": "Give the lead a phone number that can be parsed.",
    "no_rows": _CSV,
    "not_csv": _CSV,
    "not_found": "Check the path. " + _LIST,
    "not_multipart": _FORM,
    "not_your_conversation": "Ask an ADMIN to assign the conversation to you.",
    "nothing_to_judge": "Wait until a result is there.",
    "otp_correlation_conflict": "Take a new `correlationId` for another phone or purpose.",
    "otp_country_not_allowed": "The operator lists countries in `OTP_COUNTRIES`.",
    "otp_expired": _CODE_OVER,
    "otp_invalid": "Let the person type it again; `OTP_MAX_ATTEMPTS` wrong ones lock.",
    "otp_locked": "Wait for `OTP_RATE_LIMIT_WINDOW_SECONDS`, then ask for a new code.",
    "otp_not_configured": "The operator sets `OTP_SECRET`.",
    "otp_not_found": "Send the `correlationId` that the first answer gave.",
    "otp_phone_invalid": _PHONE,
    "otp_phone_not_mobile": "Ask the person for a mobile number.",
    "otp_rate_limited": "Wait for `Retry-After`.",
    "otp_used": _CODE_OVER,
    "owner_not_found": _UNKNOWN_IN_BODY,
    "page_too_deep": "Walk with `cursor` instead of `page`.",
    "payload_too_large": "Send less at once; the limits are `MAX_BODY_BYTES` and those of the operation.",
    "people_only": "Log in as a person.",
    "phone_invalid": _PHONE,
    "pii_not_allowed": _RIGHT,
    "pii_reason_missing": "Add `reason`, 3 to 300 characters; it is audited.",
    "precondition_failed": _READ_AGAIN,
    "range_reversed": "Swap `from` and `to`.",
    "rate_limited": "Wait for `Retry-After`. `RATE_LIMIT_MAX` and `RATE_LIMIT_TTL` set the general limit.",
    "registration_closed": "Ask an ADMIN for an account, or have `ALLOW_SELF_REGISTRATION` set.",
    "role_not_allowed": "Leave `role` out, or have an ADMIN make the account.",
    "search_too_broad": "Add characters or filters. See [search](../troubleshooting.md#search-too-broad).",
    "seller_email_taken": _REUSE,
    "seller_has_meetings": "Deactivate: `PATCH /api/v1/sellers/{id}` with `active: false`.",
    "seller_inactive": "Take an active seller: `GET /api/v1/sellers/active`.",
    "seller_not_found": _LIST,
    "sms_too_long": "Shorten the text, or send two.",
    "source_not_found": "`GET /api/v1/sync/sources` lists the names.",
    "sync_job_not_found": _LIST,
    "task_not_cancellable": "Let it end: it runs, or has ended.",
    "task_not_retryable": "Only a failed task runs again; ask for the work anew.",
    "task_not_found": _LIST + " Finished tasks are deleted after `TASK_RETENTION_DAYS`.",
    "too_many_buckets": "Narrow `from` and `to`, or take a longer period.",
    "too_many_rows": "Split the file.",
    "too_many_webhook_endpoints": "Delete one that is not used.",
    "unauthenticated": "Send `Authorization: Bearer …` or `x-api-key`; refresh or log in again when it has expired.",
    "unavailable": "Wait for `Retry-After` and send it again.",
    "unknown_form_field": _FORM,
    "unprocessable": "Read `detail`.",
    "unsupported_media_type": "Send `content-type: application/json`.",
    "upload_aborted": _UPLOAD,
    "url_not_allowed": "Use https and a public address; see [callbacks](callbacks.md#where-nothing-is-sent).",
    "user_not_found": _LIST,
    "validation_failed": "Correct what `errors` lists: `path`, `message` and `code` of each.",
    "value_not_accepted": "Correct the value; `/api/docs` has the limits.",
    "value_not_allowed": "Take a value of the field's list.",
    "webhook_delivery_not_found": _LIST,
    "webhook_endpoint_disabled": "Switch it on with `PATCH /api/v1/webhook-endpoints/{id}` first.",
    "webhook_endpoint_not_found": _LIST,
    "webhook_not_configured": "Set the provider's secret; see [webhooks](../troubleshooting.md#webhook-404).",
    "webhook_rejected": "Compare the secrets; see [webhooks](../troubleshooting.md#webhook-401).",
    "wrong_password": "Send the current password.",
}

_INTRODUCTION = """\
# Errors

Every error is `application/problem+json` (RFC 9457). `code` never changes its meaning; decide by it, never by texts.

```json
{
  "type": "urn:contactship:problem:lead_email_taken",
  "title": "A lead with this e-mail exists already",
  "status": 409,
  "detail": "A lead with this e-mail exists already",
  "instance": "/api/v1/leads",
  "code": "lead_email_taken",
  "requestId": "01932d5c89a47b6e9f1a3a5b7c9d1e2f"
}
```

`requestId` is also the header `X-Request-Id`, and stands in every log line of the request and of the tasks that it
started. A 422 `validation_failed` adds `errors`, a list of `{path, message, code}`. 429 and 503 carry `Retry-After` in
seconds, 401 `WWW-Authenticate`, 405 `Allow`. An answer never repeats what was sent.

Worth trying again, unchanged: 429, 503, 409 `concurrent_change` and `idempotency_in_progress`. Nothing else is.
Which operation answers which code stands in `/api/docs`. What ends a task is listed in [task errors](task-errors.md).

This page is generated by `python -m contactship_api.http.error_manual`.
"""


def _classes(base: type[ContactshipError]) -> Iterator[type[ContactshipError]]:
    yield base
    for child in base.__subclasses__():
        yield from _classes(child)


def codes() -> dict[tuple[int, str], list[str]]:
    """(status, code) of every error that a client may see, with its titles."""
    found: defaultdict[tuple[int, str], list[str]] = defaultdict(list)
    for error in sorted(_classes(ContactshipError), key=lambda e: (e.__module__, e.__name__)):
        abstract = error is not ContactshipError and error.code == ContactshipError.code
        if (
            error.__module__.startswith("contactship_")
            and not abstract
            and error.title not in (titles := found[error.status, error.code])
        ):
            titles.append(error.title)
    return dict(sorted(found.items()))


def markdown() -> str:
    """`docs/reference/errors.md`."""
    lines = [_INTRODUCTION, "| status | code | meaning | what to do |", "|---|---|---|---|"]
    for (status, code), titles in codes().items():
        lines.append(f"| {status} | `{code}` | {'; or: '.join(titles)} | {WHAT_TO_DO[code]} |")
    return "\n".join([*lines, ""])


def main() -> None:
    FILE.write_text(markdown(), encoding="utf-8")
    sys.stdout.write(f"wrote {FILE}\n")


if __name__ == "__main__":
    main()
