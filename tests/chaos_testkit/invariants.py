"""What must hold after every fault, as questions to the database that find whatever breaks it.

Each question gives a row a violation, in one column that says what is wrong. It sees the tables of Contactship and
these, which `Ledger.lay_out` fills with what clients and vendors know:

    promised (kind, id, key)   what an answer of the API promised; `key` is the e-mail, the text, the event's id …
    model_calls (subject, n)   how often the model was asked about whom
    sms (key, n)               how often the vendor took a text, or a code for a number
    source_calls (n)           how often a source was asked for a page
    excused (code)             reasons for which a task may have failed under this fault
    since (at, paid_once)      when this fault's window began; whether it explains no second call of a model
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import psycopg

Kind = Literal["lost", "double", "stuck"]


@dataclass(frozen=True)
class Invariant:
    """`counts_as`: the column of the table in which a violation is counted."""

    counts_as: Kind
    sentence: str
    sql: str


# A row for every conversation whose summary columns say something else than its messages.
DISAGREEMENTS = """
SELECT c.id FROM conversations c CROSS JOIN LATERAL (
    SELECT count(*)::int AS n, coalesce(max(seq), 0) AS last, max(created_at) AS at,
           coalesce(max(seq) FILTER (WHERE sender_type = 'LEAD'), 0) AS lead,
           coalesce(max(seq) FILTER (WHERE sender_type = 'AGENT'), 0) AS agent,
           count(*) FILTER (WHERE sender_type = 'LEAD' AND read_at IS NULL)::int AS unread,
           (array_agg(sender_type ORDER BY seq DESC))[1] AS sender
      FROM messages m WHERE m.conversation_id = c.id) AS told
 WHERE (c.last_seq, c.last_seq, c.last_message_at, c.last_message_sender_type, c.last_lead_seq, c.last_agent_seq,
        c.unread_count, c.unreplied)
       IS DISTINCT FROM (n, last, at, sender, lead, agent, unread, lead > agent AND c.status <> 'CLOSED')
"""

# Everything that was done and must be audited, once each time.
_EFFECTS = """
SELECT 'lead.create' AS action, id::text AS entity_id FROM leads WHERE source IN ('manual', 'webhook')
UNION ALL SELECT 'lead.summarize', lead_id::text FROM lead_events WHERE type = 'summarized'
UNION ALL SELECT 'conversation.open', id::text FROM conversations
UNION ALL SELECT 'conversation.analyze', subject_id::text FROM tasks
           WHERE kind = 'conversation.analysis' AND result->>'stored' = 'true'
