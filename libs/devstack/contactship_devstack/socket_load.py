"""Many connected people, and messages at a steady rate: how long each takes from the request to every right screen.

Used by the benchmark at full size and by a test at a small one. The clock starts when a message is due, so that a slow
answer does not hide the waiting of those behind it; one clock (`time.monotonic`) serves both ends.
"""

import asyncio
import os
import re
import secrets
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import jwt
import psycopg

from contactship_devstack.sockets import Socket

_PEOPLE = """
INSERT INTO users (id, email, name, password_hash, role, active)
SELECT id, 'load-' || id || '@example.com', 'Load', 'x', %(role)s, true FROM unnest(%(ids)s::uuid[]) AS id
"""
_CONVERSATIONS = """
WITH agents AS (SELECT id AS agent_id, gen_random_uuid() AS person_id, gen_random_uuid() AS lead_id
                  FROM unnest(%(agents)s::uuid[]) AS id),
     people AS (INSERT INTO persons (id, first_name, last_name) SELECT person_id, 'Load', 'Load' FROM agents),
     leads AS (INSERT INTO leads (id, person_id, email, source, status, version, search_text, name_sort)
               SELECT lead_id, person_id, lead_id || '@example.com', 'manual', 'new', 1, '', '' FROM agents)
INSERT INTO conversations (id, lead_id, assigned_agent_id, channel, status, last_seq, last_lead_seq, last_agent_seq,
       unread_count, ai_tags, analysed_up_to)
SELECT gen_random_uuid(), lead_id, agent_id, 'web', 'OPEN', 0, 0, 0, 0, '{}', 0 FROM agents
RETURNING id, assigned_agent_id
"""
_LAST_ARRIVE_SECONDS = 10.0
_MESSAGE = re.compile(r'"seq":(\d+).*?"contentText":"due ([0-9.]+) ')


@dataclass(slots=True)
class Agent:
    id: UUID
    token: str
    conversation_id: UUID | None = None
    heard: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class LoadResult:
    """Times in milliseconds. `lost`: deliveries that should have been and were not; `twice`: too many."""

    sent: int
    refused: dict[int, int]  # answers that were not 201, by status; nothing was stored, nothing is to be delivered
    expected: int
    deliveries_ms: list[float]
    answers_ms: list[float]
    lost: int
    twice: int
    late_ms: float
    client_cpu: float  # cores


class SocketLoad:
    """`agents` have a conversation each; admins hear of all."""

    def __init__(self, database_url: str, urls: Sequence[str], jwt_secret: str, *, agents: int, admins: int) -> None:
        self._urls = urls
        self._secret = jwt_secret
        self._deliveries: list[float] = []
        self._sockets: list[Socket] = []
        self._arrived = asyncio.Event()
        self.closed = 0
        with psycopg.connect(database_url, autocommit=True) as connection:
            self.agents = self._people(connection, "SALES_AGENT", agents)
            self.admins = self._people(connection, "ADMIN", admins)
            rows = connection.execute(_CONVERSATIONS, {"agents": [agent.id for agent in self.agents]}).fetchall()
        of = {row[1]: row[0] for row in rows}
        for agent in self.agents:
            agent.conversation_id = of[agent.id]

    def _people(self, connection: psycopg.Connection[Any], role: str, count: int) -> list[Agent]:
        ids = [uuid4() for _ in range(count)]
        connection.execute(_PEOPLE, {"role": role, "ids": ids})
        return [Agent(each, self._token(each, role)) for each in ids]

    def _token(self, user_id: UUID, role: str) -> str:
        now = int(time.time())
        claims = {
            "sub": "load", "email": "load", "uid": str(user_id), "role": role, "typ": "access", "iat": now,
            "exp": now + 3_600, "jti": secrets.token_hex(8),
        }  # fmt: skip
        return jwt.encode(claims, self._secret, "HS256")

    async def connect(self) -> float:
        """Connect everybody who is not, spread over the processes; returns the seconds it took."""
        started = time.monotonic()
        if self._sockets:
            return 0.0
        gate = asyncio.Semaphore(20)

        async def one(number: int, who: Agent) -> None:
            def heard(frame: str) -> None:
                found = _MESSAGE.search(frame)
                if found is not None:
                    self._deliveries.append((time.monotonic() - float(found[2])) * 1_000)
                    who.heard[found[2]] += 1
                    self._arrived.set()

            async with gate:
                socket = Socket(self._urls[number % len(self._urls)], who.token, on_event=heard)
                self._sockets.append(await socket.__aenter__())

        await asyncio.gather(*(one(*pair) for pair in enumerate([*self.agents, *self.admins])))
        return time.monotonic() - started

    async def run(self, *, rate: float, seconds: float) -> LoadResult:
        """Agents answer in turn, `rate` messages a second."""
        await self.connect()
        self._deliveries.clear()
        for who in (*self.agents, *self.admins):
            who.heard.clear()
        answers: list[float] = []
        due_of: dict[str, Agent] = {}
        refused: Counter[int] = Counter()
        late = 0.0
        cpu = sum(os.times()[:2])
        begun = time.monotonic()
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=64)) as http,
            asyncio.TaskGroup() as group,
        ):

            async def post(number: int, agent: Agent, due: float) -> None:
                url = f"{self._urls[number % len(self._urls)]}/api/v1/conversations/{agent.conversation_id}/messages"
                body = {"contentText": f"due {due:.6f} " + "Buenos días, ¿en qué puedo ayudarle? " * 3}
                async with http.post(url, json=body, headers={"authorization": f"Bearer {agent.token}"}) as answer:
                    await answer.read()
                    if answer.status == 201:
                        due_of[f"{due:.6f}"] = agent
                    else:
                        refused[answer.status] += 1
                answers.append((time.monotonic() - due) * 1_000)

            for number in range(int(rate * seconds)):
                due = begun + number / rate
                if (pause := due - time.monotonic()) > 0:
                    await asyncio.sleep(pause)
                late = max(late, time.monotonic() - due)
                agent = self.agents[number % len(self.agents)]
                group.create_task(post(number, agent, due))
        expected = len(due_of) * (1 + len(self.admins))
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_ARRIVE_SECONDS):
                while len(self._deliveries) < expected:
                    self._arrived.clear()
                    await self._arrived.wait()
        spent = time.monotonic() - begun
        return LoadResult(
            sent=int(rate * seconds),
            refused=dict(refused),
            expected=expected,
            deliveries_ms=self._deliveries,
            answers_ms=answers,
            lost=sum(
                (due not in agent.heard) + sum(due not in boss.heard for boss in self.admins)
                for due, agent in due_of.items()
            ),
            twice=sum(count - 1 for who in (*self.agents, *self.admins) for count in who.heard.values()),
            late_ms=late * 1_000,
            client_cpu=(sum(os.times()[:2]) - cpu) / spent,
        )

    async def close(self) -> None:
        self.closed = sum(socket.closed.is_set() for socket in self._sockets)
        await asyncio.gather(*(socket.close() for socket in self._sockets))
