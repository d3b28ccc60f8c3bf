-- Stage changes, in an order of their own for each account.

-- name: next_changes
INSERT INTO change_counters (account, last) VALUES (?, ?)
ON CONFLICT (account) DO UPDATE SET last = last + excluded.last
RETURNING account, last

-- name: add_changes
INSERT INTO changes (
    account, sequence, message_id, stage, previous_stage, label, last_action, failure, is_correction
)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: remove_changes
DELETE FROM changes WHERE account = ? AND message_id = ? AND stage = ?

-- name: changes
SELECT
    c.sequence, c.message_id, m.batch, m.recipient, c.stage, c.previous_stage, c.label, c.last_action, c.failure,
    c.is_correction, c.changed_at
FROM changes AS c
LEFT JOIN messages AS m ON m.account = c.account AND m.message_id = c.message_id
WHERE c.account = ? AND c.sequence > ?
ORDER BY c.sequence
LIMIT ?
