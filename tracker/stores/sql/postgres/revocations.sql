-- What no link may lead to any more, as all nodes have it.

-- name: revocations_version
SELECT version FROM tracker.revocations_version

-- name: bump_revocations
-- Locks the one row until the end of the transaction: changes come one after the other.
UPDATE tracker.revocations_version SET version = version + 1

-- name: revocations
SELECT account, kind, value, is_revoked, changed_at, actor, reason FROM tracker.revocations

-- name: put_revocation
INSERT INTO tracker.revocations (account, kind, digest, value, is_revoked, changed_at, actor, reason)
SELECT *
FROM unnest(
    $1::text[], $2::text[], $3::bytea[], $4::text[], $5::boolean[], $6::timestamptz[], $7::text[], $8::text[]
)
ON CONFLICT (account, kind, digest) DO UPDATE
SET is_revoked = excluded.is_revoked, changed_at = excluded.changed_at, actor = excluded.actor, reason = excluded.reason

-- name: forget_revocation
DELETE FROM tracker.revocations AS r
USING unnest($1::text[], $2::text[], $3::bytea[]) AS gone (account, kind, digest)
WHERE r.account = gone.account AND r.kind = gone.kind AND r.digest = gone.digest
