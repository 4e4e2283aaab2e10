"""A call is in the journal once, however often its group is committed.

Revision ID: 0013
"""

from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.execute(
        """
        -- A commit whose answer was lost with its connection was sent again, and its calls were written down again.
        DELETE FROM attempts a USING attempts b
            WHERE a.job_id = b.job_id AND a.epoch = b.epoch AND a.step = b.step AND a.worker_id = b.worker_id
              AND a.ctid > b.ctid;
        -- Epoch and worker together: after a failover two workers may have won the same epoch.
        CREATE UNIQUE INDEX attempts_once ON attempts (job_id, epoch, step, worker_id);
        DROP INDEX attempts_of_job;
        """
    )


def downgrade() -> None:
    op.execute("CREATE INDEX attempts_of_job ON attempts (job_id)")
    op.execute("DROP INDEX attempts_once")