UNION ALL SELECT 'sync.start', id::text FROM sync_jobs
UNION ALL SELECT 'sync.apply', job_id::text FROM sync_pages WHERE applied_at IS NOT NULL
UNION ALL SELECT 'sync.complete', id::text FROM sync_jobs WHERE status = 'completed'
UNION ALL SELECT 'otp.create', id::text FROM otp_challenges
UNION ALL SELECT 'otp.verify', id::text FROM otp_challenges WHERE status = 'VERIFIED'
UNION ALL SELECT 'delivery.send', id::text FROM deliveries WHERE message_id IS NOT NULL
"""
_AUDITED = f"""
SELECT action, entity_id FROM audit_logs WHERE action IN (SELECT action FROM ({_EFFECTS}) AS e)
"""

INVARIANTS: tuple[Invariant, ...] = (
    Invariant("lost", "every lead that was accepted is stored", """
        SELECT p.key FROM promised p LEFT JOIN leads l ON l.id = p.id AND l.email = p.key
         WHERE p.kind = 'lead' AND l.id IS NULL"""),
    Invariant("lost", "every task that was accepted has its row", """
        SELECT p.id FROM promised p LEFT JOIN tasks t ON t.id = p.id WHERE p.kind = 'task' AND t.id IS NULL"""),
    Invariant("lost", "every summary that was accepted is there, or its task says why not", """
        SELECT p.id FROM promised p LEFT JOIN leads l ON l.id = p.id
         WHERE p.kind = 'summary' AND l.summary IS NULL AND NOT EXISTS (
               SELECT FROM tasks t WHERE t.subject_id = p.id AND t.kind = 'lead.summary' AND t.status = 'failed')"""),
    Invariant("lost", "a summary that was there once is not lost again", """
        SELECT id FROM leads WHERE (summary IS NULL OR next_action IS NULL)
           AND id IN (SELECT lead_id FROM lead_events WHERE type = 'summarized')"""),
    Invariant("lost", "every message that was accepted is stored as it was written", """
        SELECT p.key FROM promised p LEFT JOIN messages m ON m.id = p.id AND m.content_text = p.key
         WHERE p.kind = 'message' AND m.id IS NULL"""),
    Invariant("lost", "every webhook that was answered with 200 is a message", """
        SELECT p.key FROM promised p LEFT JOIN messages m ON m.provider_message_id = p.key
         WHERE p.kind = 'webhook' AND m.id IS NULL"""),
    Invariant("lost", "every conversation is analysed up to its last message, or its task says why not", """
        SELECT c.id FROM conversations c WHERE c.analysed_up_to < c.last_seq AND NOT EXISTS (
               SELECT FROM tasks t WHERE t.subject_id = c.id AND t.kind = 'conversation.analysis'
                  AND t.status = 'failed')"""),
    Invariant("lost", "a conversation's columns say what its messages say", DISAGREEMENTS),
    Invariant("lost", "every code that was asked for has its challenge, and what was verified stays verified", """
        SELECT p.key FROM promised p LEFT JOIN otp_challenges c ON c.correlation_id = p.key
         WHERE (p.kind = 'code' AND c.id IS NULL)
            OR (p.kind = 'verified' AND c.status IS DISTINCT FROM 'VERIFIED')"""),
    Invariant("lost", "every SMS that was accepted came to an end, and what is called sent was sent", """
        SELECT coalesce(p.key, d.id::text) FROM deliveries d
          FULL JOIN (SELECT * FROM promised WHERE kind = 'sms') p ON p.id = d.id
          LEFT JOIN messages m ON m.id = d.message_id
         WHERE d.id IS NULL OR d.state NOT IN ('SENT', 'FAILED', 'UNKNOWN')
            OR (d.state = 'SENT' AND NOT EXISTS (SELECT FROM sms WHERE key IN (m.content_text, d.to_number)))"""),
    Invariant("lost", "every run of a source that was accepted is completed", """
        SELECT p.id FROM promised p LEFT JOIN sync_jobs j ON j.id = p.id
         WHERE p.kind = 'sync' AND j.status IS DISTINCT FROM 'completed'"""),
    Invariant("lost", "a run of a source counts the leads that it made, each with its event", """
        SELECT j.id FROM sync_jobs j CROSS JOIN LATERAL (
               SELECT count(*) AS leads, count(l.id) AS stored, coalesce(sum(e.n), 0) AS events FROM sync_job_leads s
                 LEFT JOIN leads l ON l.id = s.lead_id
                 LEFT JOIN LATERAL (SELECT count(*) AS n FROM lead_events v
                                     WHERE v.lead_id = s.lead_id AND v.type = 'synced') e ON true
                WHERE s.job_id = j.id) AS made
         WHERE (j.records_created, j.records_created, j.records_created) IS DISTINCT FROM (leads, stored, events)"""),
    Invariant("lost", "no task failed but for a reason that the fault explains", """
        SELECT kind || ' ' || coalesce(error->>'code', '?') || ' ' || id FROM tasks
         WHERE status = 'failed' AND created_at >= (SELECT at FROM since)
           AND coalesce(error->>'code', '?') NOT IN (SELECT code FROM excused)"""),
    Invariant("lost", "whatever was done is audited", f"{_EFFECTS} EXCEPT ALL {_AUDITED}"),
    Invariant("double", "nothing is audited that was not done", f"{_AUDITED} EXCEPT ALL ({_EFFECTS})"),
    Invariant("double", "every message, webhook and SMS is stored once", """
        SELECT p.key FROM (SELECT DISTINCT key FROM promised WHERE kind IN ('message', 'webhook', 'sms')) p
          JOIN messages m ON m.content_text = p.key GROUP BY 1 HAVING count(*) > 1"""),
    Invariant("double", "a lead has one summary, unless somebody asked for another", """
        SELECT lead_id FROM lead_events WHERE type = 'summarized' AND NOT EXISTS (
               SELECT FROM tasks t WHERE t.subject_id = lead_id AND t.kind = 'lead.summary'
                  AND t.payload->>'force' = 'true')
         GROUP BY 1 HAVING count(*) > 1"""),
    Invariant("double", "a conversation is analysed once up to each message", """
        SELECT subject_id FROM tasks WHERE kind = 'conversation.analysis' AND result->>'stored' = 'true'
         GROUP BY subject_id, result->>'upToSeq' HAVING count(*) > 1"""),
    # A run may ask once, and once more for each call that did not give what was asked for.
    Invariant("double", "the model is not asked more often than runs and their failed calls allow", """
        SELECT c.subject FROM model_calls c JOIN persons p ON lower(p.first_name) = c.subject
          JOIN leads l ON l.person_id = p.id CROSS JOIN LATERAL (
               SELECT coalesce(sum(t.run_no), 0) + coalesce(sum(calls.failed), 0) AS allowed FROM tasks t
                 CROSS JOIN LATERAL (SELECT count(*) AS failed FROM ai_calls a
                                      WHERE a.task_id = t.id AND a.outcome <> 'success') AS calls
                WHERE t.queue = 'ai' AND (t.subject_id = l.id
                   OR t.subject_id IN (SELECT id FROM conversations v WHERE v.lead_id = l.id))) AS runs
         WHERE c.n > runs.allowed"""),
    Invariant("double", "nothing is paid for twice, unless the fault explains it", """
        SELECT c.subject FROM model_calls c JOIN persons p ON lower(p.first_name) = c.subject
          JOIN leads l ON l.person_id = p.id JOIN since ON since.paid_once AND l.created_at >= since.at
         CROSS JOIN LATERAL (SELECT count(*) AS n FROM tasks t WHERE t.queue = 'ai' AND (t.subject_id = l.id
               OR t.subject_id IN (SELECT id FROM conversations v WHERE v.lead_id = l.id))) AS asked
         WHERE c.n > asked.n"""),
    Invariant("double", "the vendor got every message and every code at most once", "SELECT key FROM sms WHERE n > 1"),
    Invariant("double", "a source is not asked more often than runs allow", """
        SELECT n FROM source_calls WHERE n > (SELECT coalesce(sum(run_no), 0) FROM tasks WHERE kind = 'sync.fetch')"""),
    Invariant("double", "no task has more failures than attempts", """
        SELECT id FROM tasks WHERE failures > max_attempts"""),
    Invariant("stuck", "every task has ended and holds nothing", """
        SELECT kind || ' ' || status || ' ' || id FROM tasks WHERE status IN ('queued', 'running')
            OR slot IS NOT NULL OR lease_until IS NOT NULL OR finished_at IS NULL"""),
    Invariant("stuck", "every webhook has been understood", """
        SELECT key FROM webhook_inbox WHERE handled_at IS NULL OR error IS NOT NULL"""),
    Invariant("stuck", "no run of a source goes on without a task", """
        SELECT id FROM sync_jobs WHERE status NOT IN ('completed', 'failed')"""),
)  # fmt: skip

_TABLES = """
CREATE TEMP TABLE promised (kind text, id uuid, key text);
CREATE TEMP TABLE model_calls (subject text, n int);
CREATE TEMP TABLE sms (key text, n int);
CREATE TEMP TABLE source_calls (n int);
CREATE TEMP TABLE excused (code text);
CREATE TEMP TABLE since (at timestamptz, paid_once boolean);
"""


_EVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class Ledger:
    """What clients were promised and vendors counted. `promised` holds (kind, id, key)."""

    promised: list[tuple[str, str | None, str]] = field(default_factory=list)
    model_calls: Mapping[str, int] = field(default_factory=dict)
    sms: Mapping[str, int] = field(default_factory=dict)
    source_calls: int = 0
    excused: Iterable[str] = ()
    since: datetime = _EVER
    paid_once: bool = False

    def lay_out(self, connection: "psycopg.Connection[Any]") -> None:
        """Make and fill the tables that the invariants read, for as long as the connection lives."""
        connection.execute(_TABLES)
        with connection.cursor() as cursor:
            for table, rows in (
                ("promised", [*self.promised]),
                ("model_calls", self.model_calls.items()),
                ("sms", self.sms.items()),
                ("source_calls", [(self.source_calls,)]),
                ("excused", [(code,) for code in self.excused]),
                ("since", [(self.since, self.paid_once)]),
            ):
                with cursor.copy(f"COPY {table} FROM STDIN".encode()) as copy:
                    for row in rows:
                        copy.write_row(row)
        connection.execute("ANALYZE promised, model_calls, sms")


@dataclass(frozen=True)
class Violation:
    invariant: Invariant
    what: str

    def __str__(self) -> str:
        return f"{self.invariant.counts_as}: not so that {self.invariant.sentence}: {self.what}"


def violations(url: str, ledger: Ledger, *, first: str = "") -> list[Violation]:
    """Whatever breaks an invariant in the database at this address. Nothing is left there; `first` is a statement to
    be done before and taken back afterwards."""
    found = []
    with psycopg.connect(url) as connection:
        if first:
            connection.execute(first.encode())
        ledger.lay_out(connection)
        for invariant in INVARIANTS:
            rows = connection.execute(invariant.sql.encode()).fetchall()
            found += [Violation(invariant, " ".join(map(str, row))) for row in rows]
        connection.rollback()
    return found
