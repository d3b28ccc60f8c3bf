-- What is known of recipients. Parameters of the writing queries are columns, one array for each, sorted by key.

-- name: lock_accounts
-- Alone, or together with others that do not want to be alone. The number spells "trac".
SELECT CASE
    WHEN alone THEN pg_advisory_xact_lock(1953653091, hashtext(account))
    ELSE pg_advisory_xact_lock_shared(1953653091, hashtext(account))
END
FROM unnest($1::text[], $2::boolean[]) AS k (account, alone)

-- name: registrations
SELECT account, message_id, occurred_at, detail
FROM tracker.events
JOIN unnest($1::text[], $2::text[]) AS k (account, message_id) USING (account, message_id)
WHERE type = 'rewritten'

-- name: effects
-- What a message's events say of its recipient. The condition is that of the index.
SELECT account, message_id, type, occurred_at, recorded_at, list, detail
FROM tracker.events
JOIN unnest($1::text[], $2::text[]) AS k (account, message_id) USING (account, message_id)
WHERE type IN ('unsubscribed', 'failed', 'complained', 'consent_changed')

-- name: put_recipients
-- least() and greatest() pass over NULL. updated_at is for what recipient_changes tell: being seen again is none.
INSERT INTO tracker.recipients AS r (
    account, recipient, list, first_seen_at, last_seen_at, unsubscribed_at, reset_at, updated_at
)
SELECT k.*, CASE WHEN k.unsubscribed_at IS NOT NULL OR k.reset_at IS NOT NULL THEN clock_timestamp() END
FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::timestamptz[],
    $7::timestamptz[]
) AS k (account, recipient, list, first_seen_at, last_seen_at, unsubscribed_at, reset_at)
ON CONFLICT (account, recipient, list) DO UPDATE SET
    first_seen_at = least(r.first_seen_at, excluded.first_seen_at),
    last_seen_at = greatest(r.last_seen_at, excluded.last_seen_at),
    unsubscribed_at = greatest(r.unsubscribed_at, excluded.unsubscribed_at),
    reset_at = greatest(r.reset_at, excluded.reset_at),
    updated_at = CASE
        WHEN excluded.unsubscribed_at > coalesce(r.unsubscribed_at, '-infinity')
            OR excluded.reset_at > coalesce(r.reset_at, '-infinity')
        THEN clock_timestamp()
        ELSE r.updated_at
    END

-- name: add_standings
INSERT INTO tracker.standings (account, recipient)
SELECT * FROM unnest($1::text[], $2::text[])
ON CONFLICT DO NOTHING

-- name: lock_standings
-- Sorted before they are locked: two batches never wait for each other.
SELECT
    account, recipient,
    invalid_at, invalid_reset_at, complained_at, complained_reset_at, opens_consent, clicks_consent
FROM tracker.standings AS s
JOIN unnest($1::text[], $2::text[]) AS k (account, recipient) USING (account, recipient)
ORDER BY account, recipient
FOR NO KEY UPDATE OF s

-- name: put_standings
UPDATE tracker.standings AS s SET
    invalid_at = n.invalid_at,
    invalid_reset_at = n.invalid_reset_at,
    complained_at = n.complained_at,
    complained_reset_at = n.complained_reset_at,
    opens_consent = n.opens_consent,
    clicks_consent = n.clicks_consent,
    updated_at = clock_timestamp()
FROM unnest(
    $1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[], $6::timestamptz[],
    $7::jsonb[], $8::jsonb[]
) AS n (
    account, recipient, invalid_at, invalid_reset_at, complained_at, complained_reset_at, opens_consent,
    clicks_consent
)
WHERE s.account = n.account AND s.recipient = n.recipient

-- name: standings
SELECT
    account, recipient,
    invalid_at, invalid_reset_at, complained_at, complained_reset_at, opens_consent, clicks_consent
FROM tracker.standings
JOIN unnest($1::text[], $2::text[]) AS k (account, recipient) USING (account, recipient)

