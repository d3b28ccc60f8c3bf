-- What operators have set up.

-- name: directory_version
SELECT version FROM directory_version

-- name: bump_directory
UPDATE directory_version SET version = version + 1

-- name: accounts
SELECT account, origin, created_at FROM accounts ORDER BY account

-- name: add_account
INSERT INTO accounts (account, origin) VALUES (?, ?)

-- name: api_keys
SELECT account, id, name, digest, scopes, created_at, revoked_at
FROM api_keys
ORDER BY account, created_at, id

-- name: api_keys_of
SELECT account, id, name, digest, scopes, created_at, revoked_at
FROM api_keys
WHERE account = ?
ORDER BY created_at, id

-- name: live_api_keys
SELECT account, id, name, digest, scopes
FROM api_keys
WHERE revoked_at IS NULL
ORDER BY account, created_at, id

-- name: count_api_keys
SELECT count(*) FROM api_keys WHERE account = ? AND revoked_at IS NULL

-- name: add_api_key
INSERT INTO api_keys (account, id, name, digest, scopes) VALUES (?, ?, ?, ?, ?)

-- name: revoke_api_key
UPDATE api_keys SET revoked_at = coalesce(revoked_at, CAST(unixepoch('subsec') * 1000000 AS INTEGER)) WHERE id = ? RETURNING account

-- name: trim_api_keys
-- Of those revoked, only the latest are kept.
DELETE FROM api_keys
WHERE id IN (
    SELECT id FROM api_keys
    WHERE account = ? AND revoked_at IS NOT NULL
    ORDER BY revoked_at DESC, id
    LIMIT -1 OFFSET ?
)

-- name: hooks
SELECT account, id, provider, digest, secret, created_at, revoked_at
FROM hooks
ORDER BY account, created_at, id

-- name: hooks_of
SELECT account, id, provider, digest, secret, created_at, revoked_at
FROM hooks
WHERE account = ?
ORDER BY created_at, id

-- name: live_hooks
SELECT account, id, provider, digest, secret
FROM hooks
WHERE revoked_at IS NULL
ORDER BY account, created_at, id

-- name: count_hooks
SELECT count(*) FROM hooks WHERE account = ? AND revoked_at IS NULL

-- name: add_hook
INSERT INTO hooks (account, id, provider, digest, secret) VALUES (?, ?, ?, ?, ?)

-- name: revoke_hook
-- What it verified with is a secret that is of no more use.
UPDATE hooks SET secret = '', revoked_at = coalesce(revoked_at, CAST(unixepoch('subsec') * 1000000 AS INTEGER)) WHERE id = ? RETURNING account

-- name: trim_hooks
DELETE FROM hooks
WHERE id IN (
    SELECT id FROM hooks
    WHERE account = ? AND revoked_at IS NOT NULL
    ORDER BY revoked_at DESC, id
    LIMIT -1 OFFSET ?
)

-- name: account_settings
SELECT account, document FROM account_settings ORDER BY account

-- name: settings_of
SELECT document FROM account_settings WHERE account = ?

-- name: put_settings
INSERT INTO account_settings (account, document) VALUES (?, ?)
ON CONFLICT (account) DO UPDATE SET document = excluded.document, updated_at = excluded.updated_at
