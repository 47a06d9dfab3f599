"""Indexes of a lead's history, meetings by status, unread messages and what queues have done.

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index(op.f("ix_lead_events_lead_id"), table_name="lead_events")
    op.create_index("ix_lead_events_created_at", "lead_events", ["lead_id", "created_at", "id"], unique=False)
    op.create_index("ix_meetings_status", "meetings", ["status", "meeting_at", "id"], unique=False)
    op.create_index(
        "ix_messages_unread",
        "messages",
        ["conversation_id"],
        unique=False,
        postgresql_where=sa.text("sender_type = 'LEAD' AND read_at IS NULL"),
    )
    op.drop_index("ix_tasks_finished_at", table_name="tasks")
    op.create_index(
        "ix_tasks_finished_at",
        "tasks",
        ["finished_at"],
        unique=False,
        postgresql_include=["queue", "status"],
        postgresql_where=sa.text("finished_at IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_tasks_finished_at", table_name="tasks")
    op.create_index(
        "ix_tasks_finished_at",
        "tasks",
        ["finished_at"],
        unique=False,
        postgresql_where=sa.text("finished_at IS NOT NULL"),
    )
    op.drop_index(
        "ix_messages_unread",
        table_name="messages",
        postgresql_where=sa.text("sender_type = 'LEAD' AND read_at IS NULL"),
    )
    op.drop_index("ix_meetings_status", table_name="meetings")
    op.drop_index("ix_lead_events_created_at", table_name="lead_events")
    op.create_index(op.f("ix_lead_events_lead_id"), "lead_events", ["lead_id", "id"], unique=False)
