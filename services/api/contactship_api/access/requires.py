"""Rights as parameter types: `who: LeadsRead` documents, checks and provides the caller in one word."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import APIKeyHeader, HTTPBearer

from contactship_api.access.permissions import Principal, Scope
from contactship_common.errors import Forbidden, Unauthenticated

bearer = HTTPBearer(auto_error=False, scheme_name="Bearer", description="An access token from `/auth/login`.")
api_key = APIKeyHeader(name="x-api-key", auto_error=False, scheme_name="ApiKey", description="A machine's key.")


class Requires:
    """A declared requirement. The route reads it and checks it before the body is even read; as a dependency it
    only hands over the caller. `scope` None: any authenticated caller; `or_scope`: this right is as good."""

    def __init__(self, scope: Scope | None, *, or_scope: Scope | None = None, optional: bool = False) -> None:
        self.scope = scope
        self.or_scope = or_scope
        self.optional = optional  # credentials are used if there are any

    def check(self, principal: Principal | None) -> Principal | None:
        """
        Raises:
            Unauthenticated: nobody is logged in.
            Forbidden: the caller may not do this.
        """
        if principal is None and self.optional:
            return None
        if principal is None:
            raise Unauthenticated
        if not self.allows(principal):
            enough = [scope.value for scope in (self.scope, self.or_scope) if scope is not None]
            raise Forbidden(f"This needs the right {' or '.join(enough)}")
        return principal

    def allows(self, principal: Principal) -> bool:
        """The same as a question."""
        wanted = [scope for scope in (self.scope, self.or_scope) if scope is not None]
        return not wanted or any(principal.may(scope) for scope in wanted)

    # Async, because FastAPI calls what is not in a thread of its pool.
    async def __call__(
        self, request: Request, _bearer: object = Depends(bearer), _api_key: object = Depends(api_key)
    ) -> Principal | None:
        principal: Principal | None = request.state.principal
        return principal


AnyCaller = Annotated[Principal, Depends(Requires(None))]
LeadsRead = Annotated[Principal, Depends(Requires(Scope.LEADS_READ))]
LeadsWrite = Annotated[Principal, Depends(Requires(Scope.LEADS_WRITE))]
LeadsAdmin = Annotated[Principal, Depends(Requires(Scope.LEADS_ADMIN))]
MeetingsRead = Annotated[Principal, Depends(Requires(Scope.MEETINGS_READ))]
MeetingsWrite = Annotated[Principal, Depends(Requires(Scope.MEETINGS_WRITE))]
ConversationsRead = Annotated[Principal, Depends(Requires(Scope.CONVERSATIONS_READ))]
ConversationsWrite = Annotated[Principal, Depends(Requires(Scope.CONVERSATIONS_WRITE))]
InteractionsRead = Annotated[Principal, Depends(Requires(Scope.INTERACTIONS_READ))]
MessagesSend = Annotated[Principal, Depends(Requires(Scope.MESSAGES_SEND))]
DeliveriesRead = Annotated[Principal, Depends(Requires(Scope.CONVERSATIONS_READ, or_scope=Scope.MESSAGES_SEND))]
OtpSend = Annotated[Principal, Depends(Requires(Scope.OTP_SEND))]
WebhooksManage = Annotated[Principal, Depends(Requires(Scope.WEBHOOKS_MANAGE))]
MessagesPost = Annotated[Principal, Depends(Requires(Scope.CONVERSATIONS_WRITE, or_scope=Scope.MESSAGES_INBOUND))]
AiRun = Annotated[Principal, Depends(Requires(Scope.AI_RUN))]
SyncRun = Annotated[Principal, Depends(Requires(Scope.SYNC_RUN))]
TasksRead = Annotated[Principal, Depends(Requires(Scope.TASKS_READ))]
AuditRead = Annotated[Principal, Depends(Requires(Scope.AUDIT_READ))]
Admin = Annotated[Principal, Depends(Requires(Scope.ADMIN))]
MaybeCaller = Annotated[Principal | None, Depends(Requires(None, optional=True))]
