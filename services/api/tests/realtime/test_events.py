"""What clients send: order, refusals, limits, and what no proper client would send."""

import asyncio
import json
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from api_testkit import until
from prometheus_client import REGISTRY
from socket_testkit import Live, Person, Serve

from contactship_devstack.sockets import Socket

EVENTS = ("conversation:join", "conversation:leave", "typing:start", "typing:stop")


async def connected(live: Live) -> tuple[Person, Socket, str]:
    agent = await live.person()
    return agent, await live.connect(agent), await live.conversation(agent)


async def test_join_shows_what_rest_would_show(live: Live) -> None:
    _agent, socket, mine = await connected(live)
    boss = await live.connect(await live.person("ADMIN"))
    other = await live.conversation()
    assert await socket.call("conversation:join", mine) == {"ok": True}
    assert await socket.call("conversation:join", mine) == {"ok": True}, "again is fine"
    assert await socket.call("conversation:join", other) == {"ok": False, "error": "not_your_conversation"}
    assert await socket.call("conversation:join", str(uuid4())) == {"ok": False, "error": "conversation_not_found"}
    assert await socket.call("typing:start", other) == {"ok": False, "error": "not_joined"}
    assert await socket.call("conversation:leave", other) == {"ok": True}, "nothing to leave"
    assert [error["code"] for error in socket.got("error")] == [
        "not_your_conversation",
        "conversation_not_found",
        "not_joined",
    ]
    assert socket.got("error")[0]["event"] == "conversation:join"
    assert socket.got("error")[0]["message"]
    assert await boss.call("conversation:join", other) == {"ok": True}


async def test_events_of_one_socket_happen_in_their_order_however_slow_the_database_is(
    live: Live, database_url: str
) -> None:
    _agent, socket, mine = await connected(live)
    async with await psycopg.AsyncConnection.connect(database_url) as blocker:
        await blocker.execute("LOCK TABLE conversations IN ACCESS EXCLUSIVE MODE")
        first = await socket.ask("conversation:join", mine)
        second = await socket.ask("conversation:leave", mine)
        third = await socket.ask("typing:start", mine)
        await live.everything_before_has_arrived(await live.connect(await live.person()))
        assert not first.done()
        assert not second.done(), "a leave does not overtake its join"
        await blocker.rollback()
    async with asyncio.timeout(10):
        answers = [await first, await second, await third]
    assert answers == [{"ok": True}, {"ok": True}, {"ok": False, "error": "not_joined"}]
    [session] = live.realtime.sessions.all()[:1]
    assert session.joined == set()


WRONG: list[list[object]] = [
    [], [None], [5], [1.5], [True], [{}], [[]], [{"conversationId": "x"}], ["x"], [""], ["0" * 32 + "0"], [str(uuid4()), 1],
    ["x" * 40_000], ["\u0000"], ["مرحبا"],
]  # fmt: skip


