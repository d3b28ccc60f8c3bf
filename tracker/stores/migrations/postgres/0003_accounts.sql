-- What operators have set up. The account `default` always exists, and has no row in accounts.

CREATE TABLE tracker.accounts (
    account text COLLATE "C" PRIMARY KEY,
    origin text COLLATE "C" NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE tracker.api_keys (
    id text COLLATE "C" PRIMARY KEY,
    account text COLLATE "C" NOT NULL,
    name text NOT NULL,
    digest bytea NOT NULL UNIQUE,
    scopes text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    revoked_at timestamptz
);
CREATE INDEX api_keys_by_account ON tracker.api_keys (account);
COMMENT ON COLUMN tracker.api_keys.digest IS 'SHA-256 of the key, which nobody keeps';
COMMENT ON COLUMN tracker.api_keys.scopes IS 'Words with a space between them';

CREATE TABLE tracker.hooks (
    id text COLLATE "C" PRIMARY KEY,
    account text COLLATE "C" NOT NULL,
    provider text COLLATE "C" NOT NULL,
    digest bytea NOT NULL UNIQUE,
    secret text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    revoked_at timestamptz
);
CREATE INDEX hooks_by_account ON tracker.hooks (account);
COMMENT ON COLUMN tracker.hooks.digest IS 'SHA-256 of the secret in the hook''s URL';
COMMENT ON COLUMN tracker.hooks.secret IS 'What the provider''s requests are verified with';

-- Only what was set: everything else follows the defaults, whatever they become.
CREATE TABLE tracker.account_settings (
    account text COLLATE "C" PRIMARY KEY,
    document jsonb NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- One row, changed by every change of the tables above, in the same transaction: whoever changes them locks it first.
CREATE TABLE tracker.directory_version (
    id smallint PRIMARY KEY CHECK (id = 1),
    version bigint NOT NULL
);
INSERT INTO tracker.directory_version (id, version) VALUES (1, 0);
