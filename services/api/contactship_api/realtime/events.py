"""What a connected client may send: join and leave a conversation, start and stop typing."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import structlog

from contactship_api.realtime.refusals import EventRefused
from contactship_api.realtime.sessions import Session, Sessions, Typing
from contactship_common.db import DATABASE_AWAY
from contactship_common.models import Role
from contactship_common.realtime import Event
from contactship_common.runtime import Runtime
from contactship_common.settings import ApiSettings

log = structlog.get_logger()

_MAY_SEE = """
SELECT u.id FROM conversations c LEFT JOIN users u ON u.active AND (u.role = %(admin)s OR u.id = c.assigned_agent_id)
 WHERE c.id = %(conversation)s
"""


class SocketEvents:
    """The handlers. Typing is told to the people who have joined and may see the conversation at that moment."""

    def __init__(
        self, runtime: Runtime, settings: ApiSettings, sessions: Sessions, spawn: Callable[[Awaitable[None]], None]
    ) -> None:
        self._runtime = runtime
        self._settings = settings
        self._sessions = sessions
        self._spawn = spawn

    def handlers(self) -> dict[str, Callable[[Session, UUID], Awaitable[None]]]:
        return {
            "conversation:join": self._join,
            "conversation:leave": self._leave,
            "typing:start": self._typing_start,
            "typing:stop": self._typing_stop,
        }

    @staticmethod
    def conversation_of(arguments: tuple[Any, ...]) -> UUID:
        """The conversation that an event names.

        Raises:
            EventRefused: it names none.
        """
        if len(arguments) != 1 or not isinstance(arguments[0], str):
            raise EventRefused("bad_conversation_id")
        try:
            return UUID(arguments[0])
        except ValueError:
            raise EventRefused("bad_conversation_id") from None

    async def gone(self, session: Session) -> None:
        """The socket is closed: its typing stops."""
        async with session.order:
            for conversation_id in list(session.typing):
                await self._stop(session, conversation_id)
            session.joined.clear()

    async def look_again(self, conversation_id: UUID, user_id: UUID) -> None:
        """This person has lost the conversation, or so it seems."""
        for session in self._sessions.of_user(user_id):
            async with session.order:
                if conversation_id in session.joined:
                    try:
                        await self._watchers(session, conversation_id)
                    except EventRefused as refused:
                        if refused.code != "unavailable":
                            await self._leave(session, conversation_id)

    async def _join(self, session: Session, conversation_id: UUID) -> None:
        if conversation_id not in session.joined and len(session.joined) >= self._settings.socket_max_conversations:
            raise EventRefused("too_many_conversations")
        try:
            await self._watchers(session, conversation_id)
        except EventRefused as refused:
            if refused.code != "unavailable":
                await self._leave(session, conversation_id)
            raise
        session.joined.add(conversation_id)
        self._sessions.enter(session, _typing_room(conversation_id, session.user_id))

    async def _leave(self, session: Session, conversation_id: UUID) -> None:
        if conversation_id in session.joined:
            session.joined.discard(conversation_id)
            self._sessions.leave(session, _typing_room(conversation_id, session.user_id))
            await self._stop(session, conversation_id)

    async def _typing_start(self, session: Session, conversation_id: UUID) -> None:
        if conversation_id not in session.joined:
            raise EventRefused("not_joined")
        try:
            people = await self._watchers(session, conversation_id)
        except EventRefused as refused:
            if refused.code != "unavailable":
                await self._leave(session, conversation_id)
            raise
        if (running := session.typing.get(conversation_id)) is not None:
            running.timer.cancel()
        session.typing[conversation_id] = Typing(
            asyncio.get_running_loop().call_later(
                self._settings.socket_typing_seconds, self._expire, session, conversation_id
            ),
            people,
        )
        await self._tell("typing:start", session, conversation_id, people)

    async def _typing_stop(self, session: Session, conversation_id: UUID) -> None:
        if conversation_id not in session.joined:
            raise EventRefused("not_joined")
        await self._stop(session, conversation_id)

    def _expire(self, session: Session, conversation_id: UUID) -> None:
        typing = session.typing.get(conversation_id)

        async def stop() -> None:
            async with session.order:
                if session.typing.get(conversation_id) is typing:  # not started again meanwhile
                    await self._stop(session, conversation_id)

        self._spawn(stop())

    async def _stop(self, session: Session, conversation_id: UUID) -> None:
        typing = session.typing.pop(conversation_id, None)
        if typing is None:
            return
        typing.timer.cancel()
        if any(conversation_id in other.typing for other in self._sessions.of_user(session.user_id)):
            return  # in another tab
        try:
            # Whoever loses a conversation while typing is still shown to stop.
            people = await self._people(conversation_id)
        except EventRefused:
            people = typing.told  # nobody loses a conversation while the database is away
        await self._tell("typing:stop", session, conversation_id, people)

    async def _tell(self, event: str, session: Session, conversation_id: UUID, people: list[UUID]) -> None:
        rooms = [_typing_room(conversation_id, user) for user in people if user != session.user_id]
        told = {"userId": str(session.user_id), "email": session.email, "conversationId": str(conversation_id)}
        await self._runtime.realtime.send(Event(event, told, rooms))

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
        """The active assigned agent and all active administrators.

        Raises:
            EventRefused: there is no such conversation, or no database.
        """
        asked = {"admin": Role.ADMIN.value, "conversation": conversation_id}
        try:
            async with self._runtime.db.fast.connection() as connection:
                rows = await (await connection.execute(_MAY_SEE, asked)).fetchall()
        except DATABASE_AWAY as error:
            log.warning("socket.database_away", error=type(error).__name__)
            raise EventRefused("unavailable") from None
        if not rows:
            raise EventRefused("conversation_not_found")
        return [row["id"] for row in rows if row["id"] is not None]


def _typing_room(conversation_id: UUID, user_id: UUID) -> str:
    """One room a person and conversation: addressed only while that person may see it."""
    return f"typing:{conversation_id}:{user_id}"
