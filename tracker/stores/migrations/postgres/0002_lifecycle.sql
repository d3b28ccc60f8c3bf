-- What others report, and what is known of a recipient beyond one list.

ALTER TABLE tracker.events ADD COLUMN reporter text, ADD COLUMN reported_id text;
COMMENT ON COLUMN tracker.events.message_id IS 'Empty for what is said of a recipient, and of no message';
COMMENT ON COLUMN tracker.events.reporter IS 'Who reported what tracker did not see itself: api, mail, or a provider''s name';
COMMENT ON COLUMN tracker.events.reported_id IS 'The reporter''s own id of the event';
COMMENT ON COLUMN tracker.events.detail IS '{"registration": {...}}, {"delivery": {...}} or {"change": {...}}';

-- What a message's events say of its recipient, for a registration that comes later.
CREATE INDEX effects_by_message ON tracker.events (account, message_id)
WHERE type IN ('unsubscribed', 'failed', 'complained', 'consent_changed');

-- Callers' and providers' own event ids: one event for each.
CREATE TABLE tracker.reported_events (
    account text COLLATE "C" NOT NULL,
    reporter text COLLATE "C" NOT NULL,
    reported_id text COLLATE "C" NOT NULL,
    event_id uuid NOT NULL,
    PRIMARY KEY (account, reporter, reported_id)
);

ALTER TABLE tracker.messages ADD COLUMN untracked_since timestamptz;
COMMENT ON COLUMN tracker.messages.untracked_since IS 'Since when hits are not kept, where the message has no recipient';
CREATE INDEX messages_by_recipient ON tracker.messages (account, recipient) WHERE recipient IS NOT NULL;
CREATE INDEX messages_by_rfc822_id ON tracker.messages (account, rfc822_message_id)
WHERE rfc822_message_id IS NOT NULL;

ALTER TABLE tracker.recipients ADD COLUMN reset_at timestamptz;
COMMENT ON COLUMN tracker.recipients.unsubscribed_at IS 'The last time; it stands unless reset_at is later';
COMMENT ON COLUMN tracker.recipients.reset_at IS 'When an operator lifted the unsubscribe';

-- What is known of a person whatever the list: the latest of each, and all changes of consent.
CREATE TABLE tracker.standings (
    account text COLLATE "C" NOT NULL,
    recipient text COLLATE "C" NOT NULL,
    invalid_at timestamptz,
    invalid_reset_at timestamptz,
    complained_at timestamptz,
    complained_reset_at timestamptz,
    opens_consent jsonb,
    clicks_consent jsonb,
    PRIMARY KEY (account, recipient)
);
COMMENT ON COLUMN tracker.standings.opens_consent IS '[[at, "denied"], ...] in the order of time, in microseconds of Unix';
COMMENT ON COLUMN tracker.standings.clicks_consent IS 'As opens_consent';

-- Hits of people who withdrew their consent: sums, and nothing that leads to a person.
CREATE TABLE tracker.anonymous_hits (
    account text COLLATE "C" NOT NULL,
    batch text COLLATE "C" NOT NULL,
    type text COLLATE "C" NOT NULL,
    actor text COLLATE "C" NOT NULL,
    count bigint NOT NULL,
    PRIMARY KEY (account, batch, type, actor)
);
COMMENT ON COLUMN tracker.anonymous_hits.batch IS 'Empty for messages without a batch';

-- So that a hit which is delivered twice is counted once. Random ids, kept for some days; nothing else has them.
CREATE TABLE tracker.counted_hits (
    id uuid PRIMARY KEY
);

-- Stage changes in the order in which they were committed: the counter's row is locked until then, so that nobody
-- who reads on from a number can miss a smaller one.
CREATE TABLE tracker.change_counters (
    account text COLLATE "C" PRIMARY KEY,
    last bigint NOT NULL
);

CREATE TABLE tracker.changes (
    account text COLLATE "C" NOT NULL,
    sequence bigint NOT NULL,
    message_id text COLLATE "C" NOT NULL,
    stage text NOT NULL,
    previous_stage text,
    label text,
    last_action text NOT NULL,
    failure text,
    is_correction boolean NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (account, sequence)
);
CREATE INDEX changes_by_message ON tracker.changes (account, message_id);
COMMENT ON TABLE tracker.changes IS 'Each change of a message''s stage; changed only by adding columns.';
COMMENT ON COLUMN tracker.changes.is_correction IS 'Whether the stage moved back';
