"""What is removed by age: payloads of finished work first, the records of single jobs later.

Revision ID: 0010
"""

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.execute(
        """
        -- since when there is nothing behind the row any more
        ALTER TABLE files ADD COLUMN pruned_at timestamptz;
        CREATE INDEX files_to_prune ON files (least(deleted_at, expires_at))
            WHERE pruned_at IS NULL AND (deleted_at IS NOT NULL OR expires_at IS NOT NULL);

        ALTER TABLE batches
            -- its result files are gone: nobody can read its lines any more
            ADD COLUMN results_gone_at timestamptz,
            -- lines up to this one are removed: the next look does not pass over their dead index entries again
            ADD COLUMN purged_to integer NOT NULL DEFAULT 0;
        DROP INDEX batches_to_purge;
        CREATE INDEX batches_to_purge ON batches (least(deleted_at, results_gone_at))
            WHERE purged_at IS NULL AND (deleted_at IS NOT NULL OR results_gone_at IS NOT NULL);
        CREATE INDEX batches_ended ON batches (created_at)
            WHERE results_gone_at IS NULL AND status IN ('completed', 'failed', 'expired', 'cancelled');

        ALTER TABLE jobs ADD COLUMN pruned_at timestamptz;
        CREATE INDEX jobs_to_prune ON jobs (finished_at)
            WHERE batch_id IS NULL AND pruned_at IS NULL AND finished_at IS NOT NULL;
        CREATE INDEX jobs_deleted ON jobs (deleted_at)
            WHERE batch_id IS NULL AND pruned_at IS NULL AND deleted_at IS NOT NULL;
        CREATE INDEX jobs_pruned ON jobs (finished_at) WHERE pruned_at IS NOT NULL;
        """
    )


def downgrade() -> None:
    op.execute(
        """
        DROP INDEX jobs_pruned, jobs_deleted, jobs_to_prune, batches_ended, batches_to_purge, files_to_prune;
        CREATE INDEX batches_to_purge ON batches (deleted_at) WHERE deleted_at IS NOT NULL AND purged_at IS NULL;
        ALTER TABLE jobs DROP COLUMN pruned_at;
        ALTER TABLE batches DROP COLUMN results_gone_at, DROP COLUMN purged_to;
        ALTER TABLE files DROP COLUMN pruned_at;
        """
    )
