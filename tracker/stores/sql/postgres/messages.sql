-- Parameters of the writing queries are columns, one array for each, sorted by key.

-- name: lock_migrations
-- Two processes that start at once apply them one after the other. The number spells "tracker".
SELECT pg_advisory_xact_lock(32776859903812978)

-- name: has_migrations
SELECT to_regclass('tracker.migrations') IS NOT NULL

-- name: applied_migration
SELECT coalesce(max(number), 0) FROM tracker.migrations

-- name: note_migration
INSERT INTO tracker.migrations (number, name) VALUES ($1, $2)

-- name: add_user_agents
INSERT INTO tracker.user_agents (digest, user_agent, device)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[])
ON CONFLICT DO NOTHING

-- name: add_events
-- The ids that come back are the events that were not known yet.
INSERT INTO tracker.events (
    id, node, occurred_at, last_at, recorded_at, count, account, message_id, type, link, url, list,
    user_agent, accept, purpose, address, source, network, detail, version,
    reporter, reported_id
)
SELECT * FROM unnest(
    $1::uuid[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[], $6::integer[],
    $7::text[], $8::text[], $9::text[], $10::integer[], $11::text[], $12::text[], $13::bigint[],
    $14::text[], $15::text[], $16::text[], $17::bytea[], $18::text[], $19::jsonb[], $20::smallint[],
    $21::text[], $22::text[]
)
ON CONFLICT (id) DO NOTHING
RETURNING id

-- name: put_verdicts
INSERT INTO tracker.verdicts (event_id, actor, reasons, rule_version)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::jsonb[], $4::smallint[])
ON CONFLICT (event_id) DO UPDATE SET
    actor = excluded.actor, reasons = excluded.reasons, rule_version = excluded.rule_version

-- name: settings_of_accounts
SELECT account, document FROM tracker.account_settings WHERE account = ANY ($1::text[])

-- name: earlier_hits_near
-- The latest of them, where there are more than anybody will look at.
SELECT
    e.id, e.node, e.occurred_at, e.last_at, e.recorded_at, e.count, e.account, e.message_id, e.type, e.link,
    e.url, e.list, a.user_agent, e.accept, e.purpose, e.address, e.source, e.network, e.detail, e.version,
    e.reporter, e.reported_id, e.actor, e.reasons, e.rule_version, a.device
FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::integer[])
    AS k (account, message_id, first, last, most)
CROSS JOIN LATERAL (
    SELECT each.*, v.actor, v.reasons, v.rule_version
    FROM tracker.events AS each
    JOIN tracker.verdicts AS v ON v.event_id = each.id
    WHERE each.account = k.account AND each.message_id = k.message_id AND each.occurred_at BETWEEN k.first AND k.last
    ORDER BY each.occurred_at DESC
    LIMIT k.most
) AS e
LEFT JOIN tracker.user_agents AS a ON a.digest = e.user_agent

-- name: hit_times
SELECT
    e.account, e.message_id,
    min(e.occurred_at) FILTER (WHERE e.type = 'opened' AND v.actor <> 'machine'),
    max(e.last_at) FILTER (WHERE e.type = 'opened' AND v.actor <> 'machine'),
    min(e.occurred_at) FILTER (WHERE e.type = 'clicked' AND v.actor = 'human'),
    max(e.last_at) FILTER (WHERE e.type = 'clicked' AND v.actor = 'human')
FROM tracker.events AS e
JOIN unnest($1::text[], $2::text[]) AS k (account, message_id) USING (account, message_id)
JOIN tracker.verdicts AS v ON v.event_id = e.id
GROUP BY e.account, e.message_id

-- name: add_messages
-- One that is there by now is an error, on which the whole transaction begins again.
INSERT INTO tracker.messages (
    account, message_id, recipient, batch, list, message_class, tracks_opens, tracks_clicks, link_count,
    rfc822_message_id, rewritten_at, rewritten_id, failed_at, failed_id, failure, sent_at, delivered_at,
    first_opened_at, last_opened_at, first_clicked_at, last_clicked_at, replied_at, unsubscribed_at,
    complained_at, untracked_since, opens_human, opens_proxy, opens_machine, clicks_human, clicks_proxy,
    clicks_machine, links, devices, stage_rank, stage, label, last_action,
    updated_at, is_counted, version
)
SELECT n.*, clock_timestamp(), TRUE, 1
FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::boolean[], $8::boolean[],
    $9::integer[], $10::text[], $11::timestamptz[], $12::uuid[], $13::timestamptz[], $14::uuid[],
    $15::text[], $16::timestamptz[], $17::timestamptz[], $18::timestamptz[], $19::timestamptz[],
    $20::timestamptz[], $21::timestamptz[], $22::timestamptz[], $23::timestamptz[], $24::timestamptz[],
    $25::timestamptz[], $26::bigint[], $27::bigint[], $28::bigint[], $29::bigint[], $30::bigint[], $31::bigint[],
    $32::jsonb[], $33::jsonb[], $34::smallint[], $35::text[], $36::text[], $37::text[]
) AS n

