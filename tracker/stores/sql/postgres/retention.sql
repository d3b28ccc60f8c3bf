-- What is too old to be kept.

-- name: old_events
-- Ids grow with time, so this walks along the primary key, from the oldest event on.
SELECT id, message_id FROM tracker.events
WHERE id > $2 AND id < $3 AND account = $1
ORDER BY id
LIMIT $4

-- name: last_events
SELECT k.account, k.message_id, (
    SELECT id FROM tracker.events AS e
    WHERE e.account = k.account AND e.message_id = k.message_id
    ORDER BY id DESC
    LIMIT 1
)
FROM unnest($1::text[], $2::text[]) AS k (account, message_id)

-- name: remove_verdicts_of_messages
DELETE FROM tracker.verdicts WHERE event_id IN (
    SELECT id FROM tracker.events
    JOIN unnest($1::text[], $2::text[]) AS k (account, message_id) USING (account, message_id)
)

-- name: remove_reports_of_messages
DELETE FROM tracker.reported_events WHERE (account, reporter, reported_id) IN (
    SELECT account, reporter, reported_id FROM tracker.events
    JOIN unnest($1::text[], $2::text[]) AS k (account, message_id) USING (account, message_id)
    WHERE reporter IS NOT NULL AND reported_id IS NOT NULL
)

-- name: remove_events_of_messages
DELETE FROM tracker.events AS e
USING unnest($1::text[], $2::text[]) AS k (account, message_id)
WHERE e.account = k.account AND e.message_id = k.message_id

-- name: remove_changes_of_messages
DELETE FROM tracker.changes AS c
USING unnest($1::text[], $2::text[]) AS k (account, message_id)
WHERE c.account = k.account AND c.message_id = k.message_id

-- name: remove_messages
DELETE FROM tracker.messages AS m
USING unnest($1::text[], $2::text[]) AS k (account, message_id)
WHERE m.account = k.account AND m.message_id = k.message_id

-- name: remove_counted
DELETE FROM tracker.counted_hits WHERE id < $1

-- name: agents_of_messages
-- All events of the messages, by user agent.
SELECT e.user_agent, count(*)
FROM tracker.events AS e
JOIN unnest($1::text[], $2::text[]) AS k (account, message_id) USING (account, message_id)
GROUP BY e.user_agent

-- name: remove_unused_agents
DELETE FROM tracker.user_agents AS a
USING unnest($1::bigint[]) AS k (digest)
WHERE a.digest = k.digest AND NOT EXISTS (SELECT 1 FROM tracker.events AS e WHERE e.user_agent = a.digest)

-- name: agents_after
SELECT digest FROM tracker.user_agents WHERE digest > $1 ORDER BY digest LIMIT $2

-- name: lock_endpoints
-- Whoever makes deliveries of changes meanwhile has made them when this returns.
SELECT e.id
FROM tracker.webhook_endpoints AS e
JOIN unnest($1::text[]) AS k (account) USING (account)
ORDER BY e.id
FOR UPDATE OF e

-- name: deliveries_of_messages
SELECT d.endpoint, d.sequence
FROM unnest($1::text[], $2::text[]) AS k (account, message_id)
JOIN tracker.webhook_endpoints AS e USING (account)
JOIN tracker.webhook_deliveries AS d ON d.endpoint = e.id AND d.message_id = k.message_id AND d.state = 'pending'
UNION ALL
SELECT d.endpoint, d.sequence
FROM unnest($1::text[], $2::text[]) AS k (account, message_id)
JOIN tracker.webhook_endpoints AS e USING (account)
JOIN tracker.webhook_deliveries AS d ON d.endpoint = e.id AND d.message_id = k.message_id AND d.state = 'dead'
