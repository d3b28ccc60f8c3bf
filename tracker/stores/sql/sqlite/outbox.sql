-- Webhook endpoints, and the deliveries that are still to be made to them.

-- name: add_endpoint
INSERT INTO webhook_endpoints (id, account, url, secret, cursor)
VALUES (?1, ?2, ?3, ?4, coalesce((SELECT last FROM change_counters WHERE account = ?2), 0))

-- name: list_endpoints
SELECT
    e.id, e.account, e.url, e.created_at, e.disabled_at, e.disabled_reason,
    (SELECT count(*) FROM webhook_deliveries AS d WHERE d.endpoint = e.id AND d.state = 'pending'),
    (SELECT count(*) FROM webhook_deliveries AS d WHERE d.endpoint = e.id AND d.state = 'dead'),
    max(coalesce((SELECT last FROM change_counters AS c WHERE c.account = e.account), 0) - e.cursor, 0),
    (
        SELECT d.last_error FROM webhook_deliveries AS d
        WHERE d.endpoint = e.id AND d.state = 'pending' AND d.last_error IS NOT NULL
        ORDER BY d.sequence LIMIT 1
    )
FROM webhook_endpoints AS e
WHERE ?1 IS NULL OR e.account = ?1
ORDER BY e.account, e.created_at, e.id

-- name: account_of_endpoint
SELECT account FROM webhook_endpoints WHERE id = ?1

-- name: remove_endpoint
DELETE FROM webhook_endpoints WHERE id = ?1 RETURNING account

-- name: remove_deliveries
DELETE FROM webhook_deliveries WHERE endpoint = ?1

-- name: enable_endpoint
UPDATE webhook_endpoints SET disabled_at = NULL, disabled_reason = NULL WHERE id = ?1 RETURNING account

-- name: disable_endpoint
-- The first reason stays.
UPDATE webhook_endpoints SET
    disabled_reason = CASE WHEN disabled_at IS NULL THEN ?2 ELSE disabled_reason END,
    disabled_at = coalesce(disabled_at, CAST(unixepoch('subsec') * 1000000 AS INTEGER))
WHERE id = ?1
RETURNING account

-- name: rotate_endpoint
UPDATE webhook_endpoints SET previous_secret = secret, secret = ?2, previous_until = ?3
WHERE id = ?1
RETURNING account

-- name: endpoints_to_serve
-- Has it something to do: changes without a delivery and room for them, or a delivery that is due and not held back?
SELECT
    e.id,
    (
        e.lease_owner IS NULL OR e.lease_owner = ?1
        OR e.lease_until <= CAST(unixepoch('subsec') * 1000000 AS INTEGER)
    ) AND (
        (
            e.cursor < coalesce((SELECT last FROM change_counters AS c WHERE c.account = e.account), 0)
            AND (
                SELECT count(*) FROM (
                    SELECT 1 FROM webhook_deliveries AS d WHERE d.endpoint = e.id AND d.state = 'pending' LIMIT ?3
                )
            ) < ?3
        )
        OR EXISTS (
            SELECT 1 FROM webhook_deliveries AS d
            WHERE d.endpoint = e.id AND d.state = 'pending' AND d.next_at <= ?2 AND NOT EXISTS (
                SELECT 1 FROM webhook_deliveries AS b
                WHERE b.endpoint = d.endpoint AND b.message_id = d.message_id AND b.sequence < d.sequence
                    AND b.state = 'pending'
            )
        )
    )
FROM webhook_endpoints AS e
WHERE e.disabled_at IS NULL
ORDER BY e.id

-- name: lease_endpoint
-- By the database's clock, which is the same for all who ask.
UPDATE webhook_endpoints SET
    lease_owner = ?2,
    lease_until = CAST((unixepoch('subsec') + ?3) * 1000000 AS INTEGER)
