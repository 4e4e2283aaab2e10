"""What a job still may fall back to, its failed attempts at the present deployment, and attempts found by their time.

Revision ID: 0002
"""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE jobs
            ADD COLUMN fallback text[],
            ADD COLUMN failures smallint NOT NULL DEFAULT 0;
        -- What may leave a deployment that is ill is found without reading all that may not.
        CREATE INDEX jobs_pending_fallback ON jobs (flow_id, priority, id)
            WHERE state = 'pending' AND fallback IS NOT NULL;
        -- Rows come in order of time and are never moved: a few pages of summary find the last minutes of any table.
        CREATE INDEX attempts_by_time ON attempts USING brin (started_at)
            WITH (pages_per_range = 16, autosummarize = on);
        """
    )


def downgrade() -> None:
    op.execute("DROP INDEX attempts_by_time")
    op.execute("DROP INDEX jobs_pending_fallback")
    op.execute("ALTER TABLE jobs DROP COLUMN fallback, DROP COLUMN failures")
