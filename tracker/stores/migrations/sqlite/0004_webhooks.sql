-- Whom an account wants to be told of changes, and what is still to be told.

-- One process at a time delivers for an endpoint: whoever holds its lease. The cursor is the number of the last
-- change for which there was made a delivery.
CREATE TABLE webhook_endpoints (
    id TEXT NOT NULL PRIMARY KEY,
    account TEXT NOT NULL,
    url TEXT NOT NULL,
    secret TEXT NOT NULL,
    previous_secret TEXT,
    previous_until INTEGER,
    created_at INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER)),
    disabled_at INTEGER,
    disabled_reason TEXT,
    cursor INTEGER NOT NULL,
    lease_owner TEXT,
    lease_until INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX webhook_endpoints_by_account ON webhook_endpoints (account);

-- What was delivered is removed. A delivery holds nothing of its change, so that what is erased is not sent either.
CREATE TABLE webhook_deliveries (
    endpoint TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    message_id TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'dead')),
    attempts INTEGER NOT NULL DEFAULT 0,
    next_at INTEGER NOT NULL,
    first_tried_at INTEGER,
    last_tried_at INTEGER,
    last_error TEXT,
    PRIMARY KEY (endpoint, sequence)
) STRICT, WITHOUT ROWID;
CREATE INDEX pending_deliveries_by_time ON webhook_deliveries (endpoint, next_at, sequence) WHERE state = 'pending';
CREATE INDEX pending_deliveries_by_message ON webhook_deliveries (endpoint, message_id, sequence)
WHERE state = 'pending';
CREATE INDEX dead_deliveries ON webhook_deliveries (endpoint, sequence) WHERE state = 'dead';
