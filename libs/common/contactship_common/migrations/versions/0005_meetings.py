"""Clients, sellers, meetings, what is said about them, and feedback on models.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ai_feedback",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subject_type", sa.String(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("field", sa.String(length=64), nullable=True),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("corrected_value", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("has_correction", sa.Boolean(), nullable=False),
        sa.Column("model_value", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("provider", sa.String(), nullable=True),
        sa.Column("model", sa.String(), nullable=True),
        sa.Column("prompt", sa.String(), nullable=True),
        sa.Column("prompt_version", sa.String(), nullable=True),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "subject_type IN ('meeting', 'lead', 'conversation')", name=op.f("ck_ai_feedback_subject_type")
        ),
        sa.CheckConstraint("verdict IN ('correct', 'wrong')", name=op.f("ck_ai_feedback_verdict")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ai_feedback")),
    )
    op.create_index(op.f("ix_ai_feedback_created_at"), "ai_feedback", ["created_at"], unique=False)
    op.create_index(
        "ix_ai_feedback_subject", "ai_feedback", ["subject_id", "subject_type", "field", "id"], unique=False
    )
    op.create_table(
        "seeded_meetings",
        sa.Column("key", sa.String(length=100), nullable=False),
        sa.Column("meeting_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_seeded_meetings")),
    )
    op.create_table(
        "sellers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("email", sa.String(length=255), nullable=False),
        sa.Column("phone", sa.String(length=50), nullable=True),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("prompt", sa.String(length=2000), nullable=True),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("search_text", sa.String(), nullable=False),
        sa.Column("name_sort", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("email = lower(btrim(email))", name=op.f("ck_sellers_email_normalised")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_sellers_user_id"), ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sellers")),
    )
    op.create_index("ix_sellers_created_at", "sellers", ["created_at", "id"], unique=False)
    op.create_index("ix_sellers_name_sort", "sellers", ["name_sort", "id"], unique=False)
    op.create_index(op.f("ix_sellers_user_id"), "sellers", ["user_id"], unique=False)
    op.create_index("uq_sellers_email", "sellers", ["email"], unique=True)
    op.create_table(
        "clients",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("email", sa.String(length=255), nullable=True),
        sa.Column("phone", sa.String(length=50), nullable=True),
        sa.Column("phone_e164", sa.String(length=20), nullable=True),
        sa.Column("company", sa.String(length=255), nullable=True),
        sa.Column("lead_id", sa.Uuid(), nullable=True),
        sa.Column("search_text", sa.String(), nullable=False),
        sa.Column("name_sort", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("email = lower(btrim(email))", name=op.f("ck_clients_email_normalised")),
        sa.ForeignKeyConstraint(["lead_id"], ["leads.id"], name=op.f("fk_clients_lead_id"), ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_clients")),
    )
    op.create_index("ix_clients_created_at", "clients", ["created_at", "id"], unique=False)
    op.create_index(op.f("ix_clients_lead_id"), "clients", ["lead_id"], unique=False)
    op.create_index("ix_clients_name_sort", "clients", ["name_sort", "id"], unique=False)
    op.create_index("ix_clients_phone_e164", "clients", ["phone_e164"], unique=False)
    op.create_index("uq_clients_email", "clients", ["email"], unique=True)
    op.create_table(
        "meetings",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("client_id", sa.Uuid(), nullable=False),
        sa.Column("seller_id", sa.Uuid(), nullable=False),
        sa.Column("meeting_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("duration_minutes", sa.Integer(), nullable=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("transcript", sa.String(), nullable=True),
        sa.Column("transcript_changed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("status IN ('open', 'closed', 'cancelled')", name=op.f("ck_meetings_status")),
        sa.CheckConstraint("duration_minutes BETWEEN 1 AND 1440", name=op.f("ck_meetings_duration_minutes")),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name=op.f("fk_meetings_client_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["seller_id"], ["sellers.id"], name=op.f("fk_meetings_seller_id"), ondelete="RESTRICT"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_meetings")),
    )
    op.create_index("ix_meetings_client_id", "meetings", ["client_id", "meeting_at", "id"], unique=False)
    op.create_index("ix_meetings_created_at", "meetings", ["created_at", "id"], unique=False)
    op.create_index("ix_meetings_meeting_at", "meetings", ["meeting_at", "id"], unique=False)
    op.create_index("ix_meetings_seller_id", "meetings", ["seller_id", "meeting_at", "id"], unique=False)
    op.create_table(
        "meeting_classifications",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("meeting_id", sa.Uuid(), nullable=False),
        sa.Column("is_current", sa.Boolean(), nullable=False),
        sa.Column("labels", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("urgency", sa.Boolean(), nullable=False),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("lost_client_bad_meeting", sa.Boolean(), nullable=False),
        sa.Column("sentiment", sa.String(), nullable=False),
        sa.Column("confidence_score", sa.Numeric(precision=3, scale=2), nullable=False),
        sa.Column("key_topics", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("action_items", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("next_steps", sa.String(), nullable=False),
        sa.Column("summary", sa.String(), nullable=False),
        sa.Column("answer", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("corrected_fields", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("model_used", sa.String(), nullable=False),
        sa.Column("prompt_version", sa.String(), nullable=False),
        sa.Column("transcript_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("processed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("processing_time_ms", sa.Integer(), nullable=False),
        sa.CheckConstraint("language IN ('es', 'en')", name=op.f("ck_meeting_classifications_language")),
        sa.CheckConstraint(
            "sentiment IN ('positive', 'neutral', 'negative')", name=op.f("ck_meeting_classifications_sentiment")
        ),
        sa.CheckConstraint(
            "confidence_score BETWEEN 0.1 AND 0.95", name=op.f("ck_meeting_classifications_confidence_score")
        ),
        sa.ForeignKeyConstraint(
            ["meeting_id"], ["meetings.id"], name=op.f("fk_meeting_classifications_meeting_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_meeting_classifications")),
    )
    op.create_index(
        "ix_meeting_classifications_labels",
        "meeting_classifications",
        ["labels"],
        unique=False,
        postgresql_using="gin",
        postgresql_ops={"labels": "jsonb_path_ops"},
        postgresql_where=sa.text("is_current"),
    )
    op.create_index(
        "ix_meeting_classifications_meeting_id", "meeting_classifications", ["meeting_id", "id"], unique=False
    )
    op.create_index(
        "ix_meeting_classifications_processed_at",
        "meeting_classifications",
        ["processed_at", "id"],
        unique=False,
        postgresql_where=sa.text("is_current"),
    )
    op.create_index(
        "uq_meeting_classifications_current",
        "meeting_classifications",
        ["meeting_id"],
        unique=True,
        postgresql_where=sa.text("is_current"),
    )


def downgrade() -> None:
    op.drop_index(
        "uq_meeting_classifications_current",
        table_name="meeting_classifications",
        postgresql_where=sa.text("is_current"),
    )
    op.drop_index(
        "ix_meeting_classifications_processed_at",
        table_name="meeting_classifications",
        postgresql_where=sa.text("is_current"),
    )
    op.drop_index("ix_meeting_classifications_meeting_id", table_name="meeting_classifications")
    op.drop_index(
        "ix_meeting_classifications_labels",
        table_name="meeting_classifications",
        postgresql_using="gin",
        postgresql_ops={"labels": "jsonb_path_ops"},
        postgresql_where=sa.text("is_current"),
    )
    op.drop_table("meeting_classifications")
    op.drop_index("ix_meetings_seller_id", table_name="meetings")
    op.drop_index("ix_meetings_meeting_at", table_name="meetings")
    op.drop_index("ix_meetings_created_at", table_name="meetings")
    op.drop_index("ix_meetings_client_id", table_name="meetings")
    op.drop_table("meetings")
    op.drop_index("uq_clients_email", table_name="clients")
    op.drop_index("ix_clients_phone_e164", table_name="clients")
    op.drop_index("ix_clients_name_sort", table_name="clients")
    op.drop_index(op.f("ix_clients_lead_id"), table_name="clients")
    op.drop_index("ix_clients_created_at", table_name="clients")
    op.drop_table("clients")
    op.drop_index("uq_sellers_email", table_name="sellers")
    op.drop_index(op.f("ix_sellers_user_id"), table_name="sellers")
    op.drop_index("ix_sellers_name_sort", table_name="sellers")
    op.drop_index("ix_sellers_created_at", table_name="sellers")
    op.drop_table("sellers")
    op.drop_table("seeded_meetings")
    op.drop_index("ix_ai_feedback_subject", table_name="ai_feedback")
    op.drop_index(op.f("ix_ai_feedback_created_at"), table_name="ai_feedback")
    op.drop_table("ai_feedback")
