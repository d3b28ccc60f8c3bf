-- Whom an account wants to be told of changes, and what is still to be told.

-- One process at a time delivers for an endpoint: whoever holds its lease. The cursor is the number of the last
-- change for which there was made a delivery.
CREATE TABLE tracker.webhook_endpoints (
    id text COLLATE "C" PRIMARY KEY,
    account text COLLATE "C" NOT NULL,
    url text NOT NULL,
    secret text NOT NULL,
    previous_secret text,
    previous_until timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    disabled_at timestamptz,
    disabled_reason text,
    cursor bigint NOT NULL,
    lease_owner text,
    lease_until timestamptz
);
CREATE INDEX webhook_endpoints_by_account ON tracker.webhook_endpoints (account);
COMMENT ON COLUMN tracker.webhook_endpoints.previous_secret IS 'Signs too, until previous_until';

-- What was delivered is removed. A delivery holds nothing of its change, so that what is erased is not sent either.
CREATE TABLE tracker.webhook_deliveries (
    endpoint text COLLATE "C" NOT NULL,
    sequence bigint NOT NULL,
    message_id text COLLATE "C" NOT NULL,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'dead')),
    attempts integer NOT NULL DEFAULT 0,
    next_at timestamptz NOT NULL,
    first_tried_at timestamptz,
    last_tried_at timestamptz,
    last_error text,
    PRIMARY KEY (endpoint, sequence)
);
CREATE INDEX pending_deliveries_by_time ON tracker.webhook_deliveries (endpoint, next_at, sequence)
WHERE state = 'pending';
CREATE INDEX pending_deliveries_by_message ON tracker.webhook_deliveries (endpoint, message_id, sequence)
WHERE state = 'pending';
CREATE INDEX dead_deliveries ON tracker.webhook_deliveries (endpoint, sequence) WHERE state = 'dead';
COMMENT ON COLUMN tracker.webhook_deliveries.sequence IS 'tracker.changes.sequence, of the endpoint''s account';
