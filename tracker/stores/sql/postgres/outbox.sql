-- Webhook endpoints, and the deliveries that are still to be made to them.

-- name: add_endpoint
INSERT INTO tracker.webhook_endpoints (id, account, url, secret, cursor)
VALUES ($1, $2, $3, $4, coalesce((SELECT last FROM tracker.change_counters WHERE account = $2), 0))

-- name: list_endpoints
SELECT
    e.id, e.account, e.url, e.created_at, e.disabled_at, e.disabled_reason,
    (SELECT count(*) FROM tracker.webhook_deliveries AS d WHERE d.endpoint = e.id AND d.state = 'pending'),
    (SELECT count(*) FROM tracker.webhook_deliveries AS d WHERE d.endpoint = e.id AND d.state = 'dead'),
    greatest(coalesce((SELECT last FROM tracker.change_counters AS c WHERE c.account = e.account), 0) - e.cursor, 0),
    (
        SELECT d.last_error FROM tracker.webhook_deliveries AS d
        WHERE d.endpoint = e.id AND d.state = 'pending' AND d.last_error IS NOT NULL
        ORDER BY d.sequence LIMIT 1
    )
FROM tracker.webhook_endpoints AS e
WHERE $1::text IS NULL OR e.account = $1
ORDER BY e.account, e.created_at, e.id

-- name: account_of_endpoint
SELECT account FROM tracker.webhook_endpoints WHERE id = $1

-- name: remove_endpoint
DELETE FROM tracker.webhook_endpoints WHERE id = $1 RETURNING account

-- name: remove_deliveries
DELETE FROM tracker.webhook_deliveries WHERE endpoint = $1

-- name: enable_endpoint
UPDATE tracker.webhook_endpoints SET disabled_at = NULL, disabled_reason = NULL WHERE id = $1 RETURNING account

-- name: disable_endpoint
-- The first reason stays.
UPDATE tracker.webhook_endpoints SET
    disabled_reason = CASE WHEN disabled_at IS NULL THEN $2 ELSE disabled_reason END,
    disabled_at = coalesce(disabled_at, clock_timestamp())
WHERE id = $1
RETURNING account

-- name: rotate_endpoint
UPDATE tracker.webhook_endpoints SET previous_secret = secret, secret = $2, previous_until = $3
WHERE id = $1
RETURNING account

-- name: endpoints_to_serve
-- Has it something to do: changes without a delivery and room for them, or a delivery that is due and not held back?
SELECT
    e.id,
    (e.lease_owner IS NULL OR e.lease_owner = $1 OR e.lease_until <= clock_timestamp())
    AND (
        (
            e.cursor < coalesce((SELECT last FROM tracker.change_counters AS c WHERE c.account = e.account), 0)
            AND (
                SELECT count(*) FROM (
                    SELECT FROM tracker.webhook_deliveries AS d WHERE d.endpoint = e.id AND d.state = 'pending' LIMIT $3
                ) AS p
            ) < $3
        )
        OR EXISTS (
            SELECT FROM tracker.webhook_deliveries AS d
            WHERE d.endpoint = e.id AND d.state = 'pending' AND d.next_at <= $2 AND NOT EXISTS (
                SELECT FROM tracker.webhook_deliveries AS b
                WHERE b.endpoint = d.endpoint AND b.message_id = d.message_id AND b.sequence < d.sequence
                    AND b.state = 'pending'
            )
        )
    )
FROM tracker.webhook_endpoints AS e
WHERE e.disabled_at IS NULL
ORDER BY e.id

-- name: lease_endpoint
-- By the database's clock, which is the same for all who ask.
UPDATE tracker.webhook_endpoints SET
    lease_owner = $2,
    lease_until = clock_timestamp() + make_interval(secs => $3::float8)
WHERE id = $1 AND disabled_at IS NULL AND (lease_owner IS NULL OR lease_owner = $2 OR lease_until <= clock_timestamp())
RETURNING id, account, url, secret, previous_secret, previous_until

-- name: release_leases
UPDATE tracker.webhook_endpoints SET lease_owner = NULL, lease_until = NULL WHERE lease_owner = $1

