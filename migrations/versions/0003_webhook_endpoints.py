"""Webhook endpoints of tenants, callback addresses of single objects, and the log of deliveries.

Revision ID: 0003
"""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE webhook_endpoints (
            id              uuid PRIMARY KEY,
            tenant_id       text NOT NULL REFERENCES tenants,
            name            text NOT NULL,
            description     text,
            url             text NOT NULL,
            event_types     text[] NOT NULL,
            -- never a secret: what it is derived from, beside a key that is not in the database
            secret          text NOT NULL,
            previous_secret text,
            previous_secret_until timestamptz,
            enabled         boolean NOT NULL DEFAULT true,
            disabled_reason text,
            -- since when no attempt has succeeded; null while the last one did
            failing_since   timestamptz,
            created_at      timestamptz NOT NULL DEFAULT now(),
            updated_at      timestamptz NOT NULL DEFAULT now()
        );
        CREATE INDEX webhook_endpoints_of_tenant ON webhook_endpoints (tenant_id, created_at DESC, id DESC);

        ALTER TABLE tenants
            ADD COLUMN callback_secret text,
            ADD COLUMN previous_callback_secret text,
            ADD COLUMN previous_callback_secret_until timestamptz;
        ALTER TABLE jobs ADD COLUMN callback_url text;
        ALTER TABLE batches ADD COLUMN callback_url text;

        ALTER TABLE webhook_events
            ADD COLUMN callback_url text,
            -- a test goes to one endpoint, once
            ADD COLUMN test boolean NOT NULL DEFAULT false;
        CREATE INDEX webhook_events_by_age ON webhook_events (created_at);
        CREATE INDEX webhook_events_with_callback ON webhook_events (tenant_id, created_at DESC, id DESC)
            WHERE callback_url IS NOT NULL;

        ALTER TABLE webhook_deliveries
            ADD COLUMN created_at timestamptz NOT NULL DEFAULT now(),
            -- attempts made before it was last asked for again: the schedule counts from there
            ADD COLUMN attempts_before smallint NOT NULL DEFAULT 0;
        CREATE INDEX webhook_deliveries_of_endpoint ON webhook_deliveries (endpoint, created_at DESC, event_id DESC);
        CREATE INDEX webhook_deliveries_open ON webhook_deliveries (endpoint, next_at)
            WHERE delivered_at IS NULL AND gave_up_at IS NULL;
        DROP INDEX webhook_deliveries_due;
        """
    )


def downgrade() -> None:
    op.execute(
        """
        CREATE INDEX webhook_deliveries_due ON webhook_deliveries (next_at)
            WHERE delivered_at IS NULL AND gave_up_at IS NULL;
        DROP INDEX webhook_deliveries_open, webhook_deliveries_of_endpoint, webhook_events_with_callback,
            webhook_events_by_age;
        ALTER TABLE webhook_deliveries DROP COLUMN created_at, DROP COLUMN attempts_before;
        ALTER TABLE webhook_events DROP COLUMN callback_url, DROP COLUMN test;
        ALTER TABLE batches DROP COLUMN callback_url;
        ALTER TABLE jobs DROP COLUMN callback_url;
        ALTER TABLE tenants DROP COLUMN callback_secret, DROP COLUMN previous_callback_secret,
            DROP COLUMN previous_callback_secret_until;
        DROP TABLE webhook_endpoints;
        """
    )
