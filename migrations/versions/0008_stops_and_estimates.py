"""Single jobs that are to stop are found, also those whose window closed; the weight of a flow is configuration.

Batches have a place in the order, and a time at which they are expected to end.

Revision ID: 0008
"""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.execute(
        """
        CREATE INDEX jobs_to_stop ON jobs (cancel_requested_at)
            WHERE cancel_requested_at IS NOT NULL AND batch_id IS NULL AND state IN ('pending', 'queued', 'running');
        CREATE INDEX jobs_by_expiry ON jobs (expires_at)
            WHERE expires_at IS NOT NULL AND batch_id IS NULL AND state IN ('pending', 'queued', 'running');
        ALTER TABLE flows DROP COLUMN weight;
        ALTER TABLE batches
            -- the one that all of its lines name
            ADD COLUMN model text,
            -- of its jobs: the least goes first
            ADD COLUMN priority smallint NOT NULL DEFAULT 0,
            -- rewritten while it runs, by the leading dispatcher
            ADD COLUMN estimated_completion_at timestamptz,
            -- whether that is after its window has closed, as far as can be told
            ADD COLUMN late boolean NOT NULL DEFAULT false;
        """
    )


def downgrade() -> None:
    op.execute("DROP INDEX jobs_to_stop, jobs_by_expiry")
    op.execute("ALTER TABLE flows ADD COLUMN weight double precision NOT NULL DEFAULT 1 CHECK (weight > 0)")
    op.execute(
        "ALTER TABLE batches DROP COLUMN model, DROP COLUMN priority, DROP COLUMN estimated_completion_at,"
        " DROP COLUMN late"
    )
