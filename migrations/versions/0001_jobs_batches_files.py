"""Jobs, their payloads and attempts; flows, batches, files; tenants and keys; webhooks; workers.

Revision ID: 0001
"""

from alembic import op

revision = "0001"
down_revision = None

TABLES = """
CREATE TABLE tenants (
    id          text PRIMARY KEY,
    tier        text NOT NULL DEFAULT 'unlimited',
    created_at  timestamptz NOT NULL DEFAULT now()
);

-- Keys are shown once; what is kept is a SHA-256 of 256 random bits.
CREATE TABLE api_keys (
    id          uuid PRIMARY KEY,
    tenant_id   text NOT NULL REFERENCES tenants,
    name        text NOT NULL,
    hash        bytea NOT NULL UNIQUE,
    hint        text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz,
    revoked_at  timestamptz
);

CREATE TABLE files (
    id          uuid PRIMARY KEY,
    tenant_id   text NOT NULL REFERENCES tenants,
    purpose     text NOT NULL,
    filename    text NOT NULL,
    bytes       bigint NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz,
    deleted_at  timestamptz,
    -- an output or error file is a view over the results of its batch and has no chunks
    batch_id    uuid,
    part        text CHECK (part IN ('output', 'error'))
);
CREATE INDEX files_of_tenant ON files (tenant_id, created_at DESC, id DESC) WHERE deleted_at IS NULL;

CREATE TABLE file_chunks (
    file_id     uuid NOT NULL,
    seq         integer NOT NULL,
    data        bytea NOT NULL,
    PRIMARY KEY (file_id, seq)
);
ALTER TABLE file_chunks ALTER COLUMN data SET STORAGE EXTERNAL;

CREATE TABLE batches (
    id              uuid PRIMARY KEY,
    tenant_id       text NOT NULL REFERENCES tenants,
    endpoint        text NOT NULL,
    input_file_id   uuid NOT NULL,
    window_seconds  integer NOT NULL,
    output_expires_seconds integer,
    metadata        bytea,
    status          text NOT NULL DEFAULT 'validating' CHECK (status IN
        ('validating', 'failed', 'in_progress', 'finalizing', 'completed', 'expired', 'cancelling', 'cancelled')),
    -- why the lines that are left will not run: 'cancelled' or 'expired'
    ending          text CHECK (ending IN ('cancelled', 'expired')),
    errors          bytea,
    created_at      timestamptz NOT NULL DEFAULT now(),
    expires_at      timestamptz NOT NULL,
    in_progress_at  timestamptz,
    finalizing_at   timestamptz,
    completed_at    timestamptz,
    failed_at       timestamptz,
    expired_at      timestamptz,
    cancelling_at   timestamptz,
    cancelled_at    timestamptz,
    -- lines whose jobs are inserted; moved with the jobs in one transaction, so two ingesters cannot both insert
    ingested_to     bigint NOT NULL DEFAULT 0,
    ingest_lease_until timestamptz,
    total           integer NOT NULL DEFAULT 0,
    completed       integer NOT NULL DEFAULT 0,
    failed          integer NOT NULL DEFAULT 0,
    -- every terminal job has a number; the number's order is the commit order
    finished        integer NOT NULL DEFAULT 0,
    output_bytes    bigint NOT NULL DEFAULT 0,
    error_bytes     bigint NOT NULL DEFAULT 0,
    input_tokens    bigint NOT NULL DEFAULT 0,
    output_tokens   bigint NOT NULL DEFAULT 0,
    cached_tokens   bigint NOT NULL DEFAULT 0,
    reasoning_tokens bigint NOT NULL DEFAULT 0,
    cost            numeric(18, 9) NOT NULL DEFAULT 0,
    output_file_id  uuid,
    error_file_id   uuid
);
CREATE INDEX batches_of_tenant ON batches (tenant_id, created_at DESC, id DESC);
CREATE INDEX batches_open ON batches (status, created_at)
    WHERE status IN ('validating', 'in_progress', 'finalizing', 'cancelling');

-- One row per (pool, lane, tenant): the unit of fair order. The cursor is the place of the first pending job.
CREATE TABLE flows (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pool            text NOT NULL,
    lane            text NOT NULL,
    tenant_id       text NOT NULL REFERENCES tenants,
    weight          double precision NOT NULL DEFAULT 1 CHECK (weight > 0),
    virtual_time    double precision NOT NULL DEFAULT 0,
    active          boolean NOT NULL DEFAULT true,
    version         bigint NOT NULL DEFAULT 0,
    cursor_priority smallint NOT NULL DEFAULT 0,
    cursor_id       uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    UNIQUE (pool, lane, tenant_id)
) WITH (fillfactor = 50);
CREATE INDEX flows_active ON flows (pool) WHERE active;

CREATE TYPE job_state AS ENUM ('pending', 'queued', 'running', 'succeeded', 'failed', 'cancelled', 'expired');

CREATE TABLE jobs (
    id          uuid PRIMARY KEY,
    tenant_id   text NOT NULL,
    batch_id    uuid,
    line        integer,
    custom_id   text,
    dialect     text NOT NULL,
    model       text NOT NULL,
    lane        text NOT NULL CHECK (lane IN ('bulk', 'interactive')),
    flow_id     bigint NOT NULL,
    deployment  text NOT NULL,
    priority    smallint NOT NULL DEFAULT 0,
    state       job_state NOT NULL DEFAULT 'pending',
    epoch       integer NOT NULL DEFAULT 0,
    worker_id   uuid,
    recoveries  smallint NOT NULL DEFAULT 0,
    tokens      integer NOT NULL,
    background  boolean NOT NULL DEFAULT false,
    stream      boolean NOT NULL DEFAULT false,
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz,
    queued_at   timestamptz,
    started_at  timestamptz,
    finished_at timestamptz,
    cancel_requested_at timestamptz,
    deleted_at  timestamptz,
    status_code smallint,
    line_bytes  integer,
    finished_number integer
) WITH (fillfactor = 80);
CREATE INDEX jobs_pending ON jobs (flow_id, priority, id) WHERE state = 'pending';
CREATE INDEX jobs_active ON jobs (worker_id, queued_at) WHERE state IN ('queued', 'running');
CREATE UNIQUE INDEX jobs_of_batch ON jobs (batch_id, line) WHERE batch_id IS NOT NULL;

CREATE TABLE job_requests (
    job_id      uuid PRIMARY KEY,
    body        bytea NOT NULL
);
ALTER TABLE job_requests ALTER COLUMN body SET STORAGE EXTERNAL;

CREATE TABLE job_results (
    job_id      uuid PRIMARY KEY,
    body        bytea NOT NULL
);
ALTER TABLE job_results ALTER COLUMN body SET STORAGE EXTERNAL;

-- Every upstream call that was made, whoever made it: the money was spent.
CREATE TABLE attempts (
    job_id      uuid NOT NULL,
    epoch       integer NOT NULL,
    step        smallint NOT NULL,
    deployment  text NOT NULL,
    worker_id   uuid NOT NULL,
    started_at  timestamptz NOT NULL,
    outcome     text NOT NULL,
    error_type  text,
    error       text,
    input_tokens integer NOT NULL DEFAULT 0,
    output_tokens integer NOT NULL DEFAULT 0,
    cached_tokens integer NOT NULL DEFAULT 0,
    cost        numeric(18, 9),
    latency_ms  integer NOT NULL,
    first_token_ms integer
);
CREATE INDEX attempts_of_job ON attempts (job_id);

-- One event per outcome: the unique pair makes a second terminal write harmless.
CREATE TABLE webhook_events (
    id          uuid PRIMARY KEY,
    tenant_id   text NOT NULL,
    type        text NOT NULL,
    object_id   text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    fanned_out  boolean NOT NULL DEFAULT false,
    UNIQUE (object_id, type)
);
CREATE INDEX webhook_events_new ON webhook_events (id) WHERE NOT fanned_out;

CREATE TABLE webhook_deliveries (
    event_id    uuid NOT NULL REFERENCES webhook_events ON DELETE CASCADE,
    endpoint    text NOT NULL,
    attempts    smallint NOT NULL DEFAULT 0,
    next_at     timestamptz NOT NULL DEFAULT now(),
    delivered_at timestamptz,
    gave_up_at  timestamptz,
    last_status smallint,
    last_error  text,
    PRIMARY KEY (event_id, endpoint)
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (next_at) WHERE delivered_at IS NULL AND gave_up_at IS NULL;

CREATE TABLE workers (
    id          uuid PRIMARY KEY,
    lane        text NOT NULL,
    host        text NOT NULL,
    pid         integer NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT now(),
    beat        bigint NOT NULL DEFAULT 0,
    beat_at     timestamptz NOT NULL DEFAULT now(),
    stopped_at  timestamptz
);

CREATE TABLE leases (
    name        text PRIMARY KEY,
    holder      uuid NOT NULL,
    expires_at  timestamptz NOT NULL
);
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    op.execute(
        "DROP TABLE leases, workers, webhook_deliveries, webhook_events, attempts, job_results, job_requests, jobs,"
        " flows, batches, file_chunks, files, api_keys, tenants"
    )
    op.execute("DROP TYPE job_state")
