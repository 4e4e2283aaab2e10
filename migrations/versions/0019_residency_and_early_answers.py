"""Where the data of an API key's requests must stay; and early answers, steps below 0, found without a search.

Revision ID: 0019
"""

from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE api_keys ADD COLUMN residency text;
        ALTER TABLE batches ADD COLUMN residency text;
        CREATE INDEX route_steps_early ON route_steps (job_id) WHERE step < 0;
        """
    )


def downgrade() -> None:
    op.execute("DROP INDEX route_steps_early")
    op.execute("DELETE FROM route_steps WHERE step < 0")
    op.execute("ALTER TABLE batches DROP COLUMN residency")
    op.execute("ALTER TABLE api_keys DROP COLUMN residency")
