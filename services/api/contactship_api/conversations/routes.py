"""/conversations and /dashboard: paths, status codes, who may call."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from contactship_api.access.requires import Admin, AiRun, ConversationsRead, ConversationsWrite, MessagesPost
from contactship_api.conversations import queries, service
from contactship_api.conversations.errors import (
    AgentNotFound,
    ConversationClosed,
    ConversationNotFound,
    InboundOnly,
    LeadOfConversationNotFound,
    NotYourConversation,
)
from contactship_api.conversations.schemas import (
    AnalysisAccepted,
    Assignment,
    ConversationCreate,
    ConversationList,
    ConversationOut,
    ConversationUpdate,
    DashboardMetrics,
    MessageCreate,
    MessageList,
    Tag,
)
from contactship_api.deps import IdempotentUow, Reading, TheGateway, Uow
from contactship_api.http.paging import MAX_TAKE, Cursor
from contactship_api.http.problems import BadCursor
from contactship_api.http.route import api_router, raises
from contactship_api.http.schemas import CursorMeta
from contactship_common.conversations.shapes import MessageOut
from contactship_common.errors import (
    ConcurrentChange,
    ConversationAlreadyOpen,
    Forbidden,
    NoPhoneNumber,
    SearchTooBroad,
    SmsTooLong,
)
from contactship_common.models import Channel, ConversationStatus, Priority

router = api_router(tags=["conversations"])

_MESSAGES = Query(ge=1, le=MAX_TAKE, description="Messages, 1 to 100.")


@router.get("/conversations", response_model=ConversationList)
@raises(BadCursor, SearchTooBroad)
async def list_conversations(
    who: ConversationsRead,
    session: Reading,
    gateway: TheGateway,
    priority: Priority | None = None,
    tag: Annotated[Tag | None, Query(description="One of the tags of the analysis.")] = None,
    search: Annotated[
        str | None, Query(max_length=200, description="Part of summary, lead name, e-mail, phone or a message.")
    ] = None,
    unreplied: bool | None = None,
    status: ConversationStatus | None = None,
    channel: Channel | None = None,
    assigned_agent_id: Annotated[UUID | None, Query(alias="assignedAgentId")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_TAKE, description="Rows, 1 to 100.")] = 20,
    cursor: Cursor = None,
) -> ConversationList:
    """The newest activity first; conversations without messages last. Agents see theirs, administrators all."""
    wanted = queries.ConversationFilter(
        priority, tag, search.strip() if search else None, unreplied, status, channel, assigned_agent_id
    )
    rows, following = await queries.walk(
        session, who, wanted, limit=limit, cursor=cursor, timeout_ms=gateway.settings.search_timeout_ms
    )
    return ConversationList(data=rows, meta=CursorMeta(next_cursor=following, has_next_page=following is not None))


@router.post(
    "/conversations",
    status_code=201,
    response_model=ConversationOut,
    responses={200: {"model": ConversationOut, "description": "The lead's open conversation on this channel"}},
)
@raises(LeadOfConversationNotFound, NotYourConversation, ConcurrentChange)
async def start_conversation(
    body: ConversationCreate, who: ConversationsWrite, uow: IdempotentUow, response: Response
) -> ConversationOut:
    """Start a conversation, or get the one that is open on this channel."""
    out, is_new = await service.start(uow, who, body.lead_id, body.channel)
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = f"/api/v1/conversations/{out.id}"
    return out


@router.get("/conversations/{conversation_id}", response_model=ConversationOut)
@raises(ConversationNotFound, NotYourConversation)
async def get_conversation(conversation_id: UUID, who: ConversationsRead, session: Reading) -> ConversationOut:
    """One conversation."""
    return await queries.find(session, who, conversation_id)


@router.patch("/conversations/{conversation_id}", response_model=ConversationOut)
@raises(ConversationNotFound, NotYourConversation, ConversationAlreadyOpen)
async def change_conversation(
    conversation_id: UUID, body: ConversationUpdate, who: ConversationsWrite, uow: Uow
) -> ConversationOut:
    """Close, reopen or set aside."""
    return await service.change(uow, who, conversation_id, body)


@router.post("/conversations/{conversation_id}/assign", response_model=ConversationOut)
@raises(ConversationNotFound, AgentNotFound)
async def assign_conversation(conversation_id: UUID, body: Assignment, who: Admin, uow: Uow) -> ConversationOut:
    """Give it to an agent, or to nobody; what each may see changes at once."""
    return await service.assign(uow, who, conversation_id, body.agent_id)


@router.get("/conversations/{conversation_id}/messages", response_model=MessageList)
@raises(ConversationNotFound, NotYourConversation, BadCursor)
async def list_messages(
    conversation_id: UUID,
    who: ConversationsRead,
    session: Reading,
    limit: Annotated[int, _MESSAGES] = 50,
    since: Annotated[
        int | None,
        Query(
            ge=0,
            le=queries.LARGEST_SEQ,
            description="Messages after this seq, oldest first: fills a gap exactly. Where another lead's conversation "
            "was joined (`conversation:updated` with `mergedInto`), numbers have changed: read from 0.",
        ),
    ] = None,
    cursor: Cursor = None,
) -> MessageList:
    """The newest first; with `since` the oldest first."""
    await queries.check_access(session, who, conversation_id)
    rows, following = await queries.messages(session, conversation_id, limit=limit, cursor=cursor, since=since)
    return MessageList(data=rows, meta=CursorMeta(next_cursor=following, has_next_page=following is not None))


@router.post("/conversations/{conversation_id}/messages", status_code=201, response_model=MessageOut)
@raises(
    ConversationNotFound,
    NotYourConversation,
    ConversationClosed,
    InboundOnly,
    Forbidden,
    ConcurrentChange,
    NoPhoneNumber,
    SmsTooLong,
)
async def post_message(conversation_id: UUID, body: MessageCreate, who: MessagesPost, uow: IdempotentUow) -> Response:
    """Answer the lead (`conversations:write`). A machine with `messages:inbound` may add what the lead wrote: to a
    closed conversation that starts a new one, named by the answer's `conversationId`."""
    out = await service.post(uow, who, conversation_id, body)
    # Valid by construction: not validated once more, as what happens most often here.
    return Response(out.model_dump_json(by_alias=True), status_code=201, media_type="application/json")


@router.post("/conversations/{conversation_id}/read", response_model=ConversationOut)
@raises(ConversationNotFound, NotYourConversation)
async def mark_read(conversation_id: UUID, who: ConversationsWrite, uow: Uow) -> ConversationOut:
    """What the lead has written so far is read."""
    return await service.mark_read(uow, who, conversation_id)


@router.post("/conversations/{conversation_id}/analyze", status_code=202, response_model=AnalysisAccepted)
@raises(ConversationNotFound, NotYourConversation)
async def analyze_conversation(conversation_id: UUID, who: AiRun, uow: Uow, response: Response) -> AnalysisAccepted:
    """Analyse now, without waiting for a pause in the conversation. Where nothing has been written yet there is
    nothing to find: the task completes and stores nothing."""
    ref = await service.analyse_now(uow, who, conversation_id)
    response.headers["Location"] = f"/api/v1/tasks/{ref.id}"
    response.headers["Retry-After"] = "2"
    return AnalysisAccepted(conversation_id=conversation_id, task_id=ref.id)


@router.get("/dashboard/metrics", response_model=DashboardMetrics)
async def dashboard_metrics(who: ConversationsRead, session: Reading) -> DashboardMetrics:
    """How much there is to do, among the conversations that the caller may see."""
    return await queries.metrics(session, who)