-- name: lock_endpoint
SELECT e.account, e.cursor, coalesce((SELECT last FROM tracker.change_counters AS c WHERE c.account = e.account), 0)
FROM tracker.webhook_endpoints AS e
WHERE e.id = $1 AND e.disabled_at IS NULL
FOR UPDATE

-- name: count_pending
SELECT count(*) FROM (
    SELECT FROM tracker.webhook_deliveries WHERE endpoint = $1 AND state = 'pending' LIMIT $2
) AS p

-- name: add_deliveries
INSERT INTO tracker.webhook_deliveries (endpoint, sequence, message_id, next_at)
SELECT $1, sequence, message_id, $4
FROM tracker.changes
WHERE account = $2 AND sequence > $3
ORDER BY sequence
LIMIT $5
RETURNING sequence

-- name: move_cursor
UPDATE tracker.webhook_endpoints SET cursor = $2 WHERE id = $1

-- name: due_deliveries
-- The change's columns are those of the query ``changes``; they are NULL where the change is no longer kept.
SELECT
    d.sequence, d.message_id, d.attempts,
    c.sequence, c.message_id, m.batch, m.recipient, c.stage, c.previous_stage, c.label, c.last_action, c.failure,
    c.is_correction, c.changed_at
FROM tracker.webhook_endpoints AS e
JOIN tracker.webhook_deliveries AS d ON d.endpoint = e.id
LEFT JOIN tracker.changes AS c ON c.account = e.account AND c.sequence = d.sequence
LEFT JOIN tracker.messages AS m ON m.account = c.account AND m.message_id = c.message_id
WHERE e.id = $1 AND e.disabled_at IS NULL AND d.state = 'pending' AND d.next_at <= $2 AND NOT EXISTS (
    SELECT FROM tracker.webhook_deliveries AS b
    WHERE b.endpoint = d.endpoint AND b.message_id = d.message_id AND b.sequence < d.sequence AND b.state = 'pending'
)
ORDER BY d.next_at, d.sequence
LIMIT $3

-- name: delivered
DELETE FROM tracker.webhook_deliveries AS d
USING unnest($1::text[], $2::bigint[]) AS k (endpoint, sequence)
WHERE d.endpoint = k.endpoint AND d.sequence = k.sequence

-- name: failed_deliveries
UPDATE tracker.webhook_deliveries AS d SET
    attempts = d.attempts + 1,
    next_at = k.next_at,
    last_error = k.error,
    first_tried_at = coalesce(d.first_tried_at, k.tried_at),
    last_tried_at = k.tried_at
FROM unnest($1::text[], $2::bigint[], $3::timestamptz[], $4::timestamptz[], $5::text[])
    AS k (endpoint, sequence, tried_at, next_at, error)
WHERE d.endpoint = k.endpoint AND d.sequence = k.sequence AND d.state = 'pending'

-- name: dead_deliveries
UPDATE tracker.webhook_deliveries AS d SET
    attempts = d.attempts + 1,
    state = 'dead',
    last_error = k.error,
    first_tried_at = coalesce(d.first_tried_at, k.tried_at),
    last_tried_at = k.tried_at
FROM unnest($1::text[], $2::bigint[], $3::timestamptz[], $4::text[]) AS k (endpoint, sequence, tried_at, error)
WHERE d.endpoint = k.endpoint AND d.sequence = k.sequence AND d.state = 'pending'

-- name: dead_letters
SELECT d.endpoint, d.sequence, d.message_id, d.attempts, d.first_tried_at, d.last_tried_at, d.last_error
FROM tracker.webhook_deliveries AS d
WHERE d.state = 'dead' AND (d.endpoint, d.sequence) > ($1, $2::bigint) AND ($3::text IS NULL OR d.endpoint = $3)
ORDER BY d.endpoint, d.sequence
LIMIT $4

-- name: replay_deliveries
UPDATE tracker.webhook_deliveries AS d SET state = 'pending', attempts = 0, next_at = k.next_at
FROM unnest($1::text[], $2::bigint[], $3::timestamptz[]) AS k (endpoint, sequence, next_at)
WHERE d.endpoint = k.endpoint AND d.sequence = k.sequence AND d.state = 'dead'
RETURNING d.sequence

-- name: replay_all
UPDATE tracker.webhook_deliveries SET state = 'pending', attempts = 0, next_at = $2
WHERE endpoint = $1 AND state = 'dead'
RETURNING sequence
