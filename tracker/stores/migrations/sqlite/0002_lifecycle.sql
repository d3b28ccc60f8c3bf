-- What others report, and what is known of a recipient beyond one list.

ALTER TABLE events ADD COLUMN reporter TEXT;
ALTER TABLE events ADD COLUMN reported_id TEXT;

-- What a message's events say of its recipient, for a registration that comes later.
CREATE INDEX effects_by_message ON events (account, message_id)
WHERE type IN ('unsubscribed', 'failed', 'complained', 'consent_changed');

-- Callers' and providers' own event ids: one event for each.
CREATE TABLE reported_events (
    account TEXT NOT NULL,
    reporter TEXT NOT NULL,
    reported_id TEXT NOT NULL,
    event_id BLOB NOT NULL,
    PRIMARY KEY (account, reporter, reported_id)
) STRICT, WITHOUT ROWID;

ALTER TABLE messages ADD COLUMN untracked_since INTEGER;

CREATE INDEX messages_by_recipient ON messages (account, recipient) WHERE recipient IS NOT NULL;
CREATE INDEX messages_by_rfc822_id ON messages (account, rfc822_message_id)
WHERE rfc822_message_id IS NOT NULL;

ALTER TABLE recipients ADD COLUMN reset_at INTEGER;

-- What is known of a person whatever the list: the latest of each, and all changes of consent. Consents are
-- JSON: [[at, "denied"], ...] in the order of time.
CREATE TABLE standings (
    account TEXT NOT NULL,
    recipient TEXT NOT NULL,
    invalid_at INTEGER,
    invalid_reset_at INTEGER,
    complained_at INTEGER,
    complained_reset_at INTEGER,
    opens_consent TEXT,
    clicks_consent TEXT,
    PRIMARY KEY (account, recipient)
) STRICT, WITHOUT ROWID;

-- Hits of people who withdrew their consent: sums, and nothing that leads to a person.
CREATE TABLE anonymous_hits (
    account TEXT NOT NULL,
    batch TEXT NOT NULL,
    type TEXT NOT NULL,
    actor TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (account, batch, type, actor)
) STRICT, WITHOUT ROWID;

-- So that a hit which is delivered twice is counted once. Random ids, kept for some days; nothing else has them.
CREATE TABLE counted_hits (
    id BLOB NOT NULL PRIMARY KEY
) STRICT, WITHOUT ROWID;

-- Stage changes in the order in which they were committed.
CREATE TABLE change_counters (
    account TEXT NOT NULL PRIMARY KEY,
    last INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE changes (
    account TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    message_id TEXT NOT NULL,
    stage TEXT NOT NULL,
    previous_stage TEXT,
    label TEXT,
    last_action TEXT NOT NULL,
    failure TEXT,
    is_correction INTEGER NOT NULL,
    changed_at INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER)),
    PRIMARY KEY (account, sequence)
) STRICT, WITHOUT ROWID;
CREATE INDEX changes_by_message ON changes (account, message_id);
