"""Conversations and their messages.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


# Searching the words of messages; without the extension it scans, within the search's time limit.
_TRIGRAMS = """
DO $$ BEGIN
    IF EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'pg_trgm') THEN
        CREATE INDEX ix_messages_content_text_trgm ON messages USING gin (content_text gin_trgm_ops);
    END IF;
END $$
"""


def upgrade() -> None:
    op.create_table(
        "conversations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("lead_id", sa.Uuid(), nullable=False),
        sa.Column("assigned_agent_id", sa.Uuid(), nullable=True),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("last_seq", sa.Integer(), nullable=False),
        sa.Column("last_message_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_message_sender_type", sa.String(), nullable=True),
        sa.Column("last_lead_seq", sa.Integer(), nullable=False),
        sa.Column("last_agent_seq", sa.Integer(), nullable=False),
        sa.Column("last_agent_reply_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("unread_count", sa.Integer(), nullable=False),
        sa.Column(
            "unreplied",
            sa.Boolean(),
            sa.Computed("last_lead_seq > last_agent_seq AND status <> 'CLOSED'", persisted=True),
            nullable=False,
        ),
        sa.Column(
            "activity_at",
            sa.DateTime(timezone=True),
            sa.Computed("coalesce(last_message_at, to_timestamp(0))", persisted=True),
            nullable=False,
        ),
        sa.Column("ai_summary", sa.String(length=200), nullable=True),
        sa.Column("ai_priority", sa.String(), nullable=True),
        sa.Column("ai_tags", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("ai_updated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("analysed_up_to", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("ai_priority IN ('HIGH', 'MEDIUM', 'LOW')", name=op.f("ck_conversations_ai_priority")),
        sa.CheckConstraint("channel IN ('web', 'whatsapp', 'sms', 'email')", name=op.f("ck_conversations_channel")),
        sa.CheckConstraint("status IN ('OPEN', 'PENDING', 'CLOSED')", name=op.f("ck_conversations_status")),
        sa.ForeignKeyConstraint(
            ["assigned_agent_id"], ["users.id"], name=op.f("fk_conversations_assigned_agent_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["lead_id"], ["leads.id"], name=op.f("fk_conversations_lead_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_conversations")),
    )
    op.create_index("ix_conversations_activity_at", "conversations", ["activity_at", "id"], unique=False)
    op.create_index("ix_conversations_ai_priority", "conversations", ["ai_priority", "activity_at", "id"], unique=False)
    op.create_index("ix_conversations_channel", "conversations", ["channel", "activity_at", "id"], unique=False)
    op.create_index("ix_conversations_ai_tags", "conversations", ["ai_tags"], unique=False, postgresql_using="gin")
    op.create_index(
        "ix_conversations_assigned_agent_id", "conversations", ["assigned_agent_id", "activity_at", "id"], unique=False
    )
    op.create_index("ix_conversations_lead_id", "conversations", ["lead_id", "id"], unique=False)
    op.create_index("ix_conversations_status", "conversations", ["status", "activity_at", "id"], unique=False)
    op.create_index(
        "ix_conversations_unreplied",
        "conversations",
        ["activity_at", "id"],
        unique=False,
        postgresql_where=sa.text("unreplied"),
    )
    op.create_index(
        "uq_conversations_open",
        "conversations",
        ["lead_id", "channel"],
        unique=True,
        postgresql_where=sa.text("status IN ('OPEN', 'PENDING')"),
    )
    op.create_table(
        "messages",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("sender_type", sa.String(), nullable=False),
        sa.Column("sender_user_id", sa.Uuid(), nullable=True),
        sa.Column("content_text", sa.String(), nullable=True),
        sa.Column("content_type", sa.String(), nullable=False),
        sa.Column("media_url", sa.String(length=2048), nullable=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("error_code", sa.String(length=64), nullable=True),
        sa.Column("error_message", sa.String(length=500), nullable=True),
        sa.Column("provider", sa.String(length=32), nullable=True),
        sa.Column("provider_message_id", sa.String(length=255), nullable=True),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "content_type IN ('TEXT', 'IMAGE', 'FILE', 'AUDIO', 'VIDEO')", name=op.f("ck_messages_content_type")
        ),
        sa.CheckConstraint("sender_type IN ('LEAD', 'AGENT', 'SYSTEM')", name=op.f("ck_messages_sender_type")),
        sa.CheckConstraint(
            "status IN ('PENDING', 'SENT', 'DELIVERED', 'READ', 'FAILED')", name=op.f("ck_messages_status")
        ),
        sa.ForeignKeyConstraint(
            ["conversation_id"], ["conversations.id"], name=op.f("fk_messages_conversation_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["sender_user_id"], ["users.id"], name=op.f("fk_messages_sender_user_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_messages")),
    )
    op.create_index(op.f("ix_messages_sender_user_id"), "messages", ["sender_user_id"], unique=False)
    op.create_index(
        "uq_messages_provider_message_id",
        "messages",
        ["provider", "provider_message_id"],
        unique=True,
        postgresql_where=sa.text("provider_message_id IS NOT NULL"),
    )
    op.create_index("ix_messages_created_at", "messages", ["conversation_id", "created_at", "id"], unique=False)
    op.create_index("uq_messages_seq", "messages", ["conversation_id", "seq"], unique=True)
    op.execute(_TRIGRAMS)


def downgrade() -> None:
    op.drop_index("uq_messages_seq", table_name="messages")
    op.drop_index("ix_messages_created_at", table_name="messages")
    op.drop_index(
        "uq_messages_provider_message_id",
        table_name="messages",
        postgresql_where=sa.text("provider_message_id IS NOT NULL"),
    )
    op.drop_index(op.f("ix_messages_sender_user_id"), table_name="messages")
    op.drop_table("messages")
    op.drop_index(
        "uq_conversations_open", table_name="conversations", postgresql_where=sa.text("status IN ('OPEN', 'PENDING')")
    )
    op.drop_index("ix_conversations_unreplied", table_name="conversations", postgresql_where=sa.text("unreplied"))
    op.drop_index("ix_conversations_status", table_name="conversations")
    op.drop_index("ix_conversations_lead_id", table_name="conversations")
    op.drop_index("ix_conversations_assigned_agent_id", table_name="conversations")
    op.drop_index("ix_conversations_channel", table_name="conversations")
    op.drop_index("ix_conversations_ai_tags", table_name="conversations", postgresql_using="gin")
    op.drop_index("ix_conversations_ai_priority", table_name="conversations")
    op.drop_index("ix_conversations_activity_at", table_name="conversations")
    op.drop_table("conversations")
