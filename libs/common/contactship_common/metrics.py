"""Prometheus metrics, all declared here so that their names and labels can be read in one place."""

from prometheus_client import Counter, Gauge, Histogram

HTTP_REQUESTS = Counter("contactship_http_requests_total", "Requests answered", ["method", "route", "status"])
HTTP_SECONDS = Histogram(
    "contactship_http_request_seconds",
    "Time to answer",
    ["method", "route"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
TASKS_ENDED = Counter("contactship_task_runs_total", "Runs of tasks by how they ended", ["kind", "outcome"])
TASK_SECONDS = Histogram(
    "contactship_task_run_seconds",
    "Time from claim to record",
    ["kind"],
    buckets=(0.005, 0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 120),
)
TASKS_RUNNING = Gauge("contactship_tasks_running", "Tasks running in this process")
RINGS = Counter("contactship_task_rings_total", "Messages sent to wake workers", ["queue", "result"])
DISPATCHED = Counter("contactship_dispatcher_tasks_total", "Tasks the dispatcher touched", ["action"])
DISPATCHER_LAG = Gauge("contactship_dispatcher_lag_seconds", "How long the oldest due task of all queues has waited")
QUEUE_DEPTH = Gauge("contactship_queue_depth", "Tasks due and waiting", ["queue"])
QUEUE_OLDEST = Gauge("contactship_queue_oldest_seconds", "How long the oldest due task has waited", ["queue"])
LIVE_WORKERS = Gauge("contactship_live_workers", "Worker processes heard of in the last 30 s", ["queue"])
INBOX_WAITING = Gauge("contactship_inbox_waiting", "Stored webhooks whose effects have not been recorded")
INBOX_FAILED = Gauge("contactship_inbox_failed", "Those of them that could not be understood and wait for a replay")
INBOX_OLDEST = Gauge("contactship_inbox_oldest_seconds", "How long the oldest of the others has waited")
DATABASE_UP = Gauge("contactship_database_up", "1 if the scheduler's last question to PostgreSQL was answered")
REDIS_UP = Gauge("contactship_redis_up", "1 if the scheduler's last ping to Redis was answered")
BROKER_UP = Gauge("contactship_broker_up", "1 if the broker told the dispatcher its queue lengths at the last tick")
CACHE = Counter("contactship_cache_reads_total", "Cached reads", ["result"])
CACHE_FORGET_FAILED = Counter(
    "contactship_cache_forget_failed_total",
    "Invalidations that Redis did not take at once: an old value may live until it does, at most the TTL",
)
REDIS_FAILED = Counter("contactship_redis_failures_total", "Redis calls that failed or were skipped", ["use"])
RATE_LIMIT_OPEN = Counter("contactship_rate_limit_passed_total", "Requests let through because Redis was away")
AI_CALLS = Counter("contactship_ai_calls_total", "Calls to language models", ["provider", "model", "outcome"])
AI_TOKENS = Counter("contactship_ai_tokens_total", "Tokens", ["provider", "model", "direction"])
AI_COST = Counter("contactship_ai_cost_micro_usd_total", "Cost of model calls in micro-USD", ["provider", "model"])
AI_BUDGET_REACHED = Gauge(
    "contactship_ai_budget_reached", "1 while today's AI_DAILY_BUDGET_USD is used up and paid calls wait"
)
AI_BUDGET_HELD = Counter("contactship_ai_budget_held_total", "Calls to paid models not made for want of budget")
AI_CIRCUIT_OPEN = Gauge(
    "contactship_ai_circuit_open", "1 while a provider is not asked because it failed or refused our key", ["provider"]
)
OUTBOUND = Counter(
    "contactship_outbound_attempts_total",
    "Attempts to deliver callbacks and outbound webhooks: delivered, will be tried again, given up",
    ["outcome"],
)
ENDPOINTS_DISABLED = Counter(
    "contactship_webhook_endpoints_disabled_total", "Endpoints disabled for failing or being gone", ["reason"]
)
SOCKETS = Gauge("contactship_sockets", "Connected Socket.IO clients of this process")
SOCKET_EVENTS = Counter("contactship_socket_events_total", "Events from Socket.IO clients", ["event", "outcome"])
