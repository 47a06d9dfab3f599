"""Each invariant finds what it is there for: a sound database, broken in one way at a time."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from chaos_testkit import INVARIANTS, Ledger, violations

from contactship_devstack.template import TemplateDatabase, on_server

LEAD, PERSON, CONVERSATION, MESSAGE, SMS_MESSAGE = (f"00000000-0000-7000-8000-00000000000{n}" for n in range(1, 6))
SUMMARY, ANALYSIS, SEND, FETCH = (f"00000000-0000-7000-8000-00000000001{n}" for n in range(1, 5))
DELIVERY, CHALLENGE, JOB, SYNCED, PAGE, CALL = (f"00000000-0000-7000-8000-00000000002{n}" for n in range(1, 7))
INBOX, ELSE = "00000000-0000-7000-8000-000000000031", "00000000-0000-7000-8000-0000000000ff"

_TASK = """
INSERT INTO tasks (id, kind, queue, priority, payload, subject_id, status, holds, rerun, run_no, failures, max_attempts,
                   result, finished_at)
VALUES ('{id}', '{kind}', '{queue}', 100, '{{}}', '{subject}', 'succeeded', 'ended', false, 1, 0, 3, '{result}', now());
"""
_AUDIT = (
    "INSERT INTO audit_logs (id, actor, action, entity_id, data) VALUES (gen_random_uuid(), 'ai', '{}', '{}', '{{}}');"
)

SOUND = "".join([
    f"INSERT INTO persons (id, first_name, last_name) VALUES ('{PERSON}', 'lead-1', 'x'), ('{ELSE}', 'Ana', 'x');",
    f"""INSERT INTO leads (id, person_id, email, source, status, version, search_text, name_sort, summary, next_action)
        VALUES ('{LEAD}', '{PERSON}', 'a@example.com', 'manual', 'new', 1, '', '', 'Ana', 'Call'),
               ('{SYNCED}', '{ELSE}', 'b@example.com', 'external_api', 'new', 1, '', '', NULL, NULL);""",
    f"""INSERT INTO lead_events (id, lead_id, type, data)
        VALUES (gen_random_uuid(), '{LEAD}', 'summarized', '{{}}'), (gen_random_uuid(), '{SYNCED}', 'synced', '{{}}');""",
    f"""INSERT INTO conversations (id, lead_id, channel, status, last_seq, last_lead_seq, last_agent_seq, unread_count,
               ai_tags, analysed_up_to, last_message_at, last_message_sender_type)
        VALUES ('{CONVERSATION}', '{LEAD}', 'web', 'OPEN', 2, 1, 2, 1, '{{}}', 2, '2026-01-02T00:00:00Z', 'AGENT');""",
    f"""INSERT INTO messages (id, conversation_id, seq, sender_type, content_text, content_type, status, created_at,
               provider, provider_message_id)
        VALUES ('{MESSAGE}', '{CONVERSATION}', 1, 'LEAD', 'Hola', 'TEXT', 'SENT', '2026-01-01T00:00:00Z', 'x', 'wa-1'),
               ('{SMS_MESSAGE}', '{CONVERSATION}', 2, 'AGENT', 'sms 1', 'TEXT', 'SENT', '2026-01-02T00:00:00Z', NULL,
                NULL);""",
    f"""INSERT INTO deliveries (id, message_id, channel, to_number, state, provider_rank)
        VALUES ('{DELIVERY}', '{SMS_MESSAGE}', 'SMS', '+5491155551234', 'SENT', 0);""",
    f"""INSERT INTO otp_challenges (id, phone_e164, purpose, nonce, expires_at, status, correlation_id, requested_by)
        VALUES ('{CHALLENGE}', '+5491155551234', 'LOGIN_2FA', '', now(), 'VERIFIED', 'login-1', 'x');""",
    f"""INSERT INTO sync_jobs (id, source, status, batch_size, records_processed, records_created, records_skipped,
               records_failed, errors) VALUES ('{JOB}', 'crm', 'completed', 10, 1, 1, 0, 0, '[]');""",
    f"INSERT INTO sync_job_leads (job_id, lead_id) VALUES ('{JOB}', '{SYNCED}');",
    f"INSERT INTO sync_pages (id, job_id, number, applied_at) VALUES ('{PAGE}', '{JOB}', 1, now());",
    f"""INSERT INTO webhook_inbox (id, provider, kind, key, headers, query, attempts, handled_at)
        VALUES ('{INBOX}', 'builderbot', 'whatsapp', 'wa-1', '{{}}', '{{}}', 1, now());""",
    f"""INSERT INTO ai_calls (id, task_id, kind, provider, model, prompt, prompt_version, outcome, input_tokens,
               output_tokens, cost_micro_usd, latency_ms)
        VALUES ('{CALL}', '{SUMMARY}', 'lead.summary', 'openai', 'm', 'p', '1', 'success', 0, 0, 0, 0);""",
    _TASK.format(id=SUMMARY, kind="lead.summary", queue="ai", subject=LEAD, result="{}"),
    _TASK.format(
        id=ANALYSIS, kind="conversation.analysis", queue="ai", subject=CONVERSATION,
        result='{"stored": true, "upToSeq": 2}',
    ),
    _TASK.format(id=SEND, kind="delivery.send", queue="delivery", subject=DELIVERY, result="{}"),
    _TASK.format(id=FETCH, kind="sync.fetch", queue="sync", subject=JOB, result="{}"),
    *(
        _AUDIT.format(action, subject)
        for action, subject in (
            ("lead.create", LEAD), ("lead.summarize", LEAD), ("conversation.open", CONVERSATION),
            ("conversation.analyze", CONVERSATION), ("sync.start", JOB), ("sync.apply", JOB), ("sync.complete", JOB),
            ("otp.create", CHALLENGE), ("otp.verify", CHALLENGE), ("delivery.send", DELIVERY),
        )
    ),
])  # fmt: skip


def ledger() -> Ledger:
    return Ledger(
        promised=[
            ("lead", LEAD, "a@example.com"), ("task", SUMMARY, ""), ("summary", LEAD, ""), ("message", MESSAGE, "Hola"),
            ("webhook", None, "wa-1"), ("code", None, "login-1"), ("verified", None, "login-1"),
            ("sms", DELIVERY, "sms 1"), ("sync", JOB, ""),
        ],
        # The summary and the analysis of the same lead.
        model_calls={"lead-1": 2},
        sms={"sms 1": 1, "+5491155551234": 1},
        source_calls=1,
    )  # fmt: skip


_NOT_AUDITED = "ALTER TABLE audit_logs DISABLE TRIGGER USER; DELETE FROM audit_logs WHERE action = 'lead.create'"
_FAILED = f"UPDATE tasks SET status = 'failed', error = '{{\"code\": \"internal_error\"}}' WHERE id = '{SUMMARY}'"
_ONE_MORE_MESSAGE = f"""
INSERT INTO messages (id, conversation_id, seq, sender_type, content_text, content_type, status, created_at)
VALUES ('{ELSE}', '{CONVERSATION}', 3, 'LEAD', 'Hola', 'TEXT', 'SENT', '2026-01-03T00:00:00Z')
"""
_SUMMARISED_AGAIN = (
    f"INSERT INTO lead_events (id, lead_id, type, data) VALUES ('{ELSE}', '{LEAD}', 'summarized', '{{}}')"
)
_ANALYSED_AGAIN = _TASK.format(
    id=ELSE, kind="conversation.analysis", queue="ai", subject=CONVERSATION, result='{"stored": true, "upToSeq": 2}'
)

# What the invariant says (the beginning of its sentence): how that is made untrue, in the database or for the vendors.
BROKEN: list[tuple[str, str | dict[str, Any]]] = [
    ("every lead that was accepted", f"DELETE FROM leads WHERE id = '{LEAD}'"),
    ("every lead that was accepted", f"UPDATE leads SET email = 'other@example.com' WHERE id = '{LEAD}'"),
    ("every task that was accepted", f"DELETE FROM tasks WHERE id = '{SUMMARY}'"),
    ("every summary that was accepted", f"UPDATE leads SET summary = NULL WHERE id = '{LEAD}'"),
    ("a summary that was there once", f"UPDATE leads SET next_action = NULL WHERE id = '{LEAD}'"),
    ("every message that was accepted", f"UPDATE messages SET content_text = 'Other' WHERE id = '{MESSAGE}'"),
    ("every webhook that was answered", f"UPDATE messages SET provider_message_id = NULL WHERE id = '{MESSAGE}'"),
    ("every conversation is analysed", "UPDATE conversations SET analysed_up_to = 1"),
    ("a conversation's columns", "UPDATE conversations SET unread_count = 0"),
    ("every code that was asked for", "DELETE FROM otp_challenges"),
    ("every code that was asked for", "UPDATE otp_challenges SET status = 'SENT'"),
    ("every SMS that was accepted", "UPDATE deliveries SET state = 'SENDING'"),
    ("every SMS that was accepted", "DELETE FROM deliveries"),
    ("every SMS that was accepted", {"sms": {}}),
    ("every run of a source that was accepted", "UPDATE sync_jobs SET status = 'failed'"),
    ("a run of a source counts", "UPDATE sync_jobs SET records_created = 2, records_processed = 2"),
    ("a run of a source counts", "DELETE FROM lead_events WHERE type = 'synced'"),
    ("no task failed", _FAILED),
    ("whatever was done is audited", _NOT_AUDITED),
    ("nothing is audited that was not done", _AUDIT.format("sync.apply", JOB)),
    ("every message, webhook and SMS", _ONE_MORE_MESSAGE),
    ("a lead has one summary", _SUMMARISED_AGAIN),
    ("a conversation is analysed once", _ANALYSED_AGAIN),
    ("the model is not asked more often", {"model_calls": {"lead-1": 3}}),
    ("nothing is paid for twice", {"model_calls": {"lead-1": 3}, "paid_once": True}),
    ("the vendor got every message", {"sms": {"sms 1": 2}}),
    ("a source is not asked more often", {"source_calls": 2}),
    ("no task has more failures", "UPDATE tasks SET failures = max_attempts + 1"),
    ("every task has ended", f"UPDATE tasks SET status = 'running', finished_at = NULL WHERE id = '{SEND}'"),
    ("every task has ended", f"UPDATE tasks SET slot = 'held' WHERE id = '{SEND}'"),
    ("every webhook has been understood", "UPDATE webhook_inbox SET handled_at = NULL"),
    ("every webhook has been understood", "UPDATE webhook_inbox SET error = '{}'"),
    ("no run of a source goes on", "UPDATE sync_jobs SET status = 'in_progress'"),
]  # fmt: skip


@pytest.fixture(scope="module")
def sound(postgres_admin: psycopg.Connection, postgres_url: str, template_database: TemplateDatabase) -> Iterator[str]:
    """A database in which everything is as it should be."""
    name = "chaos_invariants"
    postgres_admin.execute(f'DROP DATABASE IF EXISTS "{name}"'.encode())
    postgres_admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template_database.name}"'.encode())
    url = on_server(postgres_url, name)
    with psycopg.connect(url) as connection:
        connection.execute(SOUND.encode())
    yield url
    postgres_admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


def found(url: str, told: Ledger, breaking: str = "") -> set[str]:
    """The sentences that are not true after this statement, which is taken back."""
    return {violation.invariant.sentence for violation in violations(url, told, first=breaking)}


def test_a_sound_database_has_no_violation(sound: str) -> None:
    assert [str(violation) for violation in violations(sound, ledger())] == []


@pytest.mark.parametrize(("sentence", "breaking"), BROKEN, ids=range(len(BROKEN)))
def test_what_is_broken_is_found(sound: str, sentence: str, breaking: str | dict[str, Any]) -> None:
    told = ledger()
    if isinstance(breaking, dict):
        for name, value in breaking.items():
            setattr(told, name, value)
        sentences = found(sound, told)
    else:
        sentences = found(sound, told, breaking)
    assert any(one.startswith(sentence) for one in sentences), sentences


def test_every_invariant_can_fail() -> None:
    assert [
        invariant.sentence
        for invariant in INVARIANTS
        if not any(invariant.sentence.startswith(sentence) for sentence, _ in BROKEN)
    ] == []


def test_a_failure_that_the_fault_explains_is_excused(sound: str) -> None:
    told = ledger()
    told.excused = ["internal_error"]
    assert found(sound, told, _FAILED) == set()
