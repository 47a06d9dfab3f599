"""Who gets a socket, and who keeps it."""

import asyncio
import json
import time
from typing import Any
from uuid import UUID

import aiohttp
import httpx
import jwt
import psycopg
import pytest
import socketio
from api_testkit import until
from api_testkit.api import PASSWORD, ROOT_KEY
from socket_testkit import Live, Serve
from websockets.exceptions import InvalidStatus

from contactship_devstack.sockets import Socket, SocketRefused
from contactship_devstack.valkey import ValkeyServer


class ReadAtOnce(aiohttp.ClientResponse):
    """The client library never reads the answers to what it posts; each would be reported as an open connection."""

    async def start(self, connection: Any) -> aiohttp.ClientResponse:
        await super().start(connection)
        if self.status == 200:
            await self.read()
        return self


@pytest.mark.parametrize("transport", ["websocket", "polling"])
@pytest.mark.parametrize("way", ["auth", "auth with Bearer", "header"])
async def test_an_access_token_opens_a_socket(live: Live, way: str, transport: str) -> None:
    agent = await live.person()
    conversation = await live.conversation(agent)
    auth = {"auth": {"token": agent.token}, "auth with Bearer": {"token": f"Bearer {agent.token}"}, "header": None}[way]
    headers = {"authorization": f"Bearer {agent.token}"} if way == "header" else {}
    http = aiohttp.ClientSession(response_class=ReadAtOnce)
    client = socketio.AsyncClient(json=None, reconnection=False, http_session=http)
    heard: asyncio.Queue[dict[str, object]] = asyncio.Queue()
    client.on("message:new", heard.put)
    await client.connect(live.url, auth=auth, headers=headers, transports=[transport])
    assert await client.call("conversation:join", conversation) == {"ok": True}
    posted = await live.post(conversation)
    async with asyncio.timeout(10):
        event = await heard.get()
    assert event == {"conversationId": conversation, "message": posted}
    async with asyncio.timeout(10):
        await client.disconnect()  # ends its open poll, too
    await http.close()
    await until(lambda: not len(live.realtime.sessions), "the session to end")


async def refused_code(live: Live, token: str | None, headers: dict[str, str] | None = None) -> str:
    with pytest.raises(SocketRefused) as refused:
        async with Socket(live.url, token, headers=headers):
            pass
    told = refused.value.told
    assert told["message"] == told["data"]["message"]
    return refused.value.code


async def test_everything_else_is_refused_with_a_code(live: Live) -> None:
    agent = await live.person()
    refresh = (
        await live.api.anonymous.post("/api/v1/auth/login", json={"email": agent.email, "password": PASSWORD})
    ).json()["refresh_token"]
    claims = jwt.decode(agent.token, options={"verify_signature": False})
    secret = live.api.gateway.settings.jwt_secret
    expired = jwt.encode(claims | {"exp": int(time.time()) - 1}, secret, "HS256")
    forged = jwt.encode(claims, "another-secret-0123456789abcdefghijklmnop", "HS256")
    await live.api.root.get("/api/v1/leads")  # the key is remembered from here on
    for token in (None, "", "x", refresh, expired, forged, ROOT_KEY, "Bearer", "Bearer ", "a b", "x" * 60_000):
        assert await refused_code(live, token) == "unauthenticated", token
    for header in (ROOT_KEY, f"Basic {agent.token}", "Bearer", f"Bearer {expired}"):
        assert await refused_code(live, None, {"authorization": header}) == "unauthenticated"
    assert await refused_code(live, None, {"x-api-key": ROOT_KEY}) == "unauthenticated"
    assert len(live.realtime.sessions) == 0
    assert live.realtime.sio.manager.rooms.get("/", {}) == {}


@pytest.mark.parametrize("auth", [5, "x", [], ["token"], {"token": 5}, {"token": None}, {"token": {"a": 1}}, {}])
async def test_auth_of_any_shape_is_answered(live: Live, auth: object) -> None:
    bare = await live.bare()
    with pytest.raises(SocketRefused) as refused:
        await bare.log_in(auth)
    assert refused.value.code == "unauthenticated"


async def test_without_the_database_one_is_asked_to_try_again(serve: Serve) -> None:
    live = await serve(db_pool_timeout=0.2, db_fast_pool_size=1)
    agent = await live.person()
    live.api.gateway.authenticator.forget_user(UUID(agent.id))
    async with live.api.gateway.runtime.db.fast.connection():
        assert await refused_code(live, agent.token) == "unavailable"
    await live.connect(agent)


