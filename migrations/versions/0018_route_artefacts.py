"""Learnt routing policies in versions, what their routes came to hour by hour, and samples asked of the strong model.

Revision ID: 0018
"""

from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE route_artefacts (
            route       text NOT NULL,
            version     integer NOT NULL,
            created_at  timestamptz NOT NULL DEFAULT now(),
            active      boolean NOT NULL DEFAULT false,
            made_by     text NOT NULL,
            note        text NOT NULL DEFAULT '',
            document    bytea NOT NULL,
            report      bytea NOT NULL,
            PRIMARY KEY (route, version)
        );
        ALTER TABLE route_artefacts ALTER COLUMN document SET STORAGE EXTERNAL;
        CREATE UNIQUE INDEX route_artefacts_active ON route_artefacts (route) WHERE active;

        ALTER TABLE route_steps ADD COLUMN signals bytea;

        CREATE TABLE route_counts (
            route       text NOT NULL,
            version     integer NOT NULL,
            hour        timestamptz NOT NULL,
            name        text NOT NULL,
            amount      double precision NOT NULL,
            PRIMARY KEY (route, version, hour, name)
        );

        -- `answer` is the cheap model's, kept until it was compared
        CREATE TABLE route_shadows (
            job_id      uuid PRIMARY KEY,
            of_job      uuid NOT NULL UNIQUE,
            route       text NOT NULL,
            version     integer NOT NULL,
            rule        text NOT NULL,
            answer      bytea,
            created_at  timestamptz NOT NULL DEFAULT now(),
            compared_at timestamptz,
            agreed      boolean,
            cost        numeric
        );
        CREATE INDEX route_shadows_open ON route_shadows (created_at) WHERE compared_at IS NULL;
        CREATE INDEX route_shadows_of_route ON route_shadows (route, created_at);
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE route_shadows")
    op.execute("DROP TABLE route_counts")
    op.execute("ALTER TABLE route_steps DROP COLUMN signals")
    op.execute("DROP TABLE route_artefacts")
