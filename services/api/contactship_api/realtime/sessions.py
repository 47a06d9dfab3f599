"""Who is connected to this process, and in which rooms."""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from contactship_api.access.permissions import Principal
from contactship_common.conversations.audience import user_room


@dataclass(slots=True)
class Typing:
    """That somebody types: when it stops by itself, and who was told."""

    timer: asyncio.TimerHandle
    told: list[UUID]


@dataclass(slots=True, eq=False)
class Session:
    """One socket. `order` makes its events happen one after the other; `joined` are conversations."""

    sid: str
    wire: Any  # its Engine.IO socket
    user_id: UUID
    email: str
    who: Principal
    expires_at: float  # of its access token, Unix seconds
    order: asyncio.Lock = field(default_factory=asyncio.Lock)
    joined: set[UUID] = field(default_factory=set)
    typing: dict[UUID, Typing] = field(default_factory=dict)
    rooms: set[str] = field(default_factory=set)
    opened_at: float = field(default_factory=time.monotonic)


class Sessions:
    """The sockets of this process by their id and by their rooms.

    Not the library's rooms: those are walked through, all of them, whenever one socket closes.
    """

    def __init__(self) -> None:
        self._by_sid: dict[str, Session] = {}
        self._by_room: dict[str, set[Session]] = {}

    def __len__(self) -> int:
        return len(self._by_sid)

    def add(self, session: Session, *rooms: str) -> None:
        self._by_sid[session.sid] = session
        for room in rooms:
            self.enter(session, room)

    def get(self, sid: str) -> Session | None:
        return self._by_sid.get(sid)

    def remove(self, sid: str) -> Session | None:
        session = self._by_sid.pop(sid, None)
        if session is not None:
            for room in list(session.rooms):
                self.leave(session, room)
        return session

    def enter(self, session: Session, room: str) -> None:
        """Nothing happens to a socket that is closed already."""
        if self._by_sid.get(session.sid) is session:
            session.rooms.add(room)
            self._by_room.setdefault(room, set()).add(session)

    def leave(self, session: Session, room: str) -> None:
        session.rooms.discard(room)
        members = self._by_room.get(room)
        if members is not None:
            members.discard(session)
            if not members:
                del self._by_room[room]

    def in_rooms(self, rooms: Iterable[str]) -> set[Session]:
        """Each socket once, in however many of these rooms it is."""
        return set().union(*(self._by_room.get(room, ()) for room in rooms))

    def of_user(self, user_id: UUID) -> list[Session]:
        """The oldest first."""
        return sorted(self._by_room.get(user_room(user_id), ()), key=lambda session: session.opened_at)

    def all(self) -> list[Session]:
        return list(self._by_sid.values())
