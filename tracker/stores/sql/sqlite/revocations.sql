-- What no link may lead to any more, as all nodes have it.

-- name: revocations_version
SELECT version FROM revocations_version

-- name: bump_revocations
UPDATE revocations_version SET version = version + 1

-- name: revocations
SELECT account, kind, value, is_revoked, changed_at, actor, reason FROM revocations

-- name: put_revocation
INSERT OR REPLACE INTO revocations (account, kind, digest, value, is_revoked, changed_at, actor, reason)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)

-- name: forget_revocation
DELETE FROM revocations WHERE account = ? AND kind = ? AND digest = ?
