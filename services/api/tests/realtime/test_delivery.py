"""Who hears of what, and when typing stops."""

import asyncio

import pytest
from api_testkit import until
from socket_testkit import Live, Person, Serve

from contactship_devstack.sockets import Socket
from contactship_devstack.valkey import ValkeyServer


async def joined(live: Live, who: Person, conversation_id: str) -> Socket:
    socket: Socket = await live.connect(who)
    assert await socket.call("conversation:join", conversation_id) == {"ok": True}
    return socket


async def test_a_message_reaches_the_agent_on_every_tab_and_all_admins_and_nobody_else(live: Live) -> None:
    agent, stranger, boss = await live.person(), await live.person(), await live.person("ADMIN")
    mine = await live.conversation(agent)
    tabs = [await live.connect(agent), await live.connect(agent), await live.connect(boss)]
    outside = await live.connect(stranger)
    message = await live.post(mine, by=agent)
    for tab in tabs:
        assert (await tab.next("message:new")).data == {"conversationId": mine, "message": message}
    await live.everything_before_has_arrived(outside, *tabs)
    assert [len(tab.got("message:new")) for tab in tabs] == [1, 1, 1], "once each"
    assert outside.events == []


async def test_a_person_who_is_admin_and_assigned_hears_it_once(live: Live) -> None:
    boss = await live.person("ADMIN")
    mine = await live.conversation(boss)
    socket = await live.connect(boss)
    await live.post(mine)
    await live.everything_before_has_arrived(socket)
    assert len(socket.got("message:new")) == 1


async def test_who_loses_a_conversation_hears_nothing_more_and_who_gets_it_hears_everything(live: Live) -> None:
    first, second = await live.person(), await live.person()
    mine = await live.conversation(first)
    old, new, boss = (
        await joined(live, first, mine),
        await live.connect(second),
        await live.connect(await live.person("ADMIN")),
    )
    assert (await boss.call("conversation:join", mine))["ok"]
    await live.assign(mine, second)
    for socket in (old, new):
        told = (await socket.next("conversation:assigned")).data
        assert (told["agentId"], told["previousAgentId"]) == (second.id, first.id)
    assert (await new.call("conversation:join", mine))["ok"]
    await live.post(mine)
    await new.call("typing:start", mine)
    await boss.next("typing:start")
    await live.everything_before_has_arrived(old, new)
    assert old.got("message:new", "typing:start") == []
    assert await old.call("typing:start", mine) in (
        {"ok": False, "error": "not_joined"},
        {"ok": False, "error": "not_your_conversation"},
    )
    assert len(new.got("message:new")) == 1
    assert not old.closed.is_set()


async def test_typing_is_shown_to_others_who_have_joined_and_not_to_the_person_who_types(live: Live) -> None:
    agent, boss = await live.person(), await live.person("ADMIN")
    mine = await live.conversation(agent)
    typing, tab, watching = (
        await joined(live, agent, mine),
        await joined(live, agent, mine),
        await joined(live, boss, mine),
    )
    not_joined = await live.connect(await live.person("ADMIN"))
    assert (await typing.call("typing:start", mine))["ok"]
    expected = {"userId": agent.id, "email": agent.email, "conversationId": mine}
    assert (await watching.next("typing:start")).data == expected
    assert (await typing.call("typing:stop", mine))["ok"]
    assert (await watching.next("typing:stop")).data == expected
    await typing.call("typing:stop", mine)
    await live.everything_before_has_arrived(typing, tab, watching, not_joined)
    assert [event.name for event in watching.events] == ["typing:start", "typing:stop"], "one stop"
    for socket in (typing, tab, not_joined):
        assert socket.events == []


@pytest.mark.parametrize("end", ["time", "close", "leave", "lost", "deactivated"])
async def test_typing_stops_by_itself_and_leaves_nothing_behind(serve: Serve, end: str) -> None:
    live = await serve(socket_typing_seconds=0.5 if end == "time" else 60.0)
    agent, other = await live.person(), await live.person()
    mine = await live.conversation(agent)
    typing, watching = await joined(live, agent, mine), await joined(live, await live.person("ADMIN"), mine)
    assert (await typing.call("typing:start", mine))["ok"]
    await watching.next("typing:start")
    session = live.realtime.sessions.get(
        next(s.sid for s in live.realtime.sessions.all() if str(s.user_id) == agent.id)
    )
    if end == "close":
        await typing.close()
    elif end == "leave":
        await typing.call("conversation:leave", mine)
    elif end == "lost":
        await live.assign(mine, other)
    elif end == "deactivated":
        await live.api.request("PATCH", f"/api/v1/users/{agent.id}", json={"active": False})
    assert (await watching.next("typing:stop", seconds=8)).data["userId"] == agent.id
    assert session.typing == {}
    if end in ("lost", "leave", "close", "deactivated"):
        await until(lambda: not session.joined, "the conversation to be left")
        assert not [room for room in live.realtime.sessions._by_room if room.startswith(f"typing:{mine}:{agent.id}")]
    await until(lambda: not live.realtime._background, "nothing left to do")