-- name: lock_messages
-- Sorted before they are locked: two batches never wait for each other.
SELECT
    account, message_id, recipient, batch, list, message_class, tracks_opens, tracks_clicks, link_count,
    rfc822_message_id, rewritten_at, rewritten_id, failed_at, failed_id, failure, sent_at, delivered_at,
    first_opened_at, last_opened_at, first_clicked_at, last_clicked_at, replied_at, unsubscribed_at,
    complained_at, untracked_since, opens_human, opens_proxy, opens_machine, clicks_human, clicks_proxy,
    clicks_machine, links, devices, is_counted
FROM tracker.messages AS m
JOIN unnest($1::text[], $2::text[]) AS k (account, message_id) USING (account, message_id)
ORDER BY account, message_id
FOR NO KEY UPDATE OF m

-- name: messages
SELECT
    account, message_id, recipient, batch, list, message_class, tracks_opens, tracks_clicks, link_count,
    rfc822_message_id, rewritten_at, rewritten_id, failed_at, failed_id, failure, sent_at, delivered_at,
    first_opened_at, last_opened_at, first_clicked_at, last_clicked_at, replied_at, unsubscribed_at,
    complained_at, untracked_since, opens_human, opens_proxy, opens_machine, clicks_human, clicks_proxy,
    clicks_machine, links, devices, is_counted
FROM tracker.messages
JOIN unnest($1::text[], $2::text[]) AS k (account, message_id) USING (account, message_id)

-- name: owners
SELECT message_id, recipient, batch
FROM tracker.messages
JOIN unnest($1::text[], $2::text[]) AS k (account, message_id) USING (account, message_id)
WHERE rewritten_at IS NOT NULL

-- name: put_messages
UPDATE tracker.messages AS m SET
    recipient = n.recipient,
    batch = n.batch,
    list = n.list,
    message_class = n.message_class,
    tracks_opens = n.tracks_opens,
    tracks_clicks = n.tracks_clicks,
    link_count = n.link_count,
    rfc822_message_id = n.rfc822_message_id,
    rewritten_at = n.rewritten_at,
    rewritten_id = n.rewritten_id,
    failed_at = n.failed_at,
    failed_id = n.failed_id,
    failure = n.failure,
    sent_at = n.sent_at,
    delivered_at = n.delivered_at,
    first_opened_at = n.first_opened_at,
    last_opened_at = n.last_opened_at,
    first_clicked_at = n.first_clicked_at,
    last_clicked_at = n.last_clicked_at,
    replied_at = n.replied_at,
    unsubscribed_at = n.unsubscribed_at,
    complained_at = n.complained_at,
    untracked_since = n.untracked_since,
    opens_human = n.opens_human,
    opens_proxy = n.opens_proxy,
    opens_machine = n.opens_machine,
    clicks_human = n.clicks_human,
    clicks_proxy = n.clicks_proxy,
    clicks_machine = n.clicks_machine,
    links = n.links,
    devices = n.devices,
    stage_rank = n.stage_rank,
    stage = n.stage,
    label = n.label,
    last_action = n.last_action,
    updated_at = clock_timestamp(),
    is_counted = TRUE,
    version = m.version + 1
FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::boolean[], $8::boolean[],
    $9::integer[], $10::text[], $11::timestamptz[], $12::uuid[], $13::timestamptz[], $14::uuid[],
    $15::text[], $16::timestamptz[], $17::timestamptz[], $18::timestamptz[], $19::timestamptz[],
    $20::timestamptz[], $21::timestamptz[], $22::timestamptz[], $23::timestamptz[], $24::timestamptz[],
    $25::timestamptz[], $26::bigint[], $27::bigint[], $28::bigint[], $29::bigint[], $30::bigint[], $31::bigint[],
    $32::jsonb[], $33::jsonb[], $34::smallint[], $35::text[], $36::text[], $37::text[]
) AS n (
    account, message_id, recipient, batch, list, message_class, tracks_opens, tracks_clicks, link_count,
    rfc822_message_id, rewritten_at, rewritten_id, failed_at, failed_id, failure, sent_at, delivered_at,
    first_opened_at, last_opened_at, first_clicked_at, last_clicked_at, replied_at, unsubscribed_at,
    complained_at, untracked_since, opens_human, opens_proxy, opens_machine, clicks_human, clicks_proxy,
    clicks_machine, links, devices, stage_rank, stage, label, last_action
)
WHERE m.account = n.account AND m.message_id = n.message_id

-- name: events
SELECT
    e.id, e.node, e.occurred_at, e.last_at, e.recorded_at, e.count, e.account, e.message_id, e.type, e.link,
    e.url, e.list, a.user_agent, e.accept, e.purpose, e.address, e.source, e.network, e.detail, e.version,
    e.reporter, e.reported_id, v.actor, v.reasons, v.rule_version
FROM tracker.events AS e
LEFT JOIN tracker.user_agents AS a ON a.digest = e.user_agent
LEFT JOIN tracker.verdicts AS v ON v.event_id = e.id
WHERE e.account = $1 AND e.message_id = $2 AND e.id > $3
ORDER BY e.id
LIMIT $4
