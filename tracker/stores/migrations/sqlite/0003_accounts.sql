-- What operators have set up. The account `default` always exists, and has no row in accounts.

CREATE TABLE accounts (
    account TEXT NOT NULL PRIMARY KEY,
    origin TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER))
) STRICT, WITHOUT ROWID;

-- The digest only: nobody keeps a key itself. Scopes are words with a space between them.
CREATE TABLE api_keys (
    id TEXT NOT NULL PRIMARY KEY,
    account TEXT NOT NULL,
    name TEXT NOT NULL,
    digest BLOB NOT NULL UNIQUE,
    scopes TEXT NOT NULL,
    created_at INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER)),
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX api_keys_by_account ON api_keys (account);

-- The digest is of the secret in the hook's URL; the other secret is what the provider's requests are verified with.
CREATE TABLE hooks (
    id TEXT NOT NULL PRIMARY KEY,
    account TEXT NOT NULL,
    provider TEXT NOT NULL,
    digest BLOB NOT NULL UNIQUE,
    secret TEXT NOT NULL,
    created_at INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER)),
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX hooks_by_account ON hooks (account);

-- Only what was set: everything else follows the defaults, whatever they become.
CREATE TABLE account_settings (
    account TEXT NOT NULL PRIMARY KEY,
    document TEXT NOT NULL,
    updated_at INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER))
) STRICT, WITHOUT ROWID;

-- One row, changed by every change of the tables above, in the same transaction.
CREATE TABLE directory_version (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    version INTEGER NOT NULL
) STRICT;
INSERT INTO directory_version (id, version) VALUES (1, 0);
