-- Parameters of the writing queries are one row; they are run for each row of a batch.

-- name: add_user_agents
INSERT INTO user_agents (digest, user_agent, device) VALUES (?, ?, ?) ON CONFLICT DO NOTHING

-- name: add_events
-- The ids that come back are the events that were not known yet.
INSERT INTO events (
    id, node, occurred_at, last_at, recorded_at, count, account, message_id, type, link, url, list,
    user_agent, accept, purpose, address, source, network, detail, version,
    reporter, reported_id
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO NOTHING
RETURNING id

-- name: put_verdicts
INSERT INTO verdicts (event_id, actor, reasons, rule_version) VALUES (?, ?, ?, ?)
ON CONFLICT (event_id) DO UPDATE SET
    actor = excluded.actor, reasons = excluded.reasons, rule_version = excluded.rule_version

-- name: settings_of_accounts
SELECT account, document FROM account_settings WHERE account = ?

-- name: earlier_hits_near
-- The latest of them, where there are more than anybody will look at.
SELECT
    e.id, e.node, e.occurred_at, e.last_at, e.recorded_at, e.count, e.account, e.message_id, e.type, e.link,
    e.url, e.list, a.user_agent, e.accept, e.purpose, e.address, e.source, e.network, e.detail, e.version,
    e.reporter, e.reported_id, v.actor, v.reasons, v.rule_version, a.device
FROM events AS e
JOIN verdicts AS v ON v.event_id = e.id
LEFT JOIN user_agents AS a ON a.digest = e.user_agent
WHERE e.account = ? AND e.message_id = ? AND e.occurred_at BETWEEN ? AND ?
ORDER BY e.occurred_at DESC
LIMIT ?

-- name: hit_times
SELECT
    ?1, ?2,
    min(CASE WHEN e.type = 'opened' AND v.actor <> 'machine' THEN e.occurred_at END),
    max(CASE WHEN e.type = 'opened' AND v.actor <> 'machine' THEN e.last_at END),
    min(CASE WHEN e.type = 'clicked' AND v.actor = 'human' THEN e.occurred_at END),
    max(CASE WHEN e.type = 'clicked' AND v.actor = 'human' THEN e.last_at END)
FROM events AS e
JOIN verdicts AS v ON v.event_id = e.id
WHERE e.account = ?1 AND e.message_id = ?2

-- name: add_messages
INSERT INTO messages (
    account, message_id, recipient, batch, list, message_class, tracks_opens, tracks_clicks, link_count,
    rfc822_message_id, rewritten_at, rewritten_id, failed_at, failed_id, failure, sent_at, delivered_at,
    first_opened_at, last_opened_at, first_clicked_at, last_clicked_at, replied_at, unsubscribed_at,
    complained_at, untracked_since, opens_human, opens_proxy, opens_machine, clicks_human, clicks_proxy,
    clicks_machine, links, devices, stage_rank, stage, label, last_action,
    updated_at, is_counted, version
) VALUES (
    ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,
    CAST(unixepoch('subsec') * 1000000 AS INTEGER), TRUE, 1
)

-- name: lock_messages
-- The transaction holds the whole database already.
SELECT
    account, message_id, recipient, batch, list, message_class, tracks_opens, tracks_clicks, link_count,
    rfc822_message_id, rewritten_at, rewritten_id, failed_at, failed_id, failure, sent_at, delivered_at,
    first_opened_at, last_opened_at, first_clicked_at, last_clicked_at, replied_at, unsubscribed_at,
    complained_at, untracked_since, opens_human, opens_proxy, opens_machine, clicks_human, clicks_proxy,
    clicks_machine, links, devices, is_counted
FROM messages
WHERE account = ? AND message_id = ?

-- name: messages
SELECT
    account, message_id, recipient, batch, list, message_class, tracks_opens, tracks_clicks, link_count,
    rfc822_message_id, rewritten_at, rewritten_id, failed_at, failed_id, failure, sent_at, delivered_at,
    first_opened_at, last_opened_at, first_clicked_at, last_clicked_at, replied_at, unsubscribed_at,
    complained_at, untracked_since, opens_human, opens_proxy, opens_machine, clicks_human, clicks_proxy,
    clicks_machine, links, devices, is_counted
FROM messages
WHERE account = ? AND message_id = ?

-- name: owners
SELECT message_id, recipient, batch FROM messages WHERE account = ? AND message_id = ? AND rewritten_at IS NOT NULL

-- name: put_messages
UPDATE messages SET
    recipient = ?3,
    batch = ?4,
    list = ?5,
    message_class = ?6,
    tracks_opens = ?7,
    tracks_clicks = ?8,
    link_count = ?9,
    rfc822_message_id = ?10,
    rewritten_at = ?11,
    rewritten_id = ?12,
    failed_at = ?13,
    failed_id = ?14,
    failure = ?15,
    sent_at = ?16,
    delivered_at = ?17,
    first_opened_at = ?18,
    last_opened_at = ?19,
    first_clicked_at = ?20,
    last_clicked_at = ?21,
    replied_at = ?22,
    unsubscribed_at = ?23,
    complained_at = ?24,
    untracked_since = ?25,
    opens_human = ?26,
    opens_proxy = ?27,
    opens_machine = ?28,
    clicks_human = ?29,
    clicks_proxy = ?30,
    clicks_machine = ?31,
    links = ?32,
    devices = ?33,
    stage_rank = ?34,
    stage = ?35,
    label = ?36,
    last_action = ?37,
    updated_at = CAST(unixepoch('subsec') * 1000000 AS INTEGER),
    is_counted = TRUE,
    version = version + 1
WHERE account = ?1 AND message_id = ?2

-- name: events
SELECT
    e.id, e.node, e.occurred_at, e.last_at, e.recorded_at, e.count, e.account, e.message_id, e.type, e.link,
    e.url, e.list, a.user_agent, e.accept, e.purpose, e.address, e.source, e.network, e.detail, e.version,
    e.reporter, e.reported_id, v.actor, v.reasons, v.rule_version
FROM events AS e
LEFT JOIN user_agents AS a ON a.digest = e.user_agent
LEFT JOIN verdicts AS v ON v.event_id = e.id
WHERE e.account = ? AND e.message_id = ? AND e.id > ?
ORDER BY e.id
LIMIT ?
