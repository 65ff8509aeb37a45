-- Alerts, incidents, their deliveries and investigations.
-- Numbers: the last line that was taken, the latest event time, who leads.
CREATE TABLE meta (name TEXT PRIMARY KEY, value BIGINT NOT NULL);
CREATE TABLE rules (
    rule TEXT PRIMARY KEY,
    first_time BIGINT,
    last_time BIGINT,
    staged_since BIGINT,
    promoted_at BIGINT);
CREATE TABLE alerts (
    id TEXT PRIMARY KEY,
    seq BIGINT NOT NULL,
    changed_seq BIGINT NOT NULL,
    state TEXT NOT NULL,
    rule TEXT NOT NULL,
    severity BIGINT NOT NULL,
    subject TEXT NOT NULL,
    first_time BIGINT NOT NULL,
    last_time BIGINT NOT NULL,
    findings BIGINT NOT NULL,
    outcome TEXT NOT NULL,
    why TEXT,
    silencer TEXT,
    incident TEXT,
    opens BIGINT NOT NULL,
    inhibits BIGINT NOT NULL,
    reason TEXT,
    replaced_by TEXT,
    judged BIGINT,
    verdict TEXT,
    body TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL);
CREATE INDEX alerts_of_incident ON alerts (incident, seq);
CREATE INDEX alerts_that_open ON alerts (rule, opens, first_time);
CREATE INDEX alerts_that_inhibit ON alerts (inhibits, last_time);
CREATE INDEX alerts_by_time ON alerts (first_time);
CREATE INDEX alerts_replaced ON alerts (replaced_by);
CREATE INDEX alerts_silenced ON alerts (silencer);
CREATE TABLE alert_observables (
    kind TEXT NOT NULL, value TEXT NOT NULL, alert TEXT NOT NULL,
    PRIMARY KEY (kind, value, alert));
CREATE INDEX observables_of_alert ON alert_observables (alert);
CREATE TABLE incidents (
    id TEXT PRIMARY KEY,
    seq BIGINT NOT NULL,
    kind TEXT NOT NULL,
    rule TEXT,
    notifier TEXT,
    title TEXT NOT NULL,
    severity BIGINT NOT NULL,
    verdict TEXT NOT NULL,
    status TEXT NOT NULL,
    assignee TEXT,
    first_time BIGINT NOT NULL,
    last_time BIGINT NOT NULL,
    alerts BIGINT NOT NULL,
    live BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    closed_by TEXT,
    closed_reason TEXT,
    opened_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL);
CREATE INDEX incidents_of_rule ON incidents (rule, kind, seq);
CREATE INDEX incidents_of_notifier ON incidents (notifier, seq);
CREATE INDEX incidents_by_time ON incidents (last_time);
-- How many alerts of the incident have the value and are not withdrawn.
CREATE TABLE incident_observables (
    kind TEXT NOT NULL, value TEXT NOT NULL, incident TEXT NOT NULL, alerts BIGINT NOT NULL,
    PRIMARY KEY (kind, value, incident));
CREATE INDEX observables_of_incident ON incident_observables (incident);
CREATE TABLE history (
    incident TEXT NOT NULL, n BIGINT NOT NULL, at BIGINT NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL,
    PRIMARY KEY (incident, n));
CREATE TABLE deliveries (
    incident TEXT NOT NULL,
    notifier TEXT NOT NULL,
    state TEXT NOT NULL,
    wanted BIGINT NOT NULL,
    told BIGINT NOT NULL,
    receipt TEXT,
    attempts BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    ready_at BIGINT NOT NULL,
    failing_since BIGINT,
    uncertain BIGINT NOT NULL,
    error TEXT,
    summary TEXT,
    admitted_at BIGINT,
    told_at BIGINT,
    PRIMARY KEY (incident, notifier));
CREATE INDEX deliveries_due ON deliveries (notifier, state, due_at);
CREATE INDEX deliveries_first ON deliveries (notifier, admitted_at);
CREATE INDEX deliveries_summarised ON deliveries (summary);
CREATE TABLE runs (
    alert TEXT NOT NULL,
    enricher TEXT NOT NULL,
    delay BIGINT NOT NULL,
    state TEXT NOT NULL,
    due_at BIGINT NOT NULL,
    until BIGINT,
    attempts BIGINT NOT NULL,
    error TEXT,
    PRIMARY KEY (alert, enricher, delay));
CREATE INDEX runs_due ON runs (state, due_at);
CREATE TABLE rounds (
    alert TEXT NOT NULL, delay BIGINT NOT NULL, state TEXT NOT NULL, changed BIGINT NOT NULL,
    PRIMARY KEY (alert, delay));
CREATE INDEX rounds_by_state ON rounds (state, delay);
CREATE TABLE facts (
    alert TEXT NOT NULL, enricher TEXT NOT NULL, body TEXT NOT NULL, error TEXT, changed_at BIGINT NOT NULL,
    PRIMARY KEY (alert, enricher));
CREATE TABLE opinions (
    alert TEXT NOT NULL,
    reviewer TEXT NOT NULL,
    position BIGINT NOT NULL,
    severity BIGINT NOT NULL,
    verdict TEXT NOT NULL,
    reason TEXT NOT NULL,
    changed_at BIGINT NOT NULL,
    PRIMARY KEY (alert, reviewer));
CREATE TABLE calls (
    n BIGINT PRIMARY KEY,
    at BIGINT NOT NULL,
    plugin TEXT NOT NULL,
    subject TEXT NOT NULL,
    method TEXT NOT NULL,
    url TEXT NOT NULL,
    status BIGINT,
    bytes_sent BIGINT NOT NULL,
    bytes_received BIGINT NOT NULL,
    micros BIGINT NOT NULL,
    is_cached BIGINT NOT NULL,
    error TEXT);
CREATE INDEX calls_of_subject ON calls (subject, n);
CREATE INDEX calls_by_time ON calls (at);
CREATE TABLE cache (
    key TEXT PRIMARY KEY, body TEXT NOT NULL, expires_at BIGINT NOT NULL);
CREATE INDEX cache_by_expiry ON cache (expires_at);