-- name: list_standings
SELECT account, recipient, list, first_seen_at, last_seen_at, unsubscribed_at, reset_at
FROM tracker.recipients
JOIN unnest($1::text[], $2::text[], $3::text[]) AS k (account, recipient, list) USING (account, recipient, list)

-- name: lists_of_recipient
SELECT account, recipient, list, first_seen_at, last_seen_at, unsubscribed_at, reset_at
FROM tracker.recipients
WHERE account = $1 AND recipient = $2
ORDER BY list

-- name: clock
SELECT clock_timestamp()

-- name: changed_standings
SELECT
    updated_at, account, recipient,
    invalid_at, invalid_reset_at, complained_at, complained_reset_at, opens_consent, clicks_consent
FROM tracker.standings
WHERE (updated_at, account, recipient) > ($1, $2, $3)
ORDER BY updated_at, account, recipient
LIMIT $4

-- name: changed_list_standings
SELECT updated_at, account, recipient, list, unsubscribed_at, reset_at
FROM tracker.recipients
WHERE updated_at IS NOT NULL AND (updated_at, account, recipient, list) > ($1, $2, $3, $4)
ORDER BY updated_at, account, recipient, list
LIMIT $5

-- name: messages_of_recipients
SELECT account, message_id
FROM tracker.messages
JOIN unnest($1::text[], $2::text[]) AS k (account, recipient) USING (account, recipient)

-- name: messages_by_rfc822_id
SELECT rfc822_message_id, message_id
FROM tracker.messages
JOIN unnest($1::text[], $2::text[]) AS k (account, rfc822_message_id) USING (account, rfc822_message_id)

-- name: add_reported
-- The ids that come back are those of events that were not reported before.
INSERT INTO tracker.reported_events (account, reporter, reported_id, event_id)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::uuid[])
ON CONFLICT DO NOTHING
RETURNING event_id

-- name: reported
SELECT event_id
FROM tracker.reported_events
JOIN unnest($1::text[], $2::text[], $3::text[]) AS k (account, reporter, reported_id) USING (account, reporter, reported_id)

-- name: known_events
SELECT id FROM tracker.events JOIN unnest($1::uuid[]) AS k (id) USING (id)

-- name: hits_since
SELECT e.id, e.account, e.message_id, e.type, e.occurred_at, e.count, v.actor
FROM tracker.events AS e
JOIN unnest($1::text[], $2::text[], $3::timestamptz[]) AS k (account, message_id, since) USING (account, message_id)
JOIN tracker.verdicts AS v ON v.event_id = e.id
WHERE e.occurred_at >= k.since

-- name: remove_events
DELETE FROM tracker.events WHERE id = ANY ($1::uuid[])

-- name: remove_verdicts
DELETE FROM tracker.verdicts WHERE event_id = ANY ($1::uuid[])

-- name: events_of_messages
SELECT
    e.id, e.node, e.occurred_at, e.last_at, e.recorded_at, e.count, e.account, e.message_id, e.type, e.link,
    e.url, e.list, a.user_agent, e.accept, e.purpose, e.address, e.source, e.network, e.detail, e.version,
    e.reporter, e.reported_id, v.actor, v.reasons, v.rule_version, a.device
FROM tracker.events AS e
JOIN unnest($1::text[], $2::text[]) AS k (account, message_id) USING (account, message_id)
LEFT JOIN tracker.user_agents AS a ON a.digest = e.user_agent
LEFT JOIN tracker.verdicts AS v ON v.event_id = e.id

-- name: add_counted
-- The ids that come back were not counted yet.
INSERT INTO tracker.counted_hits (id) SELECT * FROM unnest($1::uuid[]) ON CONFLICT DO NOTHING RETURNING id

-- name: count_anonymous
INSERT INTO tracker.anonymous_hits AS h (account, batch, type, actor, count)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[])
ON CONFLICT (account, batch, type, actor) DO UPDATE SET count = h.count + excluded.count
