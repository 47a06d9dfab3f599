"""Callbacks, outbound deliveries and their attempts.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "outbound_deliveries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("endpoint_id", sa.Uuid(), nullable=True),
        sa.Column("url", sa.String(length=2048), nullable=False),
        sa.Column("event_type", sa.String(length=100), nullable=False),
        sa.Column("payload", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("status IN ('pending', 'succeeded', 'failed')", name=op.f("ck_outbound_deliveries_status")),
        sa.ForeignKeyConstraint(
            ["task_id"], ["tasks.id"], name=op.f("fk_outbound_deliveries_task_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbound_deliveries")),
    )
    op.create_index(op.f("ix_outbound_deliveries_created_at"), "outbound_deliveries", ["created_at"], unique=False)
    op.create_index("ix_outbound_deliveries_endpoint", "outbound_deliveries", ["endpoint_id", "id"], unique=False)
    op.create_index(
        "ix_outbound_deliveries_finished_at",
        "outbound_deliveries",
        ["finished_at"],
        unique=False,
        postgresql_where=sa.text("finished_at IS NOT NULL"),
    )
    op.create_index(op.f("ix_outbound_deliveries_task_id"), "outbound_deliveries", ["task_id"], unique=False)
    op.create_table(
        "task_callbacks",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("url", sa.String(length=2048), nullable=False),
        sa.Column("requested_by", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("fk_task_callbacks_task_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task_callbacks")),
    )
    op.create_index("uq_task_callbacks_task_id_url", "task_callbacks", ["task_id", "url"], unique=True)
    op.create_table(
        "outbound_attempts",
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=True),
        sa.Column("status_code", sa.Integer(), nullable=True),
        sa.Column("error", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(
            ["delivery_id"],
            ["outbound_deliveries.id"],
            name=op.f("fk_outbound_attempts_delivery_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("delivery_id", "number", name=op.f("pk_outbound_attempts")),
    )


def downgrade() -> None:
    op.drop_table("outbound_attempts")
    op.drop_index("uq_task_callbacks_task_id_url", table_name="task_callbacks")
    op.drop_table("task_callbacks")
    op.drop_index(op.f("ix_outbound_deliveries_task_id"), table_name="outbound_deliveries")
    op.drop_index(
        "ix_outbound_deliveries_finished_at",
        table_name="outbound_deliveries",
        postgresql_where=sa.text("finished_at IS NOT NULL"),
    )
    op.drop_index("ix_outbound_deliveries_endpoint", table_name="outbound_deliveries")
    op.drop_index(op.f("ix_outbound_deliveries_created_at"), table_name="outbound_deliveries")
    op.drop_table("outbound_deliveries")
