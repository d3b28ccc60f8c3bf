-- Who was erased, as digests under keys that the database does not have, and what it takes to find all of a person.

CREATE TABLE tracker.tombstones (
    digest bytea PRIMARY KEY,
    is_person boolean NOT NULL,
    erased_at timestamptz NOT NULL,
    lifted_at timestamptz,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX tombstones_by_change ON tracker.tombstones (updated_at, digest);
COMMENT ON COLUMN tracker.tombstones.digest IS 'HMAC-SHA-256 of the account and the recipient, or of the account and the message';
COMMENT ON COLUMN tracker.tombstones.lifted_at IS 'When an operator let the recipient be written to again';

-- Registrations and changes name their recipient, also where the message turned out to be another one's.
CREATE INDEX events_by_person ON tracker.events (
    account, (coalesce(detail #>> '{registration,recipient}', detail #>> '{change,recipient}'))
)
WHERE coalesce(detail #>> '{registration,recipient}', detail #>> '{change,recipient}') IS NOT NULL;
-- A user agent that nobody else has goes with the person.
CREATE INDEX events_by_agent ON tracker.events (user_agent) WHERE user_agent IS NOT NULL;
CREATE INDEX dead_deliveries_by_message ON tracker.webhook_deliveries (endpoint, message_id) WHERE state = 'dead';
