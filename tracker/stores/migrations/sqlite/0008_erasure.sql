-- Who was erased, as digests under keys that the database does not have, and what it takes to find all of a person.

CREATE TABLE tombstones (
    digest BLOB NOT NULL PRIMARY KEY,
    is_person INTEGER NOT NULL,
    erased_at INTEGER NOT NULL,
    lifted_at INTEGER,
    updated_at INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER))
) STRICT, WITHOUT ROWID;
CREATE INDEX tombstones_by_change ON tombstones (updated_at, digest);

-- Registrations and changes name their recipient, also where the message turned out to be another one's.
CREATE INDEX events_by_person ON events (
    account, coalesce(detail ->> '$.registration.recipient', detail ->> '$.change.recipient')
)
WHERE coalesce(detail ->> '$.registration.recipient', detail ->> '$.change.recipient') IS NOT NULL;
-- A user agent that nobody else has goes with the person.
CREATE INDEX events_by_agent ON events (user_agent) WHERE user_agent IS NOT NULL;
CREATE INDEX dead_deliveries_by_message ON webhook_deliveries (endpoint, message_id) WHERE state = 'dead';
