"""Files that come in parts.

Revision ID: 0011
"""

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE uploads (
            id          uuid PRIMARY KEY,
            tenant_id   text NOT NULL REFERENCES tenants,
            filename    text NOT NULL,
            purpose     text NOT NULL,
            -- what the file is to have
            bytes       bigint NOT NULL,
            file_expires_seconds integer,
            status      text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'completed', 'cancelled')),
            created_at  timestamptz NOT NULL DEFAULT now(),
            expires_at  timestamptz NOT NULL,
            file_id     uuid
        );
        -- the bytes of a part are file_chunks under the part's id
        CREATE TABLE upload_parts (
            id          uuid PRIMARY KEY,
            upload_id   uuid NOT NULL REFERENCES uploads,
            bytes       bigint NOT NULL,
            created_at  timestamptz NOT NULL DEFAULT now()
        );
        CREATE INDEX upload_parts_of_upload ON upload_parts (upload_id);
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE upload_parts, uploads")
