# ruff: noqa: S608  (only words of this file are put together)
"""What the KPIs are read from, kept by triggers on meetings and their classifications.

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# Parallel writers of the same meetings take their rows here in the same order.
FOLLOW_MEETINGS = """
CREATE FUNCTION kpi_meeting_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO kpi_meetings (meeting_id, client_id, seller_id, meeting_at, status, duration_minutes)
    SELECT id, client_id, seller_id, meeting_at, status, duration_minutes FROM new_rows ORDER BY id;
    RETURN NULL;
END $$;

CREATE FUNCTION kpi_meeting_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM kpi_meetings k JOIN new_rows n ON n.id = k.meeting_id
      WHERE (k.client_id, k.seller_id, k.meeting_at, k.status, k.duration_minutes)
            IS DISTINCT FROM (n.client_id, n.seller_id, n.meeting_at, n.status, n.duration_minutes)
      ORDER BY k.meeting_id FOR UPDATE OF k;
    IF FOUND THEN
        UPDATE kpi_meetings k
           SET client_id = n.client_id, seller_id = n.seller_id, meeting_at = n.meeting_at, status = n.status,
               duration_minutes = n.duration_minutes
          FROM new_rows n
         WHERE n.id = k.meeting_id
           AND (k.client_id, k.seller_id, k.meeting_at, k.status, k.duration_minutes)
               IS DISTINCT FROM (n.client_id, n.seller_id, n.meeting_at, n.status, n.duration_minutes);
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION kpi_meeting_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM kpi_meetings k JOIN old_rows o ON o.id = k.meeting_id ORDER BY k.meeting_id FOR UPDATE OF k;
    DELETE FROM kpi_meetings k USING old_rows o WHERE o.id = k.meeting_id;
    RETURN NULL;
END $$;

CREATE FUNCTION kpi_meetings_emptied() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    TRUNCATE kpi_meetings, kpi_slots, kpi_seller_days, kpi_label_days;
    RETURN NULL;
END $$;

CREATE TRIGGER kpi_added AFTER INSERT ON meetings REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION kpi_meeting_added();
CREATE TRIGGER kpi_changed AFTER UPDATE ON meetings REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION kpi_meeting_changed();
CREATE TRIGGER kpi_deleted AFTER DELETE ON meetings REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION kpi_meeting_deleted();
CREATE TRIGGER kpi_emptied AFTER TRUNCATE ON meetings
    FOR EACH STATEMENT EXECUTE FUNCTION kpi_meetings_emptied();
"""

SET_CURRENT = """
    PERFORM FROM kpi_meetings k JOIN new_rows n ON n.meeting_id = k.meeting_id
      WHERE n.is_current ORDER BY k.meeting_id FOR UPDATE OF k;
    UPDATE kpi_meetings k
       SET classification_id = n.id, sentiment = n.sentiment, confidence = n.confidence_score * 100, labels = n.labels
      FROM new_rows n
     WHERE n.meeting_id = k.meeting_id AND n.is_current
       AND (k.classification_id, k.sentiment, k.confidence, k.labels)
           IS DISTINCT FROM (n.id, n.sentiment, (n.confidence_score * 100)::integer, n.labels);
"""
# By its id, so that what has taken its place already stays.
FORGET_CURRENT = """
    PERFORM FROM kpi_meetings k JOIN old_rows o ON o.meeting_id = k.meeting_id
      WHERE o.is_current{gone} ORDER BY k.meeting_id FOR UPDATE OF k;
    UPDATE kpi_meetings k
       SET classification_id = NULL, sentiment = NULL, confidence = NULL, labels = NULL
      FROM old_rows o
     WHERE o.meeting_id = k.meeting_id AND o.is_current AND k.classification_id = o.id{gone};
"""
NO_LONGER = (
    " AND NOT EXISTS (SELECT FROM new_rows n WHERE n.id = o.id AND n.meeting_id = o.meeting_id AND n.is_current)"
)

FOLLOW_CLASSIFICATIONS = f"""
CREATE FUNCTION kpi_classification_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    {SET_CURRENT}
    RETURN NULL;
END $$;

CREATE FUNCTION kpi_classification_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    {FORGET_CURRENT.format(gone=NO_LONGER)}
    {SET_CURRENT}
    RETURN NULL;
END $$;

CREATE FUNCTION kpi_classification_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    {FORGET_CURRENT.format(gone="")}
    RETURN NULL;
END $$;