async def test_a_foreign_origin_is_refused_on_both_transports(serve: Serve) -> None:
    live = await serve(cors_origin=["https://crm.example.com"])
    own = live.url.replace("127.0.0.1", "localhost")
    agent = await live.person()
    for origin, allowed in (
        ("https://crm.example.com", True),
        ("https://evil.example", False),
        ("null", False),
        (own, False),
    ):
        path = f"{live.url}/socket.io/?EIO=4&transport=polling"
        async with httpx.AsyncClient() as client:
            answer = await client.get(path, headers={"origin": origin})
        assert answer.status_code == (200 if allowed else 400), origin
        assert answer.headers.get("access-control-allow-origin") == (origin if allowed else None)
        if allowed:
            async with Socket(live.url, agent.token, headers={"origin": origin}):
                pass
        else:
            with pytest.raises(InvalidStatus):
                await live.bare(headers={"origin": origin})
    async with Socket(live.url, agent.token, headers={"origin": live.url}):
        pass  # the API's own pages


async def test_by_default_only_pages_of_the_same_host_connect(live: Live) -> None:
    agent = await live.person()
    async with Socket(live.url, agent.token, headers={"origin": live.url}):
        pass
    with pytest.raises(InvalidStatus):
        await live.bare(headers={"origin": "https://evil.example"})


async def test_other_namespaces_are_refused(live: Live) -> None:
    agent = await live.person()
    bare = await live.bare()
    await bare.say(f"40/admin,{json.dumps({'token': agent.token})}")
    await bare.log_in({"token": agent.token})
    assert await bare.call("typing:start", "x") == {"ok": False, "error": "bad_conversation_id"}
    await bare.say('42/admin,["conversation:join","x"]')
    await live.everything_before_has_arrived(bare)
    assert len(bare.got("error")) == 1


async def test_other_websockets_and_paths_are_not_touched(live: Live) -> None:
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"{live.url}/health")).status_code == 200
        assert (await client.get(f"{live.url}/socket.iox/?EIO=4&transport=polling")).status_code == 404
        assert (await client.get(f"{live.url}/socket.io/?EIO=3&transport=polling")).status_code == 400
        unknown = f"{live.url}/socket.io/?EIO=4&transport=polling&sid=nobody"
        assert (await client.get(unknown)).status_code == 400
        assert (await client.post(unknown, content="4")).status_code == 400
        assert (await client.delete(unknown)).status_code == 405
    other = Socket(live.url)
    other.url = live.url.replace("http", "ws") + "/api/v1/leads"
    with pytest.raises(InvalidStatus):
        await other.open()


