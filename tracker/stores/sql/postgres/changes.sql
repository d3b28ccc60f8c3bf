-- Stage changes, in an order of their own for each account.

-- name: next_changes
INSERT INTO tracker.change_counters AS c (account, last) SELECT * FROM unnest($1::text[], $2::bigint[])
ON CONFLICT (account) DO UPDATE SET last = c.last + excluded.last
RETURNING account, last

-- name: add_changes
INSERT INTO tracker.changes (
    account, sequence, message_id, stage, previous_stage, label, last_action, failure, is_correction
)
SELECT * FROM unnest(
    $1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
    $9::boolean[]
)

-- name: remove_changes
DELETE FROM tracker.changes AS c
USING unnest($1::text[], $2::text[], $3::text[]) AS k (account, message_id, stage)
WHERE c.account = k.account AND c.message_id = k.message_id AND c.stage = k.stage

-- name: changes
SELECT
    c.sequence, c.message_id, m.batch, m.recipient, c.stage, c.previous_stage, c.label, c.last_action, c.failure,
    c.is_correction, c.changed_at
FROM tracker.changes AS c
LEFT JOIN tracker.messages AS m ON m.account = c.account AND m.message_id = c.message_id
WHERE c.account = $1 AND c.sequence > $2
ORDER BY c.sequence
LIMIT $3
