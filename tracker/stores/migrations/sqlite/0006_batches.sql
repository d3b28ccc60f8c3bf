-- Counts of batches, kept as statuses change; and what it takes to judge a hit by those around it.

-- By time: a hit is judged by what happened to its message in the minutes around it.
DROP INDEX events_by_message;
CREATE INDEX events_by_message ON events (account, message_id, occurred_at, id);

-- JSON: what people opened and clicked on, and how often.
ALTER TABLE messages ADD COLUMN devices TEXT NOT NULL DEFAULT '{}';
-- What was there before has not been counted yet: it is when something happens to it, or when it is judged anew.
ALTER TABLE messages ADD COLUMN is_counted INTEGER NOT NULL DEFAULT 0;
-- Worked out once, when the user agent is first seen.
ALTER TABLE user_agents ADD COLUMN device TEXT;
CREATE INDEX messages_by_batch ON messages (account, batch, message_id) WHERE batch IS NOT NULL;

CREATE TABLE batches (
    account TEXT NOT NULL,
    batch TEXT NOT NULL,
    created_at INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER)),
    PRIMARY KEY (account, batch)
) STRICT, WITHOUT ROWID;
CREATE INDEX batches_by_time ON batches (account, created_at, batch);

CREATE TABLE batch_counts (
    account TEXT NOT NULL,
    batch TEXT NOT NULL,
    measure TEXT NOT NULL,
    key TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (account, batch, measure, key)
) STRICT, WITHOUT ROWID;
