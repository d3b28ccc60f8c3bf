-- What operators have set up.

-- name: directory_version
SELECT version FROM tracker.directory_version

-- name: bump_directory
-- Locks the one row until the end of the transaction: changes come one after the other.
UPDATE tracker.directory_version SET version = version + 1

-- name: accounts
SELECT account, origin, created_at FROM tracker.accounts ORDER BY account

-- name: add_account
INSERT INTO tracker.accounts (account, origin) VALUES ($1, $2)

-- name: api_keys
SELECT account, id, name, digest, scopes, created_at, revoked_at
FROM tracker.api_keys
ORDER BY account, created_at, id

-- name: api_keys_of
SELECT account, id, name, digest, scopes, created_at, revoked_at
FROM tracker.api_keys
WHERE account = $1
ORDER BY created_at, id

-- name: live_api_keys
SELECT account, id, name, digest, scopes
FROM tracker.api_keys
WHERE revoked_at IS NULL
ORDER BY account, created_at, id

-- name: count_api_keys
SELECT count(*) FROM tracker.api_keys WHERE account = $1 AND revoked_at IS NULL

-- name: add_api_key
INSERT INTO tracker.api_keys (account, id, name, digest, scopes) VALUES ($1, $2, $3, $4, $5)

-- name: revoke_api_key
UPDATE tracker.api_keys SET revoked_at = coalesce(revoked_at, clock_timestamp()) WHERE id = $1 RETURNING account

-- name: trim_api_keys
-- Of those revoked, only the latest are kept.
DELETE FROM tracker.api_keys
WHERE id IN (
    SELECT id FROM tracker.api_keys
    WHERE account = $1 AND revoked_at IS NOT NULL
    ORDER BY revoked_at DESC, id
    OFFSET $2
)

-- name: hooks
SELECT account, id, provider, digest, secret, created_at, revoked_at
FROM tracker.hooks
ORDER BY account, created_at, id

-- name: hooks_of
SELECT account, id, provider, digest, secret, created_at, revoked_at
FROM tracker.hooks
WHERE account = $1
ORDER BY created_at, id

-- name: live_hooks
SELECT account, id, provider, digest, secret
FROM tracker.hooks
WHERE revoked_at IS NULL
ORDER BY account, created_at, id

-- name: count_hooks
SELECT count(*) FROM tracker.hooks WHERE account = $1 AND revoked_at IS NULL

-- name: add_hook
INSERT INTO tracker.hooks (account, id, provider, digest, secret) VALUES ($1, $2, $3, $4, $5)

-- name: revoke_hook
-- What it verified with is a secret that is of no more use.
UPDATE tracker.hooks SET secret = '', revoked_at = coalesce(revoked_at, clock_timestamp()) WHERE id = $1 RETURNING account

-- name: trim_hooks
DELETE FROM tracker.hooks
WHERE id IN (
    SELECT id FROM tracker.hooks
    WHERE account = $1 AND revoked_at IS NOT NULL
    ORDER BY revoked_at DESC, id
    OFFSET $2
)

-- name: account_settings
SELECT account, document FROM tracker.account_settings ORDER BY account

-- name: settings_of
SELECT document FROM tracker.account_settings WHERE account = $1

-- name: put_settings
INSERT INTO tracker.account_settings (account, document) VALUES ($1, $2)
ON CONFLICT (account) DO UPDATE SET document = excluded.document, updated_at = excluded.updated_at
