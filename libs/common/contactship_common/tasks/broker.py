"""The Dramatiq broker, Redis by default and RabbitMQ by URL, with the settings that were measured to matter."""

import dramatiq
import dramatiq.worker
import redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.errors import ConnectionClosed
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from contactship_common.tasks.catalog import QUEUES

# A consumer that lost Redis tries again, and an ack that failed is repeated, after these waits. Dramatiq reads the
# first from the environment at import time and offers no other way; 3 s and 5 s would be our recovery time.
dramatiq.worker.CONSUMER_RESTART_DELAY_SECS = 0.5
dramatiq.worker.POST_PROCESS_MESSAGE_RETRY_DELAY_SECS = 1  # type: ignore[assignment,unused-ignore]

_SEND_SECONDS = 1.5
_AMQP = ("amqp://", "amqps://")


def redis_client(url: str, *, timeout_seconds: float = 5.0, retries: int = 2) -> "redis.Redis":
    """A client with explicit limits: redis-py's own TimeoutError is not the ConnectionError that Dramatiq handles, so
    a time-out must be rare, and a short hiccup is retried here."""
    return redis.Redis.from_url(
        url,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=2,
        health_check_interval=30,
        retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), retries=retries),
        retry_on_error=[redis.ConnectionError, redis.TimeoutError],
    )


def make_broker(url: str, *, middleware: list[dramatiq.Middleware] | None = None) -> dramatiq.Broker:
    """A broker for this URL; without `middleware` it only sends.

    Raises:
        ValueError: the URL is empty or names a scheme we do not speak.
    """
    if not url:
        raise ValueError("REDIS_URL (or REDIS_HOST, or BROKER_URL) is not set")
    if url.startswith(_AMQP):
        return _declared(_rabbitmq(url, middleware or []), sends_only=not middleware)
    if not url.startswith(("redis://", "rediss://", "unix://")):
        scheme = url.split(":", 1)[0]
        raise ValueError(f"BROKER_URL: {scheme!r} is not supported; use redis://, rediss://, amqp:// or amqps://")
    # Who only sends loses nothing by giving up: a lost ring is rung again. A thread that waits for a Redis that hangs
    # would keep the scheduler from stopping.
    client = redis_client(url) if middleware else redis_client(url, timeout_seconds=_SEND_SECONDS, retries=1)
    broker = RedisBroker(client=client, middleware=middleware or [])  # type: ignore[no-untyped-call]
    return _declared(broker, sends_only=not middleware)


def _declared(broker: dramatiq.Broker, *, sends_only: bool) -> dramatiq.Broker:
    """Who only sends may send to every queue; a worker declares its own with its actor."""
    for queue in QUEUES if sends_only else ():
        broker.declare_queue(queue)
    return broker


def _rabbitmq(url: str, middleware: list[dramatiq.Middleware]) -> dramatiq.Broker:
    # Imported where it is used: with Redis nobody pays for pika.
    from contactship_common.tasks.rabbitmq import RabbitmqDoorbell

    return RabbitmqDoorbell(url, middleware=middleware)


def close_sending(broker: dramatiq.Broker) -> None:
    """Close the connections of a broker that only sends. RabbitMQ's end with the process: closing them is a
    conversation with a broker that may hang."""
    if isinstance(broker, RedisBroker):
        broker.client.close()


def messages_waiting(broker: dramatiq.Broker, queue_name: str) -> int:
    """Messages in the broker's queue that no worker has fetched. Blocks on the network: call it in a thread.

    Raises:
        OSError, redis.RedisError: the broker cannot be reached.
    """
    if isinstance(broker, RedisBroker):
        return int(broker.client.llen(f"{broker.namespace}:{queue_name}"))
    if count := getattr(broker, "messages_waiting", None):
        try:
            return int(count(queue_name))
        except ConnectionClosed as error:
            raise ConnectionError("RabbitMQ cannot be reached") from error
    raise TypeError(f"{type(broker).__name__} cannot be asked for its queue length")
