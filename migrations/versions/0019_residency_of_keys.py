"""Where the data of an API key's requests must stay; its batches carry it to whoever reads their files.

Revision ID: 0019
"""

from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.execute("ALTER TABLE api_keys ADD COLUMN residency text; ALTER TABLE batches ADD COLUMN residency text")


def downgrade() -> None:
    op.execute("ALTER TABLE batches DROP COLUMN residency; ALTER TABLE api_keys DROP COLUMN residency")