async def test_wrong_arguments_are_refused_and_the_socket_goes_on(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    live = await serve(socket_events_per_second=1_000)
    _agent, socket, mine = await connected(live)
    for event in EVENTS:
        for arguments in WRONG:
            assert await socket.call(event, *arguments) == {"ok": False, "error": "bad_conversation_id"}, arguments
    for number, event in enumerate(EVENTS):
        answer = socket._answers[90 + number] = asyncio.get_running_loop().create_future()
        await socket.say(f'451-{90 + number}["{event}",{{"_placeholder":true,"num":0}}]')
        await socket.say(b"\x00\xff")
        async with asyncio.timeout(5):
            assert await answer == {"ok": False, "error": "bad_conversation_id"}
    assert {error["code"] for error in socket.got("error")} == {"bad_conversation_id"}
    assert await socket.call("conversation:join", mine) == {"ok": True}
    assert "Traceback" not in capsys.readouterr().out


async def test_unknown_and_reserved_events_are_ignored(live: Live) -> None:
    agent, socket, _mine = await connected(live)
    for name in ("hello", "message:new", "disconnect", "connect", "error", "connect_error", "*", 5, None, ["a"], {}):
        await socket.emit(name, {"asgi": 1}, {"token": agent.token})  # type: ignore[arg-type]
    await socket.say('43["not","asked"]')
    await socket.say('4312["not","asked"]')
    await live.everything_before_has_arrived(socket)
    assert socket.got("error") == []
    assert len(live.realtime.sessions) == 1
    assert live.realtime.sessions.of_user(UUID(agent.id)), "still known, so still swept"


@pytest.mark.parametrize(
    "frame",
    [
        "", "x", "9", "4", "42", "42{}", "42[]", '42"x"', "42[", "4x", "47", "44{}", "46[]", "45-", "451-[]",
        '459999999999-["typing:start"]', '4599-["typing:start"]', b"\x00", "4{}", "4[1]", "42" + "9" * 200 + '["a"]',
        '42["typing:start","' + "x" * 70_000 + '"]', "42[\ud800]".encode("utf-8", "surrogatepass"), "40{", "0", "5", "b4x",
    ],
)  # fmt: skip
async def test_what_is_no_packet_ends_the_connection_and_nothing_else(
    live: Live, frame: str | bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    agent, socket, mine = await connected(live)
    await socket.call("conversation:join", mine)
    other = await live.connect(agent)
    await socket.say(frame)
    await socket.say('42["typing:start",5]')
    await until(lambda: socket.closed.is_set() or socket.got("error"), "an end or an answer")
    await live.post(mine)
    await other.next("message:new")
    await socket.close()
    await until(lambda: len(live.realtime.sessions) == 1, "the session to end")
    assert "Traceback" not in capsys.readouterr().out


@pytest.mark.parametrize("body", ["", "x", "42", "4\x1e4", "\x1e" * 2_000, "d=", "bAAAA", "4" * 70_000, b"\xff\xfe"])
async def test_a_body_that_is_no_payload_breaks_nothing(
    live: Live, body: str | bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    path = f"{live.url}/socket.io/?EIO=4&transport=polling"
    async with httpx.AsyncClient(timeout=10) as client:
        sid = json.loads((await client.get(path)).text[1:])["sid"]
        assert (await client.post(f"{path}&sid={sid}", content=body)).status_code in (200, 400)
        assert (await client.get(f"{live.url}/health/liveness")).status_code == 200
    assert "Traceback" not in capsys.readouterr().out


async def test_a_long_poll_may_bring_many_events_at_once(serve: Serve) -> None:
    live = await serve(socket_events_per_second=500)
    agent = await live.person()
    conversations = [await live.conversation(agent) for _ in range(3)] * 20
    path = f"{live.url}/socket.io/?EIO=4&transport=polling"
    async with httpx.AsyncClient(timeout=10) as client:
        sid = json.loads((await client.get(path)).text[1:])["sid"]
        events = [f'42{n}["conversation:join","{c}"]' for n, c in enumerate(conversations)]
        await client.post(f"{path}&sid={sid}", content=f"40{json.dumps({'token': agent.token})}")
        await client.post(f"{path}&sid={sid}", content="\x1e".join(events))
        answers = ""
        while answers.count('"ok":true') < len(events):
            answers += (await client.get(f"{path}&sid={sid}")).text


async def test_events_before_the_login_are_ignored(live: Live) -> None:
    agent = await live.person()
    mine = await live.conversation(agent)
    bare = await live.bare()
    early = await bare.ask("conversation:join", mine)
    await bare.log_in({"token": agent.token})
    assert await bare.call("typing:start", mine) == {"ok": False, "error": "not_joined"}
    assert not early.done()


async def test_more_events_than_allowed_are_refused_and_a_flood_is_cut_off(serve: Serve) -> None:
    live = await serve(socket_events_per_second=5)
    _agent, socket, mine = await connected(live)
    answers = [await socket.ask("conversation:join", mine) for _ in range(8)]
    async with asyncio.timeout(10):
        said = [(await answer).get("error") for answer in answers]
    assert said.count("rate_limited") >= 2
    assert said[:4] == [None] * 4, "the login was the fifth"
    assert "rate_limited" in [error["code"] for error in socket.got("error")]

    async def allowed() -> bool:
        return bool((await socket.call("conversation:leave", mine)).get("ok"))

    await until(allowed, "the allowance to return", seconds=5)
    for _ in range(500):
        if socket.closed.is_set():
            break
        await socket.emit("conversation:join", mine)
    async with asyncio.timeout(10):
        await socket.closed.wait()
    assert not socket.dismissed, "it may come again"


async def test_unknown_events_and_logins_count_too(serve: Serve) -> None:
    live = await serve(socket_events_per_second=5)
    bare = await live.bare()
    for _ in range(20):
        await bare.say('40{"token":"x"}')
    async with asyncio.timeout(10):
        await bare.closed.wait()


async def test_a_socket_joins_so_many_conversations_at_most(serve: Serve) -> None:
    live = await serve(socket_max_conversations=2)
    agent, socket, first = await connected(live)
    second, third = await live.conversation(agent), await live.conversation(agent)
    assert (await socket.call("conversation:join", first))["ok"]
    assert (await socket.call("conversation:join", second))["ok"]
    assert await socket.call("conversation:join", third) == {"ok": False, "error": "too_many_conversations"}
    assert (await socket.call("conversation:join", first))["ok"], "joined already"
    await socket.call("conversation:leave", second)
    assert (await socket.call("conversation:join", third))["ok"]


async def test_without_the_database_events_are_refused_and_work_again_later(serve: Serve) -> None:
    live = await serve(db_pool_timeout=0.3, db_fast_pool_size=1)
    _agent, socket, mine = await connected(live)
    async with live.api.gateway.runtime.db.fast.connection():
        assert await socket.call("conversation:join", mine) == {"ok": False, "error": "unavailable"}
    assert await socket.call("conversation:join", mine) == {"ok": True}


async def test_a_client_that_does_not_read_is_cut_off_and_the_others_are_served(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("contactship_api.realtime.protocol._LONGEST_BACKLOG", 20)
    agent, reader, mine = await connected(live)
    lazy = await live.connect(agent)
    lazy.stop_reading()
    for number in range(0, 2_000, 10):
        for each in range(number, number + 10):
            live.realtime.relay._deliver(_message(mine, each, agent.id))
        if len(live.realtime.sessions) == 1:
            break
        await until(lambda number=number: len(reader.got("message:new")) >= number + 10, "the reader")
    assert len(live.realtime.sessions) == 1, "the lazy one was cut off"
    await live.post(mine, "the last")
    await until(lambda: reader.got("message:new")[-1]["message"].get("contentText") == "the last", "the last message")


def _message(conversation_id: str, number: int, agent_id: str) -> object:
    from contactship_common.realtime import Event

    data = {"conversationId": conversation_id, "message": {"seq": number, "contentText": "x" * 10_000}}
    return Event("message:new", data, [f"user:{agent_id}"])


async def test_sockets_and_events_are_counted(live: Live) -> None:
    def value(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, labels) or 0.0

    before = value("contactship_socket_events_total", event="conversation:join", outcome="ok")
    refused = value("contactship_socket_events_total", event="typing:stop", outcome="not_joined")
    _agent, socket, mine = await connected(live)
    assert value("contactship_sockets") == 1
    await socket.call("conversation:join", mine)
    await socket.call("typing:stop", str(uuid4()))
    assert value("contactship_socket_events_total", event="conversation:join", outcome="ok") == before + 1
    assert value("contactship_socket_events_total", event="typing:stop", outcome="not_joined") == refused + 1
    await socket.close()
    await until(lambda: value("contactship_sockets") == 0, "the gauge")
