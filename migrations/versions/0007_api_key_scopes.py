"""API keys have scopes, and are kept as HMACs under a key of the installation.

Revision ID: 0007
"""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE api_keys ADD COLUMN scopes text[] NOT NULL DEFAULT '{read,write}';
        CREATE INDEX api_keys_of_tenant ON api_keys (tenant_id);
        -- What is there are plain SHA-256 sums. Were they still taken, whoever can write a row could make a key.
        UPDATE api_keys SET revoked_at = now() WHERE revoked_at IS NULL;
        """
    )


def downgrade() -> None:
    op.execute("DROP INDEX api_keys_of_tenant")
    op.execute("ALTER TABLE api_keys DROP COLUMN scopes")
