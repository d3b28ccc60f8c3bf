-- What is too old to be kept.

-- name: old_events
-- Ids grow with time, so this walks along the primary key, from the oldest event on.
SELECT id, message_id FROM events
WHERE id > ?2 AND id < ?3 AND account = ?1
ORDER BY id
LIMIT ?4

-- name: last_events
SELECT ?1, ?2, (SELECT id FROM events WHERE account = ?1 AND message_id = ?2 ORDER BY id DESC LIMIT 1)

-- name: remove_verdicts_of_messages
DELETE FROM verdicts WHERE event_id IN (SELECT id FROM events WHERE account = ? AND message_id = ?)

-- name: remove_reports_of_messages
DELETE FROM reported_events WHERE (account, reporter, reported_id) IN (
    SELECT account, reporter, reported_id FROM events
    WHERE account = ? AND message_id = ? AND reporter IS NOT NULL AND reported_id IS NOT NULL
)

-- name: remove_events_of_messages
DELETE FROM events WHERE account = ? AND message_id = ?

-- name: remove_changes_of_messages
DELETE FROM changes WHERE account = ? AND message_id = ?

-- name: remove_messages
DELETE FROM messages WHERE account = ? AND message_id = ?

-- name: remove_counted
DELETE FROM counted_hits WHERE id < ?

-- name: agents_of_messages
-- All events of the message, by user agent.
SELECT user_agent, count(*) FROM events WHERE account = ? AND message_id = ? GROUP BY user_agent

-- name: remove_unused_agents
DELETE FROM user_agents WHERE digest = ?1 AND NOT EXISTS (SELECT 1 FROM events WHERE user_agent = ?1)

-- name: agents_after
SELECT digest FROM user_agents WHERE digest > ? ORDER BY digest LIMIT ?

-- name: lock_endpoints
-- The transaction holds the whole database already.
SELECT ?

-- name: deliveries_of_messages
SELECT d.endpoint, d.sequence
FROM webhook_endpoints AS e
JOIN webhook_deliveries AS d ON d.endpoint = e.id AND d.state = 'pending' AND d.message_id = ?2
WHERE e.account = ?1
UNION ALL
SELECT d.endpoint, d.sequence
FROM webhook_endpoints AS e
JOIN webhook_deliveries AS d ON d.endpoint = e.id AND d.state = 'dead' AND d.message_id = ?2
WHERE e.account = ?1
