-- Counts of batches, kept as statuses change; and what it takes to judge a hit by those around it.

-- By time: a hit is judged by what happened to its message in the minutes around it.
DROP INDEX tracker.events_by_message;
CREATE INDEX events_by_message ON tracker.events (account, message_id, occurred_at, id);

ALTER TABLE tracker.messages ADD COLUMN devices jsonb NOT NULL DEFAULT '{}';
COMMENT ON COLUMN tracker.messages.devices IS 'What people opened and clicked on, and how often';
-- What was there before has not been counted yet: it is when something happens to it, or when it is judged anew.
ALTER TABLE tracker.messages ADD COLUMN is_counted boolean NOT NULL DEFAULT FALSE;
COMMENT ON COLUMN tracker.messages.is_counted IS 'Whether it is in the counts of its batch';
-- Worked out once, when the user agent is first seen.
ALTER TABLE tracker.user_agents ADD COLUMN device text;
CREATE INDEX messages_by_batch ON tracker.messages (account, batch, message_id) WHERE batch IS NOT NULL;

CREATE TABLE tracker.batches (
    account text COLLATE "C" NOT NULL,
    batch text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (account, batch)
);
CREATE INDEX batches_by_time ON tracker.batches (account, created_at, batch);

CREATE TABLE tracker.batch_counts (
    account text COLLATE "C" NOT NULL,
    batch text COLLATE "C" NOT NULL,
    measure text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    count bigint NOT NULL,
    PRIMARY KEY (account, batch, measure, key)
);
