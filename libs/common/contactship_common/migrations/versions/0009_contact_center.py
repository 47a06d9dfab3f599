"""Interactions, deliveries, one-time codes, the webhook inbox and webhook endpoints.

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "otp_limits",
        sa.Column("phone_e164", sa.String(length=20), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("window_started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("sent", sa.Integer(), nullable=False),
        sa.Column("wrong", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "purpose IN ('PASSWORD_RESET', 'TX_CONFIRMATION', 'IDENTITY_VERIFICATION', 'LOGIN_2FA')",
            name=op.f("ck_otp_limits_purpose"),
        ),
        sa.PrimaryKeyConstraint("phone_e164", "purpose", name=op.f("pk_otp_limits")),
    )
    op.create_index(
        "ix_outbound_deliveries_not_succeeded",
        "outbound_deliveries",
        ["endpoint_id", "id"],
        unique=False,
        postgresql_where=sa.text("status IN ('pending', 'failed')"),
    )
    op.create_table(
        "webhook_endpoints",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("url", sa.String(length=2048), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=True),
        sa.Column("events", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("secret", sa.String(length=255), nullable=False),
        sa.Column("previous_secret", sa.String(length=255), nullable=True),
        sa.Column("previous_secret_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("disabled_reason", sa.String(length=64), nullable=True),
        sa.Column("created_by", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_endpoints")),
    )
    op.create_table(
        "webhook_inbox",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("provider", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("key", sa.String(length=512), nullable=False),
        sa.Column("headers", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("query", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("content_type", sa.String(length=255), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("error", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("request_id", sa.String(), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("handled_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_inbox")),
    )
    op.create_index(
        "ix_webhook_inbox_handled_at",
        "webhook_inbox",
        ["handled_at"],
        unique=False,
        postgresql_where=sa.text("handled_at IS NOT NULL"),
    )
    op.create_index("ix_webhook_inbox_provider", "webhook_inbox", ["provider", "id"], unique=False)
    op.create_index(
        "ix_webhook_inbox_unhandled",
        "webhook_inbox",
        ["id"],
        unique=False,
        postgresql_where=sa.text("handled_at IS NULL"),
    )
    op.create_index("uq_webhook_inbox_key", "webhook_inbox", ["provider", "key"], unique=True)
    op.create_table(
        "interactions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("direction", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("from_number", sa.String(length=255), nullable=True),
        sa.Column("to_number", sa.String(length=255), nullable=True),
        sa.Column("customer_phone", sa.String(length=20), nullable=True),
        sa.Column("customer_ref", sa.String(length=255), nullable=True),
        sa.Column("queue", sa.String(length=255), nullable=True),
        sa.Column("assigned_agent", sa.String(length=255), nullable=True),
        sa.Column("ai_handled", sa.Boolean(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.Column("intent", sa.String(length=500), nullable=True),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("provider_conversation_id", sa.String(length=255), nullable=True),
        sa.Column("lead_id", sa.Uuid(), nullable=True),
        sa.Column("conversation_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("channel IN ('CALL', 'WHATSAPP', 'SMS')", name=op.f("ck_interactions_channel")),
        sa.CheckConstraint("direction IN ('INBOUND', 'OUTBOUND')", name=op.f("ck_interactions_direction")),
        sa.CheckConstraint(
            "outcome IN ('RESOLVED', 'ESCALATED', 'TICKETED', 'TRANSFERRED', 'UNKNOWN')",
            name=op.f("ck_interactions_outcome"),
        ),
        sa.CheckConstraint(
            "provider IN ('ELEVENLABS', 'BUILDERBOT', 'TWILIO', 'GENERIC')", name=op.f("ck_interactions_provider")
        ),
        sa.CheckConstraint(
            "status IN ('NEW', 'IN_PROGRESS', 'COMPLETED', 'ABANDONED', 'FAILED')", name=op.f("ck_interactions_status")
        ),
        sa.ForeignKeyConstraint(
            ["conversation_id"], ["conversations.id"], name=op.f("fk_interactions_conversation_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["lead_id"], ["leads.id"], name=op.f("fk_interactions_lead_id"), ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_interactions")),
    )
    op.create_index(
        "ix_interactions_assigned_agent", "interactions", ["assigned_agent", "started_at", "id"], unique=False
    )
    op.create_index("ix_interactions_channel", "interactions", ["channel", "started_at", "id"], unique=False)
    op.create_index(
        "ix_interactions_conversation_id", "interactions", ["conversation_id", "started_at", "id"], unique=False
    )
    op.create_index(
        "ix_interactions_customer_phone", "interactions", ["customer_phone", "started_at", "id"], unique=False
    )
    op.create_index("ix_interactions_from_number", "interactions", ["from_number", "started_at", "id"], unique=False)
    op.create_index("ix_interactions_lead_id", "interactions", ["lead_id", "started_at", "id"], unique=False)
    op.create_index("ix_interactions_started_at", "interactions", ["started_at", "id"], unique=False)
    op.create_index("ix_interactions_status", "interactions", ["status", "started_at", "id"], unique=False)
    op.create_index("ix_interactions_to_number", "interactions", ["to_number", "started_at", "id"], unique=False)
    op.create_index(
        "uq_interactions_provider_conversation_id",
        "interactions",
        ["provider", "provider_conversation_id"],
        unique=True,
        postgresql_where=sa.text("provider_conversation_id IS NOT NULL"),
    )
    op.create_index(
        "uq_interactions_running",
        "interactions",
        ["conversation_id"],
        unique=True,
        postgresql_where=sa.text("conversation_id IS NOT NULL AND status IN ('NEW', 'IN_PROGRESS')"),
    )
    op.create_table(
        "call_details",
        sa.Column("interaction_id", sa.Uuid(), nullable=False),
        sa.Column("recording_url", sa.String(length=2048), nullable=True),
        sa.Column("transcript_text", sa.String(), nullable=True),
        sa.Column("transcript_id", sa.String(length=255), nullable=True),
        sa.Column("summary", sa.String(), nullable=True),
        sa.Column("duration_sec", sa.Integer(), nullable=True),
        sa.Column("hangup_reason", sa.String(length=255), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["interaction_id"], ["interactions.id"], name=op.f("fk_call_details_interaction_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("interaction_id", name=op.f("pk_call_details")),
    )
    op.create_table(
        "interaction_events",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("interaction_id", sa.Uuid(), nullable=False),
        sa.Column("type", sa.String(length=100), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("provider_event_id", sa.String(length=255), nullable=True),
        sa.Column("idempotency_key", sa.String(length=512), nullable=False),
        sa.Column("raw", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("normalized", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "provider IN ('ELEVENLABS', 'BUILDERBOT', 'TWILIO', 'GENERIC')", name=op.f("ck_interaction_events_provider")
        ),
        sa.ForeignKeyConstraint(
            ["interaction_id"],
            ["interactions.id"],
            name=op.f("fk_interaction_events_interaction_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_interaction_events")),
    )
    op.create_index(
        "ix_interaction_events_interaction_id", "interaction_events", ["interaction_id", "id"], unique=False
    )
    op.create_index("uq_interaction_events_idempotency_key", "interaction_events", ["idempotency_key"], unique=True)
    op.create_table(
        "otp_challenges",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("phone_e164", sa.String(length=20), nullable=False),
        sa.Column("phone_prefix", sa.String(), sa.Computed("left(phone_e164, -4)", persisted=True), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("nonce", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("correlation_id", sa.String(length=255), nullable=False),
        sa.Column("requested_by", sa.String(), nullable=False),
        sa.Column("interaction_id", sa.Uuid(), nullable=True),
        sa.Column("verified_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "purpose IN ('PASSWORD_RESET', 'TX_CONFIRMATION', 'IDENTITY_VERIFICATION', 'LOGIN_2FA')",
            name=op.f("ck_otp_challenges_purpose"),
        ),
        sa.CheckConstraint(
            "status IN ('PENDING', 'SENT', 'VERIFIED', 'EXPIRED', 'LOCKED', 'FAILED')",
            name=op.f("ck_otp_challenges_status"),
        ),
        sa.ForeignKeyConstraint(
            ["interaction_id"], ["interactions.id"], name=op.f("fk_otp_challenges_interaction_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_otp_challenges")),
    )
    op.create_index("ix_otp_challenges_interaction_id", "otp_challenges", ["interaction_id"], unique=False)
    op.create_index("ix_otp_challenges_phone", "otp_challenges", ["phone_e164", "created_at"], unique=False)
    op.create_index("ix_otp_challenges_phone_prefix", "otp_challenges", ["phone_prefix", "created_at"], unique=False)
    op.create_index("uq_otp_challenges_correlation_id", "otp_challenges", ["correlation_id"], unique=True)
    op.create_index(
        "uq_otp_challenges_live",
        "otp_challenges",
        ["phone_e164", "purpose"],
        unique=True,
        postgresql_where=sa.text("status IN ('PENDING', 'SENT')"),
    )
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=True),
        sa.Column("otp_challenge_id", sa.Uuid(), nullable=True),
        sa.Column("interaction_id", sa.Uuid(), nullable=True),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("to_number", sa.String(length=20), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("provider", sa.String(), nullable=True),
        sa.Column("provider_message_id", sa.String(length=255), nullable=True),
        sa.Column("provider_status", sa.String(length=32), nullable=True),
        sa.Column("provider_rank", sa.Integer(), nullable=False),
        sa.Column("error_code", sa.String(length=64), nullable=True),
        sa.Column("error_message", sa.String(length=500), nullable=True),
        sa.Column("requested_by", sa.String(), nullable=True),
        sa.Column("task_id", sa.Uuid(), nullable=True),
        sa.Column("sending_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "provider IN ('ELEVENLABS', 'BUILDERBOT', 'TWILIO', 'GENERIC')", name=op.f("ck_deliveries_provider")
        ),
        sa.CheckConstraint(
            "state IN ('PENDING', 'SENDING', 'SENT', 'DELIVERED', 'READ', 'FAILED', 'UNKNOWN')",
            name=op.f("ck_deliveries_state"),
        ),
        sa.CheckConstraint("num_nonnulls(message_id, otp_challenge_id) = 1", name=op.f("ck_deliveries_one_subject")),
        sa.ForeignKeyConstraint(
            ["interaction_id"], ["interactions.id"], name=op.f("fk_deliveries_interaction_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["message_id"], ["messages.id"], name=op.f("fk_deliveries_message_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["otp_challenge_id"], ["otp_challenges.id"], name=op.f("fk_deliveries_otp_challenge_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
    )
    op.create_index("ix_deliveries_interaction_id", "deliveries", ["interaction_id", "id"], unique=False)
    op.create_index("ix_deliveries_message_id", "deliveries", ["message_id", "id"], unique=False)
    op.create_index("ix_deliveries_otp_challenge_id", "deliveries", ["otp_challenge_id", "id"], unique=False)
    op.create_index(
        "uq_deliveries_provider_message_id",
        "deliveries",
        ["provider", "provider_message_id"],
        unique=True,
        postgresql_where=sa.text("provider_message_id IS NOT NULL"),
    )
    op.create_index(
        "uq_deliveries_running_message",
        "deliveries",
        ["message_id"],
        unique=True,
        postgresql_where=sa.text("message_id IS NOT NULL AND state IN ('PENDING', 'SENDING')"),
    )
    op.add_column("messages", sa.Column("interaction_id", sa.Uuid(), nullable=True))
    op.create_index(op.f("ix_messages_interaction_id"), "messages", ["interaction_id"], unique=False)
    op.create_foreign_key(
        op.f("fk_messages_interaction_id"), "messages", "interactions", ["interaction_id"], ["id"], ondelete="SET NULL"
    )


def downgrade() -> None:
    op.drop_constraint(op.f("fk_messages_interaction_id"), "messages", type_="foreignkey")
    op.drop_index(op.f("ix_messages_interaction_id"), table_name="messages")
    op.drop_column("messages", "interaction_id")
    op.drop_index(
        "uq_deliveries_running_message",
        table_name="deliveries",
        postgresql_where=sa.text("message_id IS NOT NULL AND state IN ('PENDING', 'SENDING')"),
    )
    op.drop_index(
        "uq_deliveries_provider_message_id",
        table_name="deliveries",
        postgresql_where=sa.text("provider_message_id IS NOT NULL"),
    )
    op.drop_index("ix_deliveries_otp_challenge_id", table_name="deliveries")
    op.drop_index("ix_deliveries_message_id", table_name="deliveries")
    op.drop_index("ix_deliveries_interaction_id", table_name="deliveries")
    op.drop_table("deliveries")
    op.drop_index(
        "uq_otp_challenges_live", table_name="otp_challenges", postgresql_where=sa.text("status IN ('PENDING', 'SENT')")
    )
    op.drop_index("uq_otp_challenges_correlation_id", table_name="otp_challenges")
    op.drop_index("ix_otp_challenges_phone_prefix", table_name="otp_challenges")
    op.drop_index("ix_otp_challenges_phone", table_name="otp_challenges")
    op.drop_index("ix_otp_challenges_interaction_id", table_name="otp_challenges")
    op.drop_table("otp_challenges")
    op.drop_index("uq_interaction_events_idempotency_key", table_name="interaction_events")
    op.drop_index("ix_interaction_events_interaction_id", table_name="interaction_events")
    op.drop_table("interaction_events")
    op.drop_table("call_details")
    op.drop_index(
        "uq_interactions_running",
        table_name="interactions",
        postgresql_where=sa.text("conversation_id IS NOT NULL AND status IN ('NEW', 'IN_PROGRESS')"),
    )
    op.drop_index(
        "uq_interactions_provider_conversation_id",
        table_name="interactions",
        postgresql_where=sa.text("provider_conversation_id IS NOT NULL"),
    )
    op.drop_index("ix_interactions_to_number", table_name="interactions")
    op.drop_index("ix_interactions_status", table_name="interactions")
    op.drop_index("ix_interactions_started_at", table_name="interactions")
    op.drop_index("ix_interactions_lead_id", table_name="interactions")
    op.drop_index("ix_interactions_from_number", table_name="interactions")
    op.drop_index("ix_interactions_customer_phone", table_name="interactions")
    op.drop_index("ix_interactions_conversation_id", table_name="interactions")
    op.drop_index("ix_interactions_channel", table_name="interactions")
    op.drop_index("ix_interactions_assigned_agent", table_name="interactions")
    op.drop_table("interactions")
    op.drop_index("uq_webhook_inbox_key", table_name="webhook_inbox")
    op.drop_index(
        "ix_webhook_inbox_unhandled", table_name="webhook_inbox", postgresql_where=sa.text("handled_at IS NULL")
    )
    op.drop_index("ix_webhook_inbox_provider", table_name="webhook_inbox")
    op.drop_index(
        "ix_webhook_inbox_handled_at", table_name="webhook_inbox", postgresql_where=sa.text("handled_at IS NOT NULL")
    )
    op.drop_table("webhook_inbox")
    op.drop_table("webhook_endpoints")
    op.drop_index(
        "ix_outbound_deliveries_not_succeeded",
        table_name="outbound_deliveries",
        postgresql_where=sa.text("status IN ('pending', 'failed')"),
    )
    op.drop_table("otp_limits")
