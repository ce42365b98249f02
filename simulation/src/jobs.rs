//! What schedules have the services do, by service and path.

/// Jobs that the schedule runs.
pub const JOBS: [(&str, &str); 15] = [
    ("booking", "/_jobs/expire"),
    ("booking", "/_jobs/relay"),
    ("booking", "/_jobs/settle"),
    ("booking", "/_jobs/mails"),
    ("booking", "/_jobs/call-offs"),
    ("booking", "/_jobs/gifts"),
    ("booking", "/_jobs/partial-reminder"),
    ("booking", "/_jobs/trek-reminder"),
    ("booking", "/_jobs/auto-cancel"),
    ("booking", "/_jobs/complete"),
    ("payment", "/_jobs/relay"),
    ("payment", "/_jobs/refunds"),
    ("payment", "/_jobs/reconcile"),
    ("payment", "/_jobs/report"),
    ("payment", "/_jobs/vouchers"),
];

/// Finds what nobody told of.
pub const DAILY_REPORT: (&str, &str) = ("payment", "/_jobs/report");

/// Jobs that bring everything in line again.
pub const RECOVERY: [(&str, &str); 10] = [
    DAILY_REPORT,
    ("payment", "/_jobs/reconcile"),
    ("payment", "/_jobs/refunds"),
    ("payment", "/_jobs/relay"),
    ("booking", "/_jobs/expire"),
    ("booking", "/_jobs/call-offs"),
    ("booking", "/_jobs/gifts"),
    ("booking", "/_jobs/settle"),
    ("booking", "/_jobs/mails"),
    ("booking", "/_jobs/relay"),
];
