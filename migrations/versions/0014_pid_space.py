"""Where a worker's process number counts: who starts there next knows at once that it is dead.

Revision ID: 0014
"""

from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.execute("ALTER TABLE workers ADD COLUMN pid_space text")


def downgrade() -> None:
    op.execute("ALTER TABLE workers DROP COLUMN pid_space")
