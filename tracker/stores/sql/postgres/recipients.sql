-- What is known of recipients. Parameters of the writing queries are columns, one array for each, sorted by key.

-- name: registrations
SELECT account, message_id, occurred_at, detail
FROM tracker.events
JOIN unnest($1::text[], $2::text[]) AS k (account, message_id) USING (account, message_id)
WHERE type = 'rewritten'

-- name: effects
-- What a message's events say of its recipient. The condition is that of the index.
SELECT account, message_id, type, occurred_at, list, detail
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

-- name: put_standings
INSERT INTO tracker.standings AS s (
    account, recipient,
    invalid_at, invalid_reset_at, complained_at, complained_reset_at, opens_granted_at, opens_unknown_at,
    opens_denied_at, opens_first_denied_at, clicks_granted_at, clicks_unknown_at, clicks_denied_at,
    clicks_first_denied_at, updated_at
)
SELECT *, clock_timestamp() FROM unnest(
    $1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[], $6::timestamptz[],
    $7::timestamptz[], $8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::timestamptz[],
    $12::timestamptz[], $13::timestamptz[], $14::timestamptz[]
)
ON CONFLICT (account, recipient) DO UPDATE SET
    invalid_at = greatest(s.invalid_at, excluded.invalid_at),
    invalid_reset_at = greatest(s.invalid_reset_at, excluded.invalid_reset_at),
    complained_at = greatest(s.complained_at, excluded.complained_at),
    complained_reset_at = greatest(s.complained_reset_at, excluded.complained_reset_at),
    opens_granted_at = greatest(s.opens_granted_at, excluded.opens_granted_at),
    opens_unknown_at = greatest(s.opens_unknown_at, excluded.opens_unknown_at),
    opens_denied_at = greatest(s.opens_denied_at, excluded.opens_denied_at),
    opens_first_denied_at = least(s.opens_first_denied_at, excluded.opens_first_denied_at),
    clicks_granted_at = greatest(s.clicks_granted_at, excluded.clicks_granted_at),
    clicks_unknown_at = greatest(s.clicks_unknown_at, excluded.clicks_unknown_at),
    clicks_denied_at = greatest(s.clicks_denied_at, excluded.clicks_denied_at),
    clicks_first_denied_at = least(s.clicks_first_denied_at, excluded.clicks_first_denied_at),
    updated_at = clock_timestamp()

-- name: standings
SELECT
    account, recipient,
    invalid_at, invalid_reset_at, complained_at, complained_reset_at, opens_granted_at, opens_unknown_at,
    opens_denied_at, opens_first_denied_at, clicks_granted_at, clicks_unknown_at, clicks_denied_at,
    clicks_first_denied_at
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
    invalid_at, invalid_reset_at, complained_at, complained_reset_at, opens_granted_at, opens_unknown_at,
    opens_denied_at, opens_first_denied_at, clicks_granted_at, clicks_unknown_at, clicks_denied_at,
    clicks_first_denied_at
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
ORDER BY rewritten_at

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
    e.reporter, e.reported_id, v.actor, v.reasons, v.rule_version
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
