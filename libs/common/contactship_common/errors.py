"""Errors as part of the product: small typed classes with an HTTP status and a stable code.

The gateway renders every one of them as RFC 9457 `application/problem+json`; nothing else decides a status.
"""

from typing import Any, ClassVar


class ContactshipError(Exception):
    """Base of all errors that a client may see. `detail` is shown, so it names no secret and echoes no input.

    A class with `keeps_effects = True` records something that must outlive the refusal (a failed login, say): the
    edge commits the transaction before it answers.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal error"
    keeps_effects: ClassVar[bool] = False

    def __init__(self, detail: str = "", *, headers: dict[str, str] | None = None, **extra: Any) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.headers = headers or {}
        self.extra = extra


class NotFound(ContactshipError):
    status, code, title = 404, "not_found", "Not found"


class LeadNotFound(NotFound):
    code, title = "lead_not_found", "There is no lead with this id"


class TaskNotFound(NotFound):
    code, title = "task_not_found", "There is no task with this id"


class BatchNotFound(NotFound):
    code, title = "batch_not_found", "There is no batch with this id"


class Conflict(ContactshipError):
    status, code, title = 409, "conflict", "Conflict"


class LeadEmailTaken(Conflict):
    code, title = "lead_email_taken", "A lead with this e-mail exists already"


class TaskNotCancellable(Conflict):
    code, title = "task_not_cancellable", "Only a queued task can be cancelled"


class TaskNotRetryable(Conflict):
    code, title = "task_not_retryable", "Only a failed task can be retried"


class ConcurrentChange(Conflict):
    code, title = "concurrent_change", "Somebody changed the same thing at the same moment; try again"


class PreconditionFailed(ContactshipError):
    status, code, title = 412, "precondition_failed", "The resource has changed since you read it"


class Unprocessable(ContactshipError):
    status, code, title = 422, "unprocessable", "The request cannot be processed"


class OwnerNotFound(Unprocessable):
    code, title = "owner_not_found", "There is no active user with this id"


class Unauthenticated(ContactshipError):
    status, code, title = 401, "unauthenticated", "Credentials are missing, wrong or expired"

    def __init__(self, detail: str = "", **extra: Any) -> None:
        super().__init__(detail, headers={"WWW-Authenticate": 'Bearer realm="contactship"'}, **extra)


class InvalidLogin(Unauthenticated):
    code, title = "invalid_login", "E-mail or password is wrong"
    keeps_effects = True


class Forbidden(ContactshipError):
    status, code, title = 403, "forbidden", "You may not do this"


class TooManyRequests(ContactshipError):
    status, code, title = 429, "rate_limited", "Too many requests"

    def __init__(self, retry_after_seconds: int, detail: str = "") -> None:
        super().__init__(detail, headers={"Retry-After": str(max(1, retry_after_seconds))})


class Unavailable(ContactshipError):
    status, code, title = 503, "unavailable", "Not available at the moment"

    def __init__(self, detail: str = "", *, retry_after_seconds: int = 2) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after_seconds)})


class DatabaseUnavailable(Unavailable):
    code, title = "database_unavailable", "The database cannot be reached"


class SearchTooBroad(Unavailable):
    code, title = "search_too_broad", "The search took too long; narrow it down"


class EmailTaken(Conflict):
    code, title = "email_taken", "An account with this e-mail exists already"


class LastAdmin(Conflict):
    code, title = "last_admin", "The last active ADMIN can be neither demoted nor deactivated"


class UserNotFound(NotFound):
    code, title = "user_not_found", "There is no user with this id"


class ApiKeyNotFound(NotFound):
    code, title = "api_key_not_found", "There is no API key with this id"


class RoleNotAllowed(Forbidden):
    code, title = "role_not_allowed", "Only an ADMIN may make an account with this role"


class RegistrationClosed(Forbidden):
    code, title = "registration_closed", "Accounts are made by an ADMIN here"


class PeopleOnly(Forbidden):
    code, title = "people_only", "This is for people who logged in, not for API keys"


class InvalidRefreshToken(Unauthenticated):
    """Recorded even though it is refused: a token that is used again may be stolen."""

    code, title = "invalid_refresh_token", "The refresh token is wrong, used, expired or revoked"
    keeps_effects = True


class WrongPassword(Unprocessable):
    code, title = "wrong_password", "The current password is wrong"
    keeps_effects = True


class SourceNotFound(Unprocessable):
    code, title = "source_not_found", "No source with this name is configured"


class SyncJobNotFound(NotFound):
    code, title = "sync_job_not_found", "There is no sync job with this id"


class MergeTargetNotFound(Unprocessable):
    code, title = "merge_target_not_found", "There is no lead with the id intoId"


class MergeIntoItself(Conflict):
    code, title = "merge_into_itself", "A lead cannot be merged into itself"


class ClientNotFound(NotFound):
    code, title = "client_not_found", "There is no client with this id"


class ClientUnknown(Unprocessable):
    """The body names a client that is not there."""

    code, title = "client_not_found", "There is no client with this id"


class ClientEmailTaken(Conflict):
    code, title = "client_email_taken", "A client with this e-mail exists already"


class ClientHasMeetings(Conflict):
    code, title = "client_has_meetings", "This client has meetings; cascade=true deletes them as well"


class SellerNotFound(NotFound):
    code, title = "seller_not_found", "There is no seller with this id"


class SellerUnknown(Unprocessable):
    """The body names a seller who is not there."""

    code, title = "seller_not_found", "There is no seller with this id"


class SellerInactive(Unprocessable):
    code, title = "seller_inactive", "This seller is not active and gets no new meetings"


class SellerEmailTaken(Conflict):
    code, title = "seller_email_taken", "A seller with this e-mail exists already"


class SellerHasMeetings(Conflict):
    code, title = "seller_has_meetings", "This seller has meetings; deactivate them instead"


class SellerUserUnknown(Unprocessable):
    """The body names a user who is not there."""

    code, title = "user_not_found", "There is no user with this id"


class MeetingNotFound(NotFound):
    code, title = "meeting_not_found", "There is no meeting with this id"


class UrlNotAllowed(Unprocessable):
    code, title = "url_not_allowed", "Nothing is sent to this URL"


class CallbacksNotConfigured(Unprocessable):
    code, title = "callbacks_not_configured", "Callbacks are not configured here (CALLBACK_SIGNING_SECRET)"


class ConversationAlreadyOpen(Conflict):
    code, title = "conversation_already_open", "This lead has another open conversation on this channel"


class NoPhoneNumber(Unprocessable):
    code, title = "no_phone_number", "This lead has no phone number that a message could be sent to"


class SmsTooLong(Unprocessable):
    code, title = "sms_too_long", "An SMS has at most 1,600 characters"


class DeliveryNotResendable(Conflict):
    code, title = "delivery_not_resendable", "Only a message's newest sending can be sent again, once it has failed"


class OtpCorrelationConflict(Conflict):
    code, title = "otp_correlation_conflict", "This correlationId stands for another code"
