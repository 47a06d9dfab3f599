"""Who is connected to this process."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from uuid import UUID

from contactship_api.access.permissions import Principal


@dataclass(slots=True, eq=False)
class Session:
    """One socket. `order` makes its events happen one after the other; `joined` are conversations."""

    sid: str
    user_id: UUID
    email: str
    who: Principal
    expires_at: float  # of its access token, Unix seconds
    order: asyncio.Lock = field(default_factory=asyncio.Lock)
    joined: set[UUID] = field(default_factory=set)
    typing: dict[UUID, asyncio.TimerHandle] = field(default_factory=dict)


class Sessions:
    """The sockets of this process, by their id and by their person."""

    def __init__(self) -> None:
        self._by_sid: dict[str, Session] = {}
        self._by_user: defaultdict[UUID, set[Session]] = defaultdict(set)

    def __len__(self) -> int:
        return len(self._by_sid)

    def add(self, session: Session) -> None:
        self._by_sid[session.sid] = session
        self._by_user[session.user_id].add(session)

    def get(self, sid: str) -> Session | None:
        return self._by_sid.get(sid)

    def remove(self, sid: str) -> Session | None:
        session = self._by_sid.pop(sid, None)
        if session is not None:
            mine = self._by_user[session.user_id]
            mine.discard(session)
            if not mine:
                del self._by_user[session.user_id]
        return session

    def of_user(self, user_id: UUID) -> list[Session]:
        return list(self._by_user.get(user_id, ()))

    def all(self) -> list[Session]:
        return list(self._by_sid.values())
