"""What tenants and the operator want served from the caches no more; and what the semantic cache keeps beside answers.

Revision ID: 0017
"""

from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.execute(
        """
        -- Nothing made up to `before` is served to this tenant, if it is of the model and has the tag. An empty text
        -- stands for all of them. Kept here, since Redis may come back as it was before the mark.
        CREATE TABLE cache_marks (
            tenant_id text NOT NULL,
            model text NOT NULL,
            tag text NOT NULL,
            before timestamptz NOT NULL,
            PRIMARY KEY (tenant_id, model, tag)
        );
        DO $$
        BEGIN
            IF to_regclass('semantic_answers') IS NULL THEN
                RETURN;
            END IF;
            ALTER TABLE semantic_answers
                -- the configured model that answered; `model` is what the client asked for
                ADD COLUMN deployment text NOT NULL DEFAULT '',
                -- in US dollars, null: unknown
                ADD COLUMN cost numeric;
            -- the oldest beyond a tenant's share are found without a sort
            CREATE INDEX semantic_answers_by_tenant ON semantic_answers (tenant_id, id);
            -- a question without a neighbour is noted too, or shares of all questions could not be told
            ALTER TABLE semantic_shadows
                ALTER COLUMN stored DROP NOT NULL,
                ALTER COLUMN score DROP NOT NULL,
                ALTER COLUMN agreement DROP NOT NULL;
            DROP INDEX semantic_shadows_by_model;
            CREATE INDEX semantic_shadows_by_model ON semantic_shadows (tenant_id, model, id);
            CREATE INDEX semantic_shadows_by_age ON semantic_shadows (created_at);
        END
        $$
        """
    )


def downgrade() -> None:
    op.execute(
        """
        DROP TABLE cache_marks;
        DO $$
        BEGIN
            IF to_regclass('semantic_answers') IS NULL THEN
                RETURN;
            END IF;
            ALTER TABLE semantic_answers DROP COLUMN deployment, DROP COLUMN cost;
            DROP INDEX semantic_answers_by_tenant;
            DROP INDEX semantic_shadows_by_age, semantic_shadows_by_model;
            CREATE INDEX semantic_shadows_by_model ON semantic_shadows (tenant_id, model);
            DELETE FROM semantic_shadows WHERE stored IS NULL;
            ALTER TABLE semantic_shadows
                ALTER COLUMN stored SET NOT NULL,
                ALTER COLUMN score SET NOT NULL,
                ALTER COLUMN agreement SET NOT NULL;
        END
        $$
        """
    )
