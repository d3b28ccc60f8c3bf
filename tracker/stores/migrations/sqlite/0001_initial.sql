-- Times are microseconds since the Unix epoch; ids are 16 bytes. STRICT, so that a column holds what it says.

-- Interned: a few thousand strings make up nearly all traffic. The key is a digest of the string, so
-- that an event is written without looking its user agent up.
CREATE TABLE user_agents (
    digest INTEGER PRIMARY KEY,
    user_agent TEXT NOT NULL
) STRICT;

-- Without a rowid the table is its own index by id, and ids grow with time.
CREATE TABLE events (
    id BLOB NOT NULL PRIMARY KEY,
    node TEXT NOT NULL,
    occurred_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    count INTEGER NOT NULL,
    account TEXT NOT NULL,
    message_id TEXT NOT NULL,
    type TEXT NOT NULL,
    link INTEGER,
    url TEXT,
    list TEXT,
    user_agent INTEGER,
    accept TEXT,
    purpose TEXT,
    address TEXT,
    source BLOB,
    network TEXT,
    detail TEXT,
    version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX events_by_message ON events (account, message_id, id);
-- An unsubscribe needs its message's registrations, however many hits the message has.
CREATE INDEX registrations_by_message ON events (account, message_id) WHERE type = 'rewritten';

-- Apart from the events: facts stay, judgements may change.
CREATE TABLE verdicts (
    event_id BLOB NOT NULL PRIMARY KEY,
    actor TEXT NOT NULL,
    reasons TEXT NOT NULL,
    rule_version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE messages (
    account TEXT NOT NULL,
    message_id TEXT NOT NULL,
    recipient TEXT,
    batch TEXT,
    list TEXT,
    message_class TEXT,
    tracks_opens INTEGER,
    tracks_clicks INTEGER,
    link_count INTEGER,
    rfc822_message_id TEXT,
    rewritten_at INTEGER,
    rewritten_id BLOB,
    failed_at INTEGER,
    failed_id BLOB,
    failure TEXT,
    sent_at INTEGER,
    delivered_at INTEGER,
    first_opened_at INTEGER,
    last_opened_at INTEGER,
    first_clicked_at INTEGER,
    last_clicked_at INTEGER,
    replied_at INTEGER,
    unsubscribed_at INTEGER,
    complained_at INTEGER,
    opens_human INTEGER NOT NULL DEFAULT 0,
    opens_proxy INTEGER NOT NULL DEFAULT 0,
    opens_machine INTEGER NOT NULL DEFAULT 0,
    clicks_human INTEGER NOT NULL DEFAULT 0,
    clicks_proxy INTEGER NOT NULL DEFAULT 0,
    clicks_machine INTEGER NOT NULL DEFAULT 0,
    links TEXT NOT NULL DEFAULT '[]',
    stage_rank INTEGER NOT NULL DEFAULT 0,
    stage TEXT NOT NULL DEFAULT 'sent',
    label TEXT,
    last_action TEXT NOT NULL DEFAULT 'Sent',
    updated_at INTEGER NOT NULL DEFAULT 0,
    version INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (account, message_id)
) STRICT, WITHOUT ROWID;

-- What is known of a person on a list, kept when the messages that said so are gone.
CREATE TABLE recipients (
    account TEXT NOT NULL,
    recipient TEXT NOT NULL,
    list TEXT NOT NULL,
    first_seen_at INTEGER,
    last_seen_at INTEGER,
    unsubscribed_at INTEGER,
    PRIMARY KEY (account, recipient, list)
) STRICT, WITHOUT ROWID;

-- One row for each message, for other programs to read; changed only by adding columns.
CREATE VIEW message_status AS
SELECT
    account, message_id, batch, recipient, stage, label, last_action, failure AS status,
    rewritten_at, sent_at, delivered_at, failed_at,
    first_opened_at, last_opened_at, first_clicked_at, last_clicked_at,
    replied_at, unsubscribed_at, complained_at,
    opens_human, opens_proxy, opens_machine, clicks_human, clicks_proxy, clicks_machine,
    links, updated_at, version
FROM messages;