async def gone(live: Live, socket: Socket, code: str, *, seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        await socket.closed.wait()
    assert [error["code"] for error in socket.got("error")] == [code]
    assert socket.dismissed


async def test_whoever_is_deactivated_is_disconnected_at_once(live: Live) -> None:
    agent, other = await live.person(), await live.person()
    sockets = [await live.connect(agent), await live.connect(agent)]
    stays = await live.connect(other)
    answer = await live.api.request("PATCH", f"/api/v1/users/{agent.id}", json={"active": False})
    assert answer.status_code == 200, answer.text
    for socket in sockets:
        await gone(live, socket, "access_changed")
    assert await refused_code(live, agent.token) == "unauthenticated"
    assert not stays.closed.is_set()


async def test_a_changed_role_and_a_logout_end_the_sockets_of_that_person_or_login(live: Live) -> None:
    promoted, leaving = await live.person(), await live.person()
    first = await live.connect(promoted)
    await live.api.request("PATCH", f"/api/v1/users/{promoted.id}", json={"role": "ADMIN"})
    await gone(live, first, "access_changed")
    login = await live.api.anonymous.post("/api/v1/auth/login", json={"email": leaving.email, "password": PASSWORD})
    second = await live.connect(leaving)
    third = await live._stack.enter_async_context(Socket(live.url, login.json()["access_token"]))
    bearer = {"authorization": f"Bearer {login.json()['access_token']}"}
    out = await live.api.anonymous.post("/api/v1/auth/logout", headers=bearer)
    assert out.status_code in (200, 204), out.text
    await gone(live, third, "access_changed")
    await live.everything_before_has_arrived(second)
    assert not second.closed.is_set(), "the other login stays"


async def test_a_deactivation_that_nobody_announced_is_found_by_the_sweep(serve: Serve, database_url: str) -> None:
    live = await serve(socket_sweep_seconds=0.3)
    agent = await live.person()
    socket = await live.connect(agent)
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute("UPDATE users SET active = false WHERE id = %s", (agent.id,))
    await gone(live, socket, "access_changed")


async def test_an_announcement_of_another_process_is_heard(serve: Serve) -> None:
    here, there = await serve(), await serve()
    agent = await here.person()
    socket = await there.connect(agent)
    await until(lambda: there.realtime.relay.subscription.connected, "the subscription")
    await here.api.request("PATCH", f"/api/v1/users/{agent.id}", json={"active": False})
    await gone(there, socket, "access_changed")


async def test_an_announcement_that_was_missed_is_made_up_for_when_redis_is_back(
    serve: Serve, valkey: ValkeyServer
) -> None:
    here, there = await serve(), await serve()
    agent = await here.person()
    socket = await there.connect(agent)
    await until(lambda: there.realtime.relay.subscription.connected, "the subscription")
    valkey.stop()
    await until(lambda: not there.realtime.relay.subscription.connected, "the loss to be noticed")
    answer = await here.api.request("PATCH", f"/api/v1/users/{agent.id}", json={"active": False})
    assert answer.status_code == 200
    valkey.start()
    await gone(there, socket, "access_changed")


async def test_a_socket_does_not_outlive_its_token_even_without_a_database(serve: Serve) -> None:
    live = await serve(jwt_expires_in=2, socket_sweep_seconds=0.2, db_pool_timeout=0.2, db_pool_size=1)
    agent = await live.person()
    socket = await live.connect(agent)
    async with live.api.gateway.runtime.db.engine.connect():
        await gone(live, socket, "token_expired")


async def test_one_socket_more_than_a_person_may_have_ends_their_oldest(serve: Serve) -> None:
    live = await serve(socket_max_per_person=2)
    agent, other = await live.person(), await live.person()
    mine = await live.conversation(agent)
    bystander = await live.connect(other)
    oldest, older, newest = [await live.connect(agent) for _ in range(3)]
    await asyncio.wait_for(oldest.closed.wait(), 10)
    assert oldest.dismissed, "it does not come again by itself: tabs would push each other out for ever"
    assert [told["code"] for told in oldest.got("error")] == ["too_many_sockets"]
    await live.post(mine)
    for tab in (older, newest):
        await tab.next("message:new")
    assert (await bystander.call("conversation:join", mine))["error"] == "not_your_conversation"
    assert len(live.realtime.sessions) == 3


async def test_connections_on_which_nobody_logs_in_are_closed(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = await live.person()
    stranger, known = await live.bare(), await live.connect(agent)
    await live.realtime.sweep()
    assert not stranger.closed.is_set(), "it has a moment to do so"
    monkeypatch.setattr("contactship_api.realtime.server._STRANGER_SECONDS", 0.0)
    await live.realtime.sweep()
    async with asyncio.timeout(5):
        await stranger.closed.wait()
    await live.everything_before_has_arrived(known)


async def test_a_polling_client_that_leaves_while_it_is_looked_at_leaves_nothing_behind(serve: Serve) -> None:
    live = await serve(db_pool_size=1, db_pool_timeout=10.0)
    agent = await live.person()
    live.api.gateway.authenticator.forget_user(UUID(agent.id))
    path = f"{live.url}/socket.io/?EIO=4&transport=polling"
    async with httpx.AsyncClient(timeout=20) as client:
        sid = json.loads((await client.get(path)).text[1:])["sid"]
        async with live.api.gateway.runtime.db.engine.connect():
            entering = asyncio.create_task(
                client.post(f"{path}&sid={sid}", content=f"40{json.dumps({'token': agent.token})}")
            )
            await until(lambda: live.realtime.sio.manager.rooms.get("/"), "the handshake to begin")
            await client.post(f"{path}&sid={sid}", content="1")
        await entering
    await until(lambda: not live.realtime.sio.manager.rooms.get("/"), "nothing to be left")
    assert len(live.realtime.sessions) == 0
    assert not live.realtime.sio._allowances
