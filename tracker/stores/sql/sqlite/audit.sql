-- What was done by administrators, for good.

-- name: add_audit
-- The last step of its transaction. Parameters: account, actor, act, subject, detail (JSON).
INSERT INTO audit (account, actor, act, subject, detail) VALUES (?, ?, ?, ?, ?)

-- name: add_audit_once
INSERT INTO audit (uid, at, account, actor, act, subject, detail) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (uid) DO NOTHING

-- name: audit_of
SELECT id, at, account, actor, act, subject, detail FROM audit WHERE account = ? AND id > ? ORDER BY id LIMIT ?

-- name: latest_audit
SELECT id, at, account, actor, act, subject, detail FROM audit ORDER BY id DESC LIMIT ?

-- name: latest_audit_of
SELECT id, at, account, actor, act, subject, detail FROM audit WHERE account = ? ORDER BY id DESC LIMIT ?
