"""What the dashboard shows of interactions: how many and when, how long they took, how many were abandoned."""

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from contactship_api.http.problems import Invalid
from contactship_api.http.schemas import Out, UtcTime
from contactship_api.http.totals import bounded
from contactship_api.interactions.clients import percent
from contactship_api.interactions.period import period
from contactship_api.interactions.queries import duration_sec
from contactship_common.models import (
    CallDetail,
    Interaction,
    InteractionChannel,
    InteractionStatus,
)
from contactship_common.models.contact_center import ENDED_INTERACTIONS

DEFAULT_DAYS = 7
MOST_DAYS = 93


class HourVolume(Out):
    """The interactions that started within one hour; hours without any are left out."""

    hour: UtcTime
    call: int
    whatsapp: int
    sms: int
    total: int


class HourOfDay(Out):
    """The same over all days, by the hour on the clock in `tz`, 0 to 23."""

    hour: int
    call: int
    whatsapp: int
    sms: int
    total: int


class ChannelMetrics(Out):
    """`averageHandlingSec`: of the COMPLETED ones with a known duration (`handled`), null of none.
    `abandonedPercent`: of those that have ended, to one place; 0 of none."""

    channel: InteractionChannel
    total: int
    ended: int
    completed: int
    abandoned: int
    failed: int
    abandoned_percent: float
    handled: int
    average_handling_sec: float | None


class InteractionMetrics(Out):
    """Interactions that started within `[from, to)`, from one snapshot."""

    since: UtcTime
    until: UtcTime
    tz: str
    total: int
    ended: int
    abandoned: int
    abandoned_percent: float
    handled: int
    average_handling_sec: float | None
    by_channel: list[ChannelMetrics]
    by_hour: list[HourVolume]
    by_hour_of_day: list[HourOfDay]


def asked(given_from: str | None, given_to: str | None, zone: tzinfo) -> tuple[datetime, datetime]:
    """The span to look at: the last seven days unless told otherwise.

    Raises:
        Invalid: it cannot be read, is reversed or longer than 93 days.
    """
    since, until = period(given_from, given_to, ("from", "to"), zone)
    try:
        end = until or max(datetime.now(UTC), since or datetime.min.replace(tzinfo=UTC))
        begin = since or end - timedelta(days=DEFAULT_DAYS)
    except OverflowError:
        begin = end
    if end - begin > timedelta(days=MOST_DAYS):
        message = f"Ask for at most {MOST_DAYS} days at once"
        raise Invalid([{"path": "query.from", "message": message, "code": "span_too_long"}])
    return begin, end


async def measure(
    session: AsyncSession, since: datetime, until: datetime, zone: tzinfo, tz: str, *, timeout_ms: int
) -> InteractionMetrics:
    """
    Raises:
        SearchTooBroad: counting took too long.
    """
    handled = col(Interaction.status) == InteractionStatus.COMPLETED
    hour = sa.func.date_trunc("hour", col(Interaction.started_at), tz or "UTC").label("hour")
    statement = (
        sa.select(
            hour,
            col(Interaction.channel).label("channel"),
            col(Interaction.status).label("status"),
            sa.func.count().label("n"),
            sa.func.count(duration_sec).filter(handled).label("handled"),
            sa.func.coalesce(sa.func.sum(duration_sec).filter(handled), 0).label("seconds"),
        )
        .select_from(Interaction)
        .outerjoin(CallDetail, col(CallDetail.interaction_id) == col(Interaction.id))
        .where(col(Interaction.started_at) >= since, col(Interaction.started_at) < until)
        .group_by(sa.text("1, 2, 3"))
    )
    async with bounded(session, searching=True, timeout_ms=timeout_ms):
        rows = [row._mapping for row in (await session.execute(statement)).all()]
    channels = [_channel(rows, channel) for channel in InteractionChannel]
    ended, abandoned = sum(one.ended for one in channels), sum(one.abandoned for one in channels)
    hours = sorted({row["hour"] for row in rows})
    return InteractionMetrics(
        since=since,
        until=until,
        tz=tz or "UTC",
        total=sum(one.total for one in channels),
        ended=ended,
        abandoned=abandoned,
        abandoned_percent=percent(abandoned, ended),
        handled=sum(one.handled for one in channels),
        average_handling_sec=_average(rows),
        by_channel=channels,
        by_hour=[HourVolume(hour=one, **_volume([row for row in rows if row["hour"] == one])) for one in hours],
        by_hour_of_day=_clock(rows, zone),
    )


def _channel(rows: list[Any], channel: InteractionChannel) -> ChannelMetrics:
    own = [row for row in rows if row["channel"] == channel]

    def count(*statuses: str) -> int:
        return sum(row["n"] for row in own if row["status"] in statuses)

    ended, abandoned = count(*ENDED_INTERACTIONS), count(InteractionStatus.ABANDONED)
    return ChannelMetrics(
        channel=channel,
        total=sum(row["n"] for row in own),
        ended=ended,
        completed=count(InteractionStatus.COMPLETED),
        abandoned=abandoned,
        failed=count(InteractionStatus.FAILED),
        abandoned_percent=percent(abandoned, ended),
        handled=sum(row["handled"] for row in own),
        average_handling_sec=_average(own),
    )


def _average(rows: list[Any]) -> float | None:
    handled = sum(row["handled"] for row in rows)
    return round(float(sum(row["seconds"] for row in rows)) / handled, 1) if handled else None


def _volume(rows: list[Any]) -> dict[str, int]:
    counts = {channel.lower(): 0 for channel in InteractionChannel}
    for row in rows:
        counts[row["channel"].lower()] += row["n"]
    return {**counts, "total": sum(counts.values())}


def _clock(rows: list[Any], zone: tzinfo) -> list[HourOfDay]:
    by_hour: dict[int, list[Any]] = {hour: [] for hour in range(24)}
    for row in rows:
        by_hour[row["hour"].astimezone(zone).hour].append(row)
    return [HourOfDay(hour=hour, **_volume(own)) for hour, own in by_hour.items()]