WHERE id = ?1 AND disabled_at IS NULL
    AND (lease_owner IS NULL OR lease_owner = ?2 OR lease_until <= CAST(unixepoch('subsec') * 1000000 AS INTEGER))
RETURNING id, account, url, secret, previous_secret, previous_until

-- name: release_leases
UPDATE webhook_endpoints SET lease_owner = NULL, lease_until = NULL WHERE lease_owner = ?1

-- name: lock_endpoint
SELECT e.account, e.cursor, coalesce((SELECT last FROM change_counters AS c WHERE c.account = e.account), 0)
FROM webhook_endpoints AS e
WHERE e.id = ?1 AND e.disabled_at IS NULL

-- name: count_pending
SELECT count(*) FROM (SELECT 1 FROM webhook_deliveries WHERE endpoint = ?1 AND state = 'pending' LIMIT ?2)

-- name: add_deliveries
INSERT INTO webhook_deliveries (endpoint, sequence, message_id, next_at)
SELECT ?1, sequence, message_id, ?4
FROM changes
WHERE account = ?2 AND sequence > ?3
ORDER BY sequence
LIMIT ?5
RETURNING sequence

-- name: move_cursor
UPDATE webhook_endpoints SET cursor = ?2 WHERE id = ?1

-- name: due_deliveries
-- The change's columns are those of the query ``changes``; they are NULL where the change is no longer kept.
SELECT
    d.sequence, d.message_id, d.attempts,
    c.sequence, c.message_id, m.batch, m.recipient, c.stage, c.previous_stage, c.label, c.last_action, c.failure,
    c.is_correction, c.changed_at
FROM webhook_endpoints AS e
JOIN webhook_deliveries AS d ON d.endpoint = e.id
LEFT JOIN changes AS c ON c.account = e.account AND c.sequence = d.sequence
LEFT JOIN messages AS m ON m.account = c.account AND m.message_id = c.message_id
WHERE e.id = ?1 AND e.disabled_at IS NULL AND d.state = 'pending' AND d.next_at <= ?2 AND NOT EXISTS (
    SELECT 1 FROM webhook_deliveries AS b
    WHERE b.endpoint = d.endpoint AND b.message_id = d.message_id AND b.sequence < d.sequence AND b.state = 'pending'
)
ORDER BY d.next_at, d.sequence
LIMIT ?3

-- name: delivered
DELETE FROM webhook_deliveries WHERE endpoint = ? AND sequence = ?

-- name: failed_deliveries
UPDATE webhook_deliveries SET
    attempts = attempts + 1,
    next_at = ?4,
    last_error = ?5,
    first_tried_at = coalesce(first_tried_at, ?3),
    last_tried_at = ?3
WHERE endpoint = ?1 AND sequence = ?2 AND state = 'pending'

-- name: dead_deliveries
UPDATE webhook_deliveries SET
    attempts = attempts + 1,
    state = 'dead',
    last_error = ?4,
    first_tried_at = coalesce(first_tried_at, ?3),
    last_tried_at = ?3
WHERE endpoint = ?1 AND sequence = ?2 AND state = 'pending'

-- name: dead_letters
SELECT d.endpoint, d.sequence, d.message_id, d.attempts, d.first_tried_at, d.last_tried_at, d.last_error
FROM webhook_deliveries AS d
WHERE d.state = 'dead' AND (d.endpoint, d.sequence) > (?1, ?2) AND (?3 IS NULL OR d.endpoint = ?3)
ORDER BY d.endpoint, d.sequence
LIMIT ?4

-- name: replay_deliveries
UPDATE webhook_deliveries SET state = 'pending', attempts = 0, next_at = ?3
WHERE endpoint = ?1 AND sequence = ?2 AND state = 'dead'
RETURNING sequence

-- name: replay_all
UPDATE webhook_deliveries SET state = 'pending', attempts = 0, next_at = ?2
WHERE endpoint = ?1 AND state = 'dead'
RETURNING sequence
