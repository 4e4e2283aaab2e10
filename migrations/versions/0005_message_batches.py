"""Batches that are deleted: hidden at once, their lines removed afterwards.

Revision ID: 0005
"""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE batches
            -- nobody sees it any more
            ADD COLUMN deleted_at timestamptz,
            -- and its lines are gone
            ADD COLUMN purged_at timestamptz;
        CREATE INDEX batches_to_purge ON batches (deleted_at) WHERE deleted_at IS NOT NULL AND purged_at IS NULL;
        """
    )


def downgrade() -> None:
    op.execute("DROP INDEX batches_to_purge")
    op.execute("ALTER TABLE batches DROP COLUMN deleted_at, DROP COLUMN purged_at")
