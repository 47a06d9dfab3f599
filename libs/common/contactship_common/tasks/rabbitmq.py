"""RabbitMQ as the doorbell: Dramatiq's broker with one sending connection a process and bounded waits.

Messages are wake-ups that the dispatcher repeats, so they are not written to disk; what matters is that a lost one is
noticed, and that a broker that hangs holds nobody up for long.
"""

import contextlib
import logging
import threading
from types import SimpleNamespace
from typing import Any

import dramatiq
import pika
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.errors import ConnectionClosed
from pika.adapters.utils.connection_workflow import AMQPConnectorException
from pika.exceptions import AMQPChannelError, AMQPConnectionError, ChannelClosedByBroker, UnroutableError

_HEARTBEAT_SECONDS = 5  # pika takes a server for dead that is silent for this long and 5 s more
_CONNECT_SECONDS = 2.0
_BLOCKED_SECONDS = 2.0  # a broker short of memory or disk stops its senders
_TRIES = 2  # the first may find a connection that has ended since it was last used
_NOT_FOUND = 404

# It logs each failure several times, with tracebacks; who called it logs one line.
logging.getLogger("pika").setLevel(logging.CRITICAL)


class RabbitmqDoorbell(RabbitmqBroker):
    """Sends by one connection that all threads take turns on, kept alive by a thread of its own. Consumers have
    connections of theirs. Whatever the network does ends as `dramatiq.errors.ConnectionClosed`.

    Raises:
        ValueError: the URL cannot be read; its text, which holds a password, is not repeated.
    """

    def __init__(self, url: str, *, middleware: list[dramatiq.Middleware]) -> None:
        try:
            # Without confirmations a message to a queue or connection that is gone would be lost in silence.
            super().__init__(url=url, confirm_delivery=True, middleware=middleware)
        except Exception as error:  # pika raises what its parsing happens to run into
            raise ValueError(f"BROKER_URL is no valid amqp:// address ({type(error).__name__})") from None
        for parameters in self.parameters if isinstance(self.parameters, list) else [self.parameters]:
            _bound(parameters, url)
        # Dramatiq's connection is one a thread; the dispatcher and the health checks come from a pool of threads, and
        # a connection whose thread is idle misses its heartbeats.
        self.state = SimpleNamespace()  # type: ignore[assignment]
        self._turn = threading.RLock()
        self._closing = threading.Event()
        self._keeper: threading.Thread | None = None

    def enqueue(self, message: "dramatiq.Message[Any]", *, delay: int | None = None) -> "dramatiq.Message[Any]":
        """Send, and wait until the broker has it.

        Raises:
            ConnectionClosed: it was not taken.
        """
        if delay is not None:
            raise ValueError("delays are kept in the tasks table")
        with self._turn:
            for last in (False,) * (_TRIES - 1) + (True,):
                try:
                    self.declare_queue(message.queue_name, ensure=True)
                    self.channel.basic_publish(
                        exchange="",
                        routing_key=message.queue_name,
                        body=message.encode(),
                        properties=pika.BasicProperties(delivery_mode=pika.DeliveryMode.Transient.value),
                        mandatory=True,
                    )
                    return message
                except (AMQPConnectionError, AMQPChannelError) as error:
                    del self.connection
                    if isinstance(error, UnroutableError):
                        self.queues_pending.add(message.queue_name)
                    if last:
                        raise _closed(error) from None
        raise AssertionError("unreachable")

    def messages_waiting(self, queue_name: str) -> int:
        """Messages that no worker has fetched.

        Raises:
            ConnectionClosed: the broker cannot be asked.
        """
        with self._turn:
            for last in (False,) * (_TRIES - 1) + (True,):
                try:
                    self.declare_queue(queue_name, ensure=True)
                    return int(self.channel.queue_declare(queue_name, passive=True).method.message_count)
                except (AMQPConnectionError, AMQPChannelError) as error:
                    if isinstance(error, ChannelClosedByBroker) and error.reply_code == _NOT_FOUND:
                        self.queues_pending.add(queue_name)  # somebody deleted it
                    del self.connection
                    if last:
                        raise _closed(error) from None
        raise AssertionError("unreachable")

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> dramatiq.Consumer:
        """A consumer of this queue, on a connection of its own."""
        with self._turn:
            self.declare_queue(queue_name, ensure=True)
        try:
            consumer: dramatiq.Consumer = self.consumer_class(self, queue_name, prefetch, timeout)
        except (OSError, AMQPConnectorException) as error:
            raise _closed(error) from None
        return consumer

    def close(self) -> None:
        """End all sending."""
        self._closing.set()
        with self._turn:
            super().close()

    @property
    def connection(self) -> Any:
        """The sending connection; opened at its first use."""
        connection = getattr(self.state, "connection", None)
        if connection is None:
            try:
                connection = pika.BlockingConnection(self.parameters)
            except Exception as error:  # sockets, names, certificates, and pika's own time limits
                raise AMQPConnectionError(error) from None
            self.state.connection = connection
            self.connections.add(connection)
            if self._keeper is None:
                self._keeper = threading.Thread(target=self._keep_alive, name="rabbitmq-heartbeat", daemon=True)
                self._keeper.start()
        return connection

    @connection.deleter
    def connection(self) -> None:
        with contextlib.suppress(Exception):  # it is given up because it failed; it may fail at closing, too
            RabbitmqBroker.connection.fdel(self)  # type: ignore[attr-defined]

    def _keep_alive(self) -> None:
        """Answer heartbeats while nobody sends."""
        while not self._closing.wait(_HEARTBEAT_SECONDS / 4):
            if not self._turn.acquire(blocking=False):
                continue
            try:
                connection = getattr(self.state, "connection", None)
                if connection is not None:
                    connection.process_data_events(time_limit=0)
            except Exception:  # closed by the server: the next sender opens another
                del self.connection
            finally:
                self._turn.release()


def _closed(error: Exception) -> ConnectionClosed:
    return ConnectionClosed(error)  # type: ignore[no-untyped-call]


def _bound(parameters: Any, url: str) -> None:
    """Limits for whatever may take long, where the URL does not set its own."""
    limits = {
        "heartbeat": _HEARTBEAT_SECONDS,
        "socket_timeout": _CONNECT_SECONDS,
        "stack_timeout": 2 * _CONNECT_SECONDS,
        "blocked_connection_timeout": _BLOCKED_SECONDS,
    }
    for name, value in limits.items():
        if f"{name}=" not in url:
            setattr(parameters, name, value)
