"""Answers of a route's earlier steps, which the worker of the next one has to know.

Revision ID: 0009
"""

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE jobs ADD COLUMN route_step smallint NOT NULL DEFAULT 0;
        CREATE TABLE route_steps (
            job_id      uuid NOT NULL,
            step        smallint NOT NULL,
            deployment  text NOT NULL,
            confidence  real,
            reason      text NOT NULL,
            usage       integer[] NOT NULL,
            cost        numeric,
            body        bytea NOT NULL,
            created_at  timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (job_id, step)
        );
        ALTER TABLE route_steps ALTER COLUMN body SET STORAGE EXTERNAL;
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE route_steps")
    op.execute("ALTER TABLE jobs DROP COLUMN route_step")