async def test_starting_again_prolongs_typing(serve: Serve) -> None:
    live = await serve(socket_typing_seconds=0.8)
    agent = await live.person()
    mine = await live.conversation(agent)
    typing, watching = await joined(live, agent, mine), await joined(live, await live.person("ADMIN"), mine)
    loop = asyncio.get_running_loop()
    for count in range(4):
        await typing.call("typing:start", mine)
        last = loop.time()
        await watching.next("typing:start", after=count)
        assert watching.got("typing:stop") == []
        if count < 3:
            await asyncio.sleep(0.4)
    await watching.next("typing:stop")
    assert loop.time() - last > 0.7


async def test_a_second_tab_that_types_keeps_the_person_typing(live: Live) -> None:
    agent = await live.person()
    mine = await live.conversation(agent)
    one, two = await joined(live, agent, mine), await joined(live, agent, mine)
    watching = await joined(live, await live.person("ADMIN"), mine)
    await one.call("typing:start", mine)
    await two.call("typing:start", mine)
    await one.call("typing:stop", mine)
    await live.everything_before_has_arrived(watching)
    assert watching.got("typing:stop") == []
    await two.close()
    await watching.next("typing:stop")


async def test_what_one_process_emits_reaches_the_sockets_of_another(serve: Serve) -> None:
    here, there = await serve(), await serve()
    await until(lambda: there.realtime.relay.subscription.connected, "the subscription")
    agent, boss = await here.person(), await here.person("ADMIN")
    mine = await here.conversation(agent)
    near, far, far_boss = await here.connect(agent), await there.connect(agent), await there.connect(boss)
    for socket in (near, far, far_boss):
        await socket.call("conversation:join", mine)
    message = await here.post(mine)
    for socket in (near, far, far_boss):
        assert (await socket.next("message:new")).data["message"] == message
    await near.call("typing:start", mine)
    await far_boss.next("typing:start")
    await here.assign(mine, None)
    await far_boss.next("typing:stop")
    await there.everything_before_has_arrived(far, far_boss)
    await here.everything_before_has_arrived(near)
    assert [len(socket.got("message:new")) for socket in (near, far, far_boss)] == [1, 1, 1]
    assert far.got("typing:start", "typing:stop") == []
    await until(
        lambda: not any(s.joined for s in there.realtime.sessions.all() if str(s.user_id) == agent.id),
        "the far tab to leave",
    )


@pytest.mark.parametrize("hurt", ["stop", "freeze"])
async def test_without_redis_a_process_serves_its_own_and_the_rest_follows_when_it_is_back(
    serve: Serve, valkey: ValkeyServer, hurt: str, capsys: pytest.CaptureFixture[str]
) -> None:
    here, there = await serve(), await serve()
    await until(lambda: there.realtime.relay.subscription.connected, "the subscription")
    agent = await here.person()
    mine = await here.conversation(agent)
    near, far = await here.connect(agent), await there.connect(agent)
    getattr(valkey, hurt)()
    loop = asyncio.get_running_loop()
    for number in range(3):
        await here.post(mine)
        await near.next("message:new", after=number)
    valkey.thaw()
    valkey.start()
    back = loop.time()
    count = 3

    async def far_hears() -> bool:
        nonlocal count
        await here.post(mine)
        await near.next("message:new", after=count)
        count += 1
        return bool(far.got("message:new"))

    await until(far_hears, "delivery between processes", seconds=15)
    print(f"resumed after {loop.time() - back:.1f} s")
    missed = await far_catches_up(agent, mine, far)
    assert missed == list(range(1, count + 1))
    assert "Traceback" not in capsys.readouterr().out


async def far_catches_up(agent: Person, conversation_id: str, socket: Socket) -> list[int]:
    """What `?since=` gives to a client that heard nothing before its first event."""
    answer = await agent.http.get(
        f"/api/v1/conversations/{conversation_id}/messages", params={"since": 0, "limit": 100}
    )
    return [message["seq"] for message in answer.json()["data"]]


async def test_sockets_that_come_and_go_leave_nothing(live: Live) -> None:
    agent = await live.person()
    mine = await live.conversation(agent)
    for _ in range(30):
        sockets = [await live.connect(agent) for _ in range(5)]
        for socket in sockets:
            await socket.emit("conversation:join", mine)
            await socket.emit("typing:start", mine)
        for socket in sockets:
            await socket.close()
    await until(lambda: not len(live.realtime.sessions), "all to be gone")
    realtime = live.realtime
    await until(lambda: not realtime.sio.eio.sockets, "their connections")
    assert realtime.sessions._by_room == {}
    assert realtime.sio.environ == {}
    assert realtime.sio._allowances == {}
    assert realtime.sio._binary_packet == {}
    assert realtime.sio.manager.rooms.get("/", {}) == {}
    assert realtime.sio.manager.pending_connect == {}
