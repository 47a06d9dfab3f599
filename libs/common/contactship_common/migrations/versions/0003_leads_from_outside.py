"""Leads from outside: sync jobs, imports, merged leads.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "lead_imports",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=True),
        sa.Column("file_name", sa.String(length=255), nullable=True),
        sa.Column("bytes_total", sa.Integer(), nullable=False),
        sa.Column("encoding", sa.String(length=40), nullable=False),
        sa.Column("delimiter", sa.String(length=1), nullable=False),
        sa.Column("mapping", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("next_row", sa.Integer(), nullable=False),
        sa.Column("records_processed", sa.Integer(), nullable=False),
        sa.Column("records_created", sa.Integer(), nullable=False),
        sa.Column("records_skipped", sa.Integer(), nullable=False),
        sa.Column("records_failed", sa.Integer(), nullable=False),
        sa.Column("requested_by", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "records_processed = records_created + records_skipped + records_failed",
            name=op.f("ck_lead_imports_counters_add_up"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lead_imports")),
    )
    op.create_table(
        "merged_leads",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("into_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_merged_leads")),
    )
    op.create_index(op.f("ix_merged_leads_into_id"), "merged_leads", ["into_id"], unique=False)
    op.create_table(
        "sync_jobs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("source", sa.String(length=100), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("batch_size", sa.Integer(), nullable=False),
        sa.Column("records_processed", sa.Integer(), nullable=False),
        sa.Column("records_created", sa.Integer(), nullable=False),
        sa.Column("records_skipped", sa.Integer(), nullable=False),
        sa.Column("records_failed", sa.Integer(), nullable=False),
        sa.Column("errors", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("requested_by", sa.String(), nullable=True),
        sa.Column("scheduled_for", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "status IN ('pending', 'in_progress', 'completed', 'failed')", name=op.f("ck_sync_jobs_status")
        ),
        sa.CheckConstraint(
            "records_processed = records_created + records_skipped + records_failed",
            name=op.f("ck_sync_jobs_counters_add_up"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sync_jobs")),
    )
    op.create_index("ix_sync_jobs_source", "sync_jobs", ["source", "id"], unique=False)
    op.create_index(
        "uq_sync_jobs_running",
        "sync_jobs",
        ["source"],
        unique=True,
        postgresql_where=sa.text("status IN ('pending', 'in_progress')"),
    )
    op.create_index("uq_sync_jobs_tick", "sync_jobs", ["source", "scheduled_for"], unique=True)
    op.create_table(
        "lead_import_errors",
        sa.Column("import_id", sa.Uuid(), nullable=False),
        sa.Column("row_number", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("message", sa.String(length=500), nullable=False),
        sa.ForeignKeyConstraint(
            ["import_id"], ["lead_imports.id"], name=op.f("fk_lead_import_errors_import_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("import_id", "row_number", name=op.f("pk_lead_import_errors")),
    )
    op.create_table(
        "lead_import_pieces",
        sa.Column("import_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["import_id"], ["lead_imports.id"], name=op.f("fk_lead_import_pieces_import_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("import_id", "number", name=op.f("pk_lead_import_pieces")),
    )
    op.create_table(
        "sync_pages",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("records", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("next_cursor", sa.String(), nullable=True),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["sync_jobs.id"], name=op.f("fk_sync_pages_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sync_pages")),
    )
    op.create_index("uq_sync_pages_number", "sync_pages", ["job_id", "number"], unique=True)
    op.create_table(
        "sync_job_leads",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("lead_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["sync_jobs.id"], name=op.f("fk_sync_job_leads_job_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["lead_id"], ["leads.id"], name=op.f("fk_sync_job_leads_lead_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "lead_id", name=op.f("pk_sync_job_leads")),
    )
    op.create_index(op.f("ix_sync_job_leads_lead_id"), "sync_job_leads", ["lead_id"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_sync_job_leads_lead_id"), table_name="sync_job_leads")
    op.drop_table("sync_job_leads")
    op.drop_index("uq_sync_pages_number", table_name="sync_pages")
    op.drop_table("sync_pages")
    op.drop_table("lead_import_pieces")
    op.drop_table("lead_import_errors")
    op.drop_index("uq_sync_jobs_tick", table_name="sync_jobs")
    op.drop_index(
        "uq_sync_jobs_running", table_name="sync_jobs", postgresql_where=sa.text("status IN ('pending', 'in_progress')")
    )
    op.drop_index("ix_sync_jobs_source", table_name="sync_jobs")
    op.drop_table("sync_jobs")
    op.drop_index(op.f("ix_merged_leads_into_id"), table_name="merged_leads")
    op.drop_table("merged_leads")
    op.drop_table("lead_imports")
