"""What a route decided for a job stands beside its request: written once, removed with it.

Revision ID: 0016
"""

from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.execute("ALTER TABLE job_requests ADD COLUMN routing bytea")


def downgrade() -> None:
    op.execute("ALTER TABLE job_requests DROP COLUMN routing")
