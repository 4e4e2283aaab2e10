"""What the requests came to that brought an Idempotency-Key.

Revision ID: 0004
"""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE idempotency_keys (
            tenant_id   text NOT NULL,
            route       text NOT NULL,
            key         text NOT NULL,
            -- SHA-256 of what was sent
            body_hash   bytea NOT NULL,
            object_id   uuid NOT NULL,
            created_at  timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (tenant_id, route, key)
        );
        CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE idempotency_keys")
