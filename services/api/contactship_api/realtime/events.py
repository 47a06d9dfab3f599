"""What a connected client may send: join and leave a conversation, start and stop typing."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from limits import parse
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter
from sqlmodel import col

from contactship_api.realtime.sessions import Session, Sessions
from contactship_common.db import DATABASE_AWAY
from contactship_common.models import Conversation, Role, User
from contactship_common.runtime import Runtime
from contactship_common.settings import ApiSettings

REFUSALS: dict[str, dict[str, str]] = {
    code: {"code": code, "message": message}
    for code, message in {
        "unauthenticated": "Give a valid access token as auth.token or as a Bearer header",
        "token_expired": "The access token has expired; connect again with a new one",
        "access_changed": "Your account, role or login has changed; log in again",
        "unavailable": "Not available at the moment; try again",
        "bad_conversation_id": "Send the id of a conversation",
        "conversation_not_found": "There is no conversation with this id",
        "not_your_conversation": "This conversation is assigned to somebody else",
        "not_joined": "Join the conversation first",
        "too_many_conversations": "Leave another conversation first",
        "rate_limited": "Too many events; slow down",
    }.items()
}
"""Every refusal a client can meet, by its code."""


class EventRefused(Exception):
    """An event that is answered `{ok: false, error: code}` and with an `error` event."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class SocketEvents:
    """The handlers. Typing is told to the people who have joined and may see the conversation at that moment."""

    def __init__(self, sio: Any, runtime: Runtime, settings: ApiSettings, sessions: Sessions) -> None:
        self._sio = sio
        self._runtime = runtime
        self._settings = settings
        self._sessions = sessions
        self._rate = parse(f"{settings.socket_events_per_second}/second")
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._timers: set[asyncio.Task[None]] = set()

    def handlers(self) -> dict[str, Callable[[Session, UUID], Awaitable[None]]]:
        return {
            "conversation:join": self._join,
            "conversation:leave": self._leave,
            "typing:start": self._typing_start,
            "typing:stop": self._typing_stop,
        }

    async def admit(self, session: Session, arguments: tuple[Any, ...]) -> UUID:
        """The conversation that an event names.

        Raises:
            EventRefused: too many events, or no conversation's id.
        """
        if not await self._limiter.hit(self._rate, session.sid):
            raise EventRefused("rate_limited")
        if len(arguments) != 1 or not isinstance(arguments[0], str):
            raise EventRefused("bad_conversation_id")
        try:
            return UUID(arguments[0])
        except ValueError:
            raise EventRefused("bad_conversation_id") from None

    async def gone(self, session: Session) -> None:
        """The socket is closed: its typing stops."""
        for conversation_id in list(session.typing):
            await self._stop(session, conversation_id)
        await self._limiter.clear(self._rate, session.sid)

    async def _join(self, session: Session, conversation_id: UUID) -> None:
        if conversation_id in session.joined:
            return
        if len(session.joined) >= self._settings.socket_max_conversations:
            raise EventRefused("too_many_conversations")
        await self._watchers(session, conversation_id)
        session.joined.add(conversation_id)
        await self._sio.enter_room(session.sid, _typing_room(conversation_id, session.user_id))

    async def _leave(self, session: Session, conversation_id: UUID) -> None:
        if conversation_id in session.joined:
            session.joined.discard(conversation_id)
            await self._sio.leave_room(session.sid, _typing_room(conversation_id, session.user_id))
            await self._stop(session, conversation_id)

    async def _typing_start(self, session: Session, conversation_id: UUID) -> None:
        if conversation_id not in session.joined:
            raise EventRefused("not_joined")
        await self._tell("typing:start", session, conversation_id)
        if (running := session.typing.pop(conversation_id, None)) is not None:
            running.cancel()
        session.typing[conversation_id] = asyncio.get_running_loop().call_later(
            self._settings.socket_typing_seconds, self._expire, session, conversation_id
        )

    async def _typing_stop(self, session: Session, conversation_id: UUID) -> None:
        if conversation_id not in session.joined:
            raise EventRefused("not_joined")
        await self._stop(session, conversation_id)

    def _expire(self, session: Session, conversation_id: UUID) -> None:
        task = asyncio.get_running_loop().create_task(self._stop(session, conversation_id))
        self._timers.add(task)
        task.add_done_callback(self._timers.discard)

    async def _stop(self, session: Session, conversation_id: UUID) -> None:
        timer = session.typing.pop(conversation_id, None)
        if timer is None:
            return
        timer.cancel()
        try:
            await self._tell("typing:stop", session, conversation_id)
        except EventRefused:
            # Whoever loses a conversation while typing is still shown to stop.
            await self._emit("typing:stop", session, conversation_id, await self._people(conversation_id))

    async def _tell(self, event: str, session: Session, conversation_id: UUID) -> None:
        await self._emit(event, session, conversation_id, await self._watchers(session, conversation_id))

    async def _emit(self, event: str, session: Session, conversation_id: UUID, people: list[UUID]) -> None:
        rooms = [_typing_room(conversation_id, user) for user in people if user != session.user_id]
        if rooms:
            told = {"userId": str(session.user_id), "email": session.email, "conversationId": str(conversation_id)}
            await self._sio.emit(event, told, room=rooms)

    async def _watchers(self, session: Session, conversation_id: UUID) -> list[UUID]:
        """Who may see the conversation now.

        Raises:
            EventRefused: this person may not.
        """
        people = await self._people(conversation_id)
        if session.user_id not in people:
            raise EventRefused("not_your_conversation")
        return people

    async def _people(self, conversation_id: UUID) -> list[UUID]:
        """The active assigned agent and all active administrators."""
        may = sa.or_(col(User.role) == Role.ADMIN, col(User.id) == col(Conversation.assigned_agent_id))
        statement = (
            sa.select(col(Conversation.id), col(User.id))
            .select_from(Conversation)
            .outerjoin(User, sa.and_(col(User.active), may))
            .where(col(Conversation.id) == conversation_id)
        )
        try:
            async with self._runtime.db.reading() as db:
                rows = (await db.execute(statement)).all()
        except DATABASE_AWAY:
            raise EventRefused("unavailable") from None
        if not rows:
            raise EventRefused("conversation_not_found")
        return [row[1] for row in rows if row[1] is not None]


def _typing_room(conversation_id: UUID, user_id: UUID) -> str:
    """One room a person and conversation: addressed only while that person may see it."""
    return f"typing:{conversation_id}:{user_id}"
