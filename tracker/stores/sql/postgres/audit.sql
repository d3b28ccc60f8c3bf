-- What was done by administrators, for good.

-- name: add_audit
-- The last step of its transaction. Parameters: account, actor, act, subject, detail (JSON).
WITH next AS (UPDATE tracker.audit_sequence SET last = last + 1 RETURNING last)
INSERT INTO tracker.audit (id, account, actor, act, subject, detail)
SELECT last, $1, $2, $3, $4, $5 FROM next

-- name: add_audit_once
WITH next AS (UPDATE tracker.audit_sequence SET last = last + 1 RETURNING last)
INSERT INTO tracker.audit (id, uid, at, account, actor, act, subject, detail)
SELECT last, $1, $2, $3, $4, $5, $6, $7 FROM next
ON CONFLICT (uid) DO NOTHING

-- name: audit_of
SELECT id, at, account, actor, act, subject, detail
FROM tracker.audit
WHERE account = $1 AND id > $2
ORDER BY id
LIMIT $3

-- name: latest_audit
SELECT id, at, account, actor, act, subject, detail FROM tracker.audit ORDER BY id DESC LIMIT $1

-- name: latest_audit_of
SELECT id, at, account, actor, act, subject, detail FROM tracker.audit WHERE account = $1 ORDER BY id DESC LIMIT $2
