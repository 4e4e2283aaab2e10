"""Batches count the answers nobody knows a price for; the lines of a batch are found by their place in finishing order.

Revision ID: 0006
"""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.execute(
        """
        -- While it is not zero the batch's cost is not known: what `cost` holds is only a part of it.
        ALTER TABLE batches ADD COLUMN unpriced integer NOT NULL DEFAULT 0;
        CREATE INDEX jobs_by_finish ON jobs (batch_id, finished_number) WHERE finished_number IS NOT NULL;
        """
    )


def downgrade() -> None:
    op.execute("DROP INDEX jobs_by_finish")
    op.execute("ALTER TABLE batches DROP COLUMN unpriced")
