-- Everything lives in a schema of its own, so that the core's own database can be the store.
-- Keys sort by their bytes (COLLATE "C"): the order in which Python sorts every batch, whatever the
-- database's locale, and the cheapest one to compare.

CREATE SCHEMA IF NOT EXISTS tracker;

CREATE TABLE tracker.migrations (
    number integer PRIMARY KEY,
    name text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- Interned: a few thousand strings make up nearly all traffic. The key is a digest of the string, so
-- that an event is written without looking its user agent up.
CREATE TABLE tracker.user_agents (
    digest bigint PRIMARY KEY,
    user_agent text NOT NULL
);

CREATE TABLE tracker.events (
    id uuid PRIMARY KEY,
    node text NOT NULL,
    occurred_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    count integer NOT NULL,
    account text COLLATE "C" NOT NULL,
    message_id text COLLATE "C" NOT NULL,
    type text NOT NULL,
    link integer,
    url text,
    list text,
    user_agent bigint,
    accept text,
    purpose text,
    address text,
    source bytea,
    network text,
    detail jsonb,
    version smallint NOT NULL
);
CREATE INDEX events_by_message ON tracker.events (account, message_id, id);
-- An unsubscribe needs its message's registrations, however many hits the message has.
CREATE INDEX registrations_by_message ON tracker.events (account, message_id) WHERE type = 'rewritten';

COMMENT ON TABLE tracker.events IS 'The facts, one row for each event. Never updated; changed only by adding columns.';
COMMENT ON COLUMN tracker.events.id IS 'UUIDv7, made when the event was stored on the node that saw it';
COMMENT ON COLUMN tracker.events.last_at IS 'When the last of the `count` hits happened';
COMMENT ON COLUMN tracker.events.recorded_at IS 'When the node stored the event';
COMMENT ON COLUMN tracker.events.user_agent IS 'tracker.user_agents.digest';
COMMENT ON COLUMN tracker.events.source IS 'Keyed hash of the client''s address, with a key of the day';
COMMENT ON COLUMN tracker.events.detail IS '{"registration": {...}} or {"delivery": {...}}';
COMMENT ON COLUMN tracker.events.version IS 'Version of the row''s format';

-- Apart from the events: facts stay, judgements may change.
CREATE TABLE tracker.verdicts (
    event_id uuid PRIMARY KEY,
    actor text NOT NULL,
    reasons jsonb NOT NULL,
    rule_version smallint NOT NULL
);

-- The folded status of each message. The spare room lets an update stay within its page.
CREATE TABLE tracker.messages (
    account text COLLATE "C" NOT NULL,
    message_id text COLLATE "C" NOT NULL,
    recipient text,
    batch text,
    list text,
    message_class text,
    tracks_opens boolean,
    tracks_clicks boolean,
    link_count integer,
    rfc822_message_id text,
    rewritten_at timestamptz,
    rewritten_id uuid,
    failed_at timestamptz,
    failed_id uuid,
    failure text,
    sent_at timestamptz,
    delivered_at timestamptz,
    first_opened_at timestamptz,
    last_opened_at timestamptz,
    first_clicked_at timestamptz,
    last_clicked_at timestamptz,
    replied_at timestamptz,
    unsubscribed_at timestamptz,
    complained_at timestamptz,
    opens_human bigint NOT NULL DEFAULT 0,
    opens_proxy bigint NOT NULL DEFAULT 0,
    opens_machine bigint NOT NULL DEFAULT 0,
    clicks_human bigint NOT NULL DEFAULT 0,
    clicks_proxy bigint NOT NULL DEFAULT 0,
    clicks_machine bigint NOT NULL DEFAULT 0,
    links jsonb NOT NULL DEFAULT '[]',
    stage_rank smallint NOT NULL DEFAULT 0,
    stage text NOT NULL DEFAULT 'sent',
    label text,
    last_action text NOT NULL DEFAULT 'Sent',
    updated_at timestamptz NOT NULL DEFAULT now(),
    version bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (account, message_id)
) WITH (fillfactor = 75);

-- What is known of a person on a list, kept when the messages that said so are gone.
CREATE TABLE tracker.recipients (
    account text COLLATE "C" NOT NULL,
    recipient text COLLATE "C" NOT NULL,
    list text COLLATE "C" NOT NULL,
    first_seen_at timestamptz,
    last_seen_at timestamptz,
    unsubscribed_at timestamptz,
    PRIMARY KEY (account, recipient, list)
);
COMMENT ON COLUMN tracker.recipients.first_seen_at IS 'When a message to the recipient was first registered for this list';

CREATE VIEW tracker.message_status AS
SELECT
    account, message_id, batch, recipient, stage, label, last_action, failure AS status,
    rewritten_at, sent_at, delivered_at, failed_at,
    first_opened_at, last_opened_at, first_clicked_at, last_clicked_at,
    replied_at, unsubscribed_at, complained_at,
    opens_human, opens_proxy, opens_machine, clicks_human, clicks_proxy, clicks_machine,
    links, updated_at, version
FROM tracker.messages;

COMMENT ON VIEW tracker.message_status IS 'One row for each message, for other programs to read; changed only by adding columns.';
COMMENT ON COLUMN tracker.message_status.links IS '[{"index", "url", "clicks": {"human", "proxy", "machine"}}], the links that were clicked';
COMMENT ON COLUMN tracker.message_status.version IS 'Grows with every change of the row';