CREATE FUNCTION kpi_classifications_emptied() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE kpi_meetings SET classification_id = NULL, sentiment = NULL, confidence = NULL, labels = NULL
     WHERE classification_id IS NOT NULL;
    RETURN NULL;
END $$;

CREATE TRIGGER kpi_added AFTER INSERT ON meeting_classifications REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION kpi_classification_added();
CREATE TRIGGER kpi_changed AFTER UPDATE ON meeting_classifications
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION kpi_classification_changed();
CREATE TRIGGER kpi_deleted AFTER DELETE ON meeting_classifications REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION kpi_classification_deleted();
CREATE TRIGGER kpi_emptied AFTER TRUNCATE ON meeting_classifications
    FOR EACH STATEMENT EXECUTE FUNCTION kpi_classifications_emptied();
"""


def sums(name: str, rows: str) -> str:
    """A trigger's function that appends to all three sums what `rows` (kpi_meetings with a sign) change in them."""
    return f"""
CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO kpi_slots (slot, total, closed, cancelled, timed, minutes)
    SELECT * FROM (
        SELECT date_bin('15 minutes', meeting_at, 'epoch'), sum(sign) AS total,
               sum(sign * (status = 'closed')::int) AS closed, sum(sign * (status = 'cancelled')::int) AS cancelled,
               sum(sign * (duration_minutes IS NOT NULL)::int) AS timed,
               sum(sign * coalesce(duration_minutes, 0)) AS minutes
          FROM ({rows}) AS changed GROUP BY 1) AS sums
     WHERE (total, closed, cancelled, timed, minutes) <> (0, 0, 0, 0, 0);

    INSERT INTO kpi_seller_days (day, seller_id, total, closed, timed, minutes, classified, positive, confidence)
    SELECT * FROM (
        SELECT (meeting_at AT TIME ZONE 'UTC')::date, seller_id, sum(sign) AS total,
               sum(sign * (status = 'closed')::int) AS closed,
               sum(sign * (duration_minutes IS NOT NULL)::int) AS timed,
               sum(sign * coalesce(duration_minutes, 0)) AS minutes,
               sum(sign * (classification_id IS NOT NULL)::int) AS classified,
               sum(sign * coalesce(sentiment = 'positive', false)::int) AS positive,
               sum(sign * coalesce(confidence, 0)) AS confidence
          FROM ({rows}) AS changed GROUP BY 1, 2) AS sums
     WHERE (total, closed, timed, minutes, classified, positive, confidence) <> (0, 0, 0, 0, 0, 0, 0);

    INSERT INTO kpi_label_days (day, category, value, meetings)
    SELECT (meeting_at AT TIME ZONE 'UTC')::date, label.key, label.value, sum(sign)
      FROM ({rows}) AS changed, jsonb_each_text(labels) AS label
     WHERE label.value IS NOT NULL
     GROUP BY 1, 2, 3 HAVING sum(sign) <> 0;
    RETURN NULL;
END $$;
"""


ADDED = "SELECT 1 AS sign, * FROM new_rows"
GONE = "SELECT -1 AS sign, * FROM old_rows"
SUM = (
    sums("kpi_sum_added", ADDED)
    + sums("kpi_sum_gone", GONE)
    + sums("kpi_sum_changed", f"{ADDED} UNION ALL {GONE}")
    + """
CREATE TRIGGER sum_added AFTER INSERT ON kpi_meetings REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION kpi_sum_added();
CREATE TRIGGER sum_changed AFTER UPDATE ON kpi_meetings REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION kpi_sum_changed();
CREATE TRIGGER sum_gone AFTER DELETE ON kpi_meetings REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION kpi_sum_gone();
"""
)


def fold(table: str, key: str, columns: str) -> str:
    """Joins the rows of a key into one; deletes only rows it saw, so others may append and fold meanwhile."""
    summed = ", ".join(f"sum({column})" for column in columns.split(", "))
    nothing = ", ".join("0" for _ in columns.split(", "))
    return f"""
    WITH several AS (SELECT {key} FROM {table} GROUP BY {key} HAVING count(*) > 1),
         gone AS (DELETE FROM {table} USING several WHERE ({key_of(table, key)}) = ({key_of("several", key)})
                  RETURNING {table}.*),
         kept AS (INSERT INTO {table} ({key}, {columns})
                  SELECT {key}, {summed} FROM gone GROUP BY {key} HAVING ROW({summed}) <> ROW({nothing}) RETURNING 1)
    SELECT folded + (SELECT count(*) FROM gone) - (SELECT count(*) FROM kept) INTO folded;
"""


