"""Which transaction woke a flow last: a dispatcher reads what changed since it looked, not every flow there is.

Revision ID: 0015
"""

from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.execute("ALTER TABLE flows ADD COLUMN woken_by xid8 NOT NULL DEFAULT '0'")
    op.execute("CREATE INDEX flows_woken ON flows (woken_by) WHERE active")


def downgrade() -> None:
    op.execute("ALTER TABLE flows DROP COLUMN woken_by")
