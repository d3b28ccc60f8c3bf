-- What is known of recipients.

-- name: lock_accounts
-- The transaction holds the whole database already.
SELECT ?, ?

-- name: registrations
-- The index is named, here and below: without statistics, SQLite takes events_by_message, and reads all of a message's
-- hits.
SELECT account, message_id, occurred_at, detail
FROM events INDEXED BY registrations_by_message
WHERE account = ? AND message_id = ? AND type = 'rewritten'

-- name: effects
-- What a message's events say of its recipient. The condition is that of the index.
SELECT account, message_id, type, occurred_at, recorded_at, list, detail
FROM events INDEXED BY effects_by_message
WHERE account = ? AND message_id = ? AND type IN ('unsubscribed', 'failed', 'complained', 'consent_changed')

-- name: put_recipients
-- min() and max() of two values are NULL when one of them is. updated_at is for what recipient_changes tell: being
-- seen again is none.
INSERT INTO recipients (
    account, recipient, list, first_seen_at, last_seen_at, unsubscribed_at, reset_at, updated_at
)
VALUES (
    ?1, ?2, ?3, ?4, ?5, ?6, ?7,
    CASE WHEN ?6 IS NOT NULL OR ?7 IS NOT NULL THEN CAST(unixepoch('subsec') * 1000000 AS INTEGER) END
)
ON CONFLICT (account, recipient, list) DO UPDATE SET
    first_seen_at = coalesce(min(first_seen_at, excluded.first_seen_at), first_seen_at, excluded.first_seen_at),
    last_seen_at = coalesce(max(last_seen_at, excluded.last_seen_at), last_seen_at, excluded.last_seen_at),
    unsubscribed_at = coalesce(max(unsubscribed_at, excluded.unsubscribed_at), unsubscribed_at, excluded.unsubscribed_at),
    reset_at = coalesce(max(reset_at, excluded.reset_at), reset_at, excluded.reset_at),
    updated_at = CASE
        WHEN excluded.unsubscribed_at > coalesce(unsubscribed_at, -1) OR excluded.reset_at > coalesce(reset_at, -1)
        THEN CAST(unixepoch('subsec') * 1000000 AS INTEGER)
        ELSE updated_at
    END

-- name: add_standings
INSERT INTO standings (account, recipient) VALUES (?, ?) ON CONFLICT DO NOTHING

-- name: lock_standings
-- The transaction holds the whole database already.
SELECT
    account, recipient,
    invalid_at, invalid_reset_at, complained_at, complained_reset_at, opens_consent, clicks_consent
FROM standings
WHERE account = ? AND recipient = ?

-- name: put_standings
UPDATE standings SET
    invalid_at = ?3,
    invalid_reset_at = ?4,
    complained_at = ?5,
    complained_reset_at = ?6,
    opens_consent = ?7,
    clicks_consent = ?8,
    updated_at = CAST(unixepoch('subsec') * 1000000 AS INTEGER)
WHERE account = ?1 AND recipient = ?2

-- name: standings
SELECT
    account, recipient,
    invalid_at, invalid_reset_at, complained_at, complained_reset_at, opens_consent, clicks_consent
FROM standings
WHERE account = ? AND recipient = ?

-- name: list_standings
SELECT account, recipient, list, first_seen_at, last_seen_at, unsubscribed_at, reset_at
FROM recipients
WHERE account = ? AND recipient = ? AND list = ?

-- name: lists_of_recipient
SELECT account, recipient, list, first_seen_at, last_seen_at, unsubscribed_at, reset_at
FROM recipients
WHERE account = ? AND recipient = ?
ORDER BY list

-- name: clock
SELECT CAST(unixepoch('subsec') * 1000000 AS INTEGER)

-- name: changed_standings
SELECT
    updated_at, account, recipient,
    invalid_at, invalid_reset_at, complained_at, complained_reset_at, opens_consent, clicks_consent
FROM standings
WHERE (updated_at, account, recipient) > (?, ?, ?)
ORDER BY updated_at, account, recipient
LIMIT ?

-- name: changed_list_standings
SELECT updated_at, account, recipient, list, unsubscribed_at, reset_at
FROM recipients
WHERE updated_at IS NOT NULL AND (updated_at, account, recipient, list) > (?, ?, ?, ?)
ORDER BY updated_at, account, recipient, list
LIMIT ?

-- name: messages_of_recipients
SELECT account, message_id
FROM messages
WHERE account = ? AND recipient = ?

-- name: messages_by_rfc822_id
SELECT rfc822_message_id, message_id
FROM messages
WHERE account = ? AND rfc822_message_id = ?

-- name: add_reported
-- The ids that come back are those of events that were not reported before.
INSERT INTO reported_events (account, reporter, reported_id, event_id)
VALUES (?, ?, ?, ?)
ON CONFLICT DO NOTHING
RETURNING event_id

-- name: reported
SELECT event_id
FROM reported_events
WHERE account = ? AND reporter = ? AND reported_id = ?

-- name: known_events
SELECT id FROM events WHERE id = ?

-- name: hits_since
SELECT e.id, e.account, e.message_id, e.type, e.occurred_at, e.count, v.actor
FROM events AS e
JOIN verdicts AS v ON v.event_id = e.id
WHERE e.account = ? AND e.message_id = ? AND e.occurred_at >= ?

-- name: remove_events
DELETE FROM events WHERE id = ?

-- name: remove_verdicts
DELETE FROM verdicts WHERE event_id = ?

-- name: events_of_messages
SELECT
    e.id, e.node, e.occurred_at, e.last_at, e.recorded_at, e.count, e.account, e.message_id, e.type, e.link,
    e.url, e.list, a.user_agent, e.accept, e.purpose, e.address, e.source, e.network, e.detail, e.version,
    e.reporter, e.reported_id, v.actor, v.reasons, v.rule_version, a.device
FROM events AS e
LEFT JOIN user_agents AS a ON a.digest = e.user_agent
LEFT JOIN verdicts AS v ON v.event_id = e.id
WHERE e.account = ? AND e.message_id = ?

-- name: add_counted
-- The ids that come back were not counted yet.
INSERT INTO counted_hits (id) VALUES (?) ON CONFLICT DO NOTHING RETURNING id

-- name: count_anonymous
INSERT INTO anonymous_hits (account, batch, type, actor, count)
VALUES (?, ?, ?, ?, ?)
ON CONFLICT (account, batch, type, actor) DO UPDATE SET count = count + excluded.count
