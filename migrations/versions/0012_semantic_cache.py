"""Answers that may be served for other questions of the same meaning; only where Postgres has pgvector.

Revision ID: 0012
"""

from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.execute(
        """
        DO $$
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector') THEN
                RAISE NOTICE 'this server has no pgvector: there will be no semantic cache';
                RETURN;
            END IF;
            BEGIN
                CREATE EXTENSION IF NOT EXISTS vector;
            EXCEPTION WHEN insufficient_privilege THEN
                RAISE NOTICE 'this role may not install pgvector: there will be no semantic cache';
                RETURN;
            END;
            CREATE TABLE semantic_answers (
                id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                tenant_id text NOT NULL,
                -- a hash of the model and of everything in the request but its last question
                scope bytea NOT NULL,
                model text NOT NULL,
                -- whose vector it is; those of another encoder do not compare
                encoder text NOT NULL,
                question text NOT NULL,
                vector vector NOT NULL,
                body bytea NOT NULL,
                tags text[] NOT NULL DEFAULT '{}',
                created_at timestamptz NOT NULL DEFAULT now(),
                expires_at timestamptz NOT NULL
            );
            -- One scope is searched whole: so nothing near is missed, as an approximate index under a filter would.
            CREATE INDEX semantic_answers_by_scope ON semantic_answers (tenant_id, scope, encoder);
            CREATE INDEX semantic_answers_by_expiry ON semantic_answers (expires_at);
            CREATE TABLE semantic_shadows (
                id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                tenant_id text NOT NULL,
                model text NOT NULL,
                encoder text NOT NULL,
                asked text NOT NULL,
                stored text NOT NULL,
                score double precision NOT NULL,
                -- how alike the stored and the real answer were, as a cosine of their vectors
                agreement double precision NOT NULL,
                created_at timestamptz NOT NULL DEFAULT now()
            );
            CREATE INDEX semantic_shadows_by_model ON semantic_shadows (tenant_id, model);
        END
        $$
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE IF EXISTS semantic_shadows, semantic_answers")
