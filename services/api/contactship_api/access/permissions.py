"""Who may do what: one table. Everything that asks about rights asks here."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal
from uuid import UUID

from contactship_common.models import Role


class Scope(StrEnum):
    """The closed list of rights; API keys name them, roles imply them."""

    LEADS_READ = "leads:read"
    LEADS_WRITE = "leads:write"
    LEADS_ADMIN = "leads:admin"
    MEETINGS_READ = "meetings:read"
    MEETINGS_WRITE = "meetings:write"
    AI_RUN = "ai:run"
    SYNC_RUN = "sync:run"
    CONVERSATIONS_READ = "conversations:read"
    CONVERSATIONS_WRITE = "conversations:write"
    MESSAGES_INBOUND = "messages:inbound"
    INTERACTIONS_READ = "interactions:read"
    MESSAGES_SEND = "messages:send"
    OTP_SEND = "otp:send"
    TASKS_READ = "tasks:read"
    WEBHOOKS_MANAGE = "webhooks:manage"
    AUDIT_READ = "audit:read"
    PII_READ = "pii:read"
    ADMIN = "admin"


SALES_AGENT_SCOPES = frozenset(
    {
        Scope.LEADS_READ,
        Scope.LEADS_WRITE,
        Scope.MEETINGS_READ,
        Scope.MEETINGS_WRITE,
        Scope.AI_RUN,
        Scope.CONVERSATIONS_READ,
        Scope.CONVERSATIONS_WRITE,
        Scope.INTERACTIONS_READ,
        Scope.MESSAGES_SEND,
    }
)
ROLE_SCOPES: dict[str, frozenset[Scope]] = {Role.ADMIN: frozenset(Scope), Role.SALES_AGENT: SALES_AGENT_SCOPES}


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever makes the request: a person with a role, or a machine with scopes."""

    kind: Literal["user", "key"]
    id: UUID | None
    scopes: frozenset[Scope]
    email: str | None = None
    role: str | None = None
    family: UUID | None = None  # the login that the access token belongs to

    @property
    def actor(self) -> str:
        """How audit rows, tasks and logs name the caller."""
        return f"{self.kind}:{self.id or 'root'}"

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes


def root_key() -> Principal:
    """The caller that shows `API_SECRET_KEY`."""
    return Principal("key", None, frozenset(Scope))


def person(user_id: UUID, email: str, role: str, family: UUID | None) -> Principal:
    return Principal("user", user_id, ROLE_SCOPES.get(role, frozenset()), email, role, family)


def machine(key_id: UUID, scopes: list[str]) -> Principal:
    """An API key: exactly its scopes, as far as they are still known."""
    known = {scope.value: scope for scope in Scope}
    return Principal("key", key_id, frozenset(known[scope] for scope in scopes if scope in known))