def key_of(table: str, key: str) -> str:
    return ", ".join(f"{table}.{column}" for column in key.split(", "))


KEEP = f"""
CREATE FUNCTION kpi_fold() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE folded bigint := 0;
BEGIN
    {fold("kpi_slots", "slot", "total, closed, cancelled, timed, minutes")}
    {fold("kpi_seller_days", "day, seller_id", "total, closed, timed, minutes, classified, positive, confidence")}
    {fold("kpi_label_days", "day, category, value", "meetings")}
    RETURN folded;
END $$;

CREATE FUNCTION kpi_rebuild() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    LOCK TABLE meetings, meeting_classifications IN SHARE MODE;
    TRUNCATE kpi_meetings, kpi_slots, kpi_seller_days, kpi_label_days;
    INSERT INTO kpi_meetings (meeting_id, client_id, seller_id, meeting_at, status, duration_minutes,
                              classification_id, sentiment, confidence, labels)
    SELECT m.id, m.client_id, m.seller_id, m.meeting_at, m.status, m.duration_minutes,
           c.id, c.sentiment, c.confidence_score * 100, c.labels
      FROM meetings m LEFT JOIN meeting_classifications c ON c.meeting_id = m.id AND c.is_current
     ORDER BY m.meeting_at;
END $$;

SELECT kpi_rebuild();
"""

FUNCTIONS = (
    "kpi_meeting_added", "kpi_meeting_changed", "kpi_meeting_deleted", "kpi_meetings_emptied",
    "kpi_classification_added", "kpi_classification_changed", "kpi_classification_deleted",
    "kpi_classifications_emptied", "kpi_sum_added", "kpi_sum_gone", "kpi_sum_changed", "kpi_fold", "kpi_rebuild",
)  # fmt: skip


def _row_number() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False)


def _counts(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.Integer(), nullable=False) for name in names]


def upgrade() -> None:
    op.create_table(
        "kpi_meetings",
        sa.Column("meeting_id", sa.Uuid(), nullable=False),
        sa.Column("client_id", sa.Uuid(), nullable=False),
        sa.Column("seller_id", sa.Uuid(), nullable=False),
        sa.Column("meeting_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("duration_minutes", sa.Integer(), nullable=True),
        sa.Column("classification_id", sa.Uuid(), nullable=True),
        sa.Column("sentiment", sa.String(), nullable=True),
        sa.Column("confidence", sa.Integer(), nullable=True),
        sa.Column("labels", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.PrimaryKeyConstraint("meeting_id", name=op.f("pk_kpi_meetings")),
    )
    op.create_index(
        "ix_kpi_meetings_client", "kpi_meetings", ["client_id", "meeting_at"], postgresql_include=["sentiment"]
    )
    op.create_index(
        "ix_kpi_meetings_meeting_at",
        "kpi_meetings",
        ["meeting_at"],
        postgresql_include=["seller_id", "client_id", "status", "duration_minutes", "sentiment", "confidence"],
    )
    op.create_index(
        "ix_kpi_meetings_seller",
        "kpi_meetings",
        ["seller_id", "meeting_at"],
        postgresql_include=["client_id", "status", "duration_minutes", "sentiment"],
    )
    op.create_table(
        "kpi_slots",
        _row_number(),
        sa.Column("slot", sa.DateTime(timezone=True), nullable=False),
        *_counts("total", "closed", "cancelled", "timed", "minutes"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_kpi_slots")),
    )
    op.create_table(
        "kpi_seller_days",
        _row_number(),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("seller_id", sa.Uuid(), nullable=False),
        *_counts("total", "closed", "timed", "minutes", "classified", "positive", "confidence"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_kpi_seller_days")),
    )
    op.create_table(
        "kpi_label_days",
        _row_number(),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("category", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        *_counts("meetings"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_kpi_label_days")),
    )
    for statements in (FOLLOW_MEETINGS, FOLLOW_CLASSIFICATIONS, SUM, KEEP):
        op.execute(sa.text(statements.replace(":", r"\:")))


def downgrade() -> None:
    for table in ("meetings", "meeting_classifications"):
        for trigger in ("kpi_added", "kpi_changed", "kpi_deleted", "kpi_emptied"):
            op.execute(f"DROP TRIGGER {trigger} ON {table}")
    for table in ("kpi_label_days", "kpi_seller_days", "kpi_slots", "kpi_meetings"):
        op.drop_table(table)
    for function in FUNCTIONS:
        op.execute(f"DROP FUNCTION {function}()")
