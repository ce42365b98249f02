//! The host's metrics, in the text form that Prometheus reads.
//!
//! Labels are resolved when a component is loaded, or a link between two is
//! made: whoever counts holds a handle, and counting neither looks anything up
//! nor allocates. Every name, unit and label is in this file.
//!
//! | Metric | Labels |
//! |---|---|
//! | `cairn_http_requests_total` | component, status: `1xx` … `5xx`, `cancelled` |
//! | `cairn_http_request_duration_seconds` | component |
//! | `cairn_http_requests_in_flight` | component |
//! | `cairn_admission_rejections_total` | component, reason |
//! | `cairn_instances` | component |
//! | `cairn_memory_bytes` | component |
//! | `cairn_instances_created_total` | component |
//! | `cairn_instances_dropped_total` | component, reason |
//! | `cairn_calls_total` | caller, callee, function, outcome |
//! | `cairn_call_duration_seconds` | caller, callee, function |
//! | `cairn_traps_total` | component |
//! | `cairn_deadlines_total` | component, limit |
//! | `cairn_limits_reached_total` | component, limit |
//! | `cairn_sqlite_…_total`, see `host::database_metrics` | database |
//! | `cairn_scheduler_runs_total` | component, job, outcome |
//! | `cairn_outbound_http_requests_total` | component, outcome |
//! | `cairn_telemetry_exports_total` | signal: `traces`, `metrics`; outcome |
//! | `cairn_telemetry_spans_dropped` | |
//! | `process_resident_memory_bytes`, `process_start_time_seconds` | |

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Instant, SystemTime},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text::encode},
    metrics::{
        MetricType,
        counter::Counter,
        family::{Family, MetricConstructor},
        gauge::{ConstGauge, Gauge},
        histogram::Histogram,
    },
    registry::{Registry, Unit},
};

/// Media type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Buckets of durations, in seconds.
const DURATION_BUCKETS: [f64; 14] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// An enum whose values are those of a label.
macro_rules! label {
    ($(#[$doc:meta])* $name:ident { $($(#[$value_doc:meta])* $value:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$value_doc])* $value,)+ }

        impl Label for $name {
            const ALL: &'static [Self] = &[$(Self::$value,)+];

            fn as_str(self) -> &'static str {
                match self { $(Self::$value => $text,)+ }
            }

            fn index(self) -> usize {
                self as usize
            }
        }
    };
}

trait Label: Copy + 'static {
    const ALL: &'static [Self];
    fn as_str(self) -> &'static str;
    fn index(self) -> usize;
}

label! {
    /// How a request ended: the class of its status, or that its client went away.
    Status {
        Informational = "1xx",
        Success = "2xx",
        Redirection = "3xx",
        ClientError = "4xx",
        ServerError = "5xx",
        /// The client went away before the answer.
        Cancelled = "cancelled",
    }
}

label! {
    /// Why a request or call was turned away.
    Rejection {
        /// As many wait for an instance as may.
        QueueFull = "queue_full",
        /// It waited for an instance as long as it may.
        QueueTimeout = "queue_timeout",
        /// The host is stopping.
        Stopping = "stopping",
    }
}

label! {
    /// Why an instance ended.
    Dropped {
        Trap = "trap",
        /// It ran into a limit on time.
        Deadline = "deadline",
        /// It has served as many requests as an instance may.
        Worn = "worn",
        /// Nobody needed it for a while.
        Idle = "idle",
        /// Its version was replaced.
        Swap = "swap",
        /// The host is stopping.
        Stop = "stop",
        /// Its caller went away while it worked.
        Cancelled = "cancelled",
    }
}

label! {
    /// How a call from one component to another ended.
    CallOutcome {
        /// It returned, be it an error of the callee's own interface.
        Returned = "returned",
        Trap = "trap",
        Deadline = "deadline",
        /// The callee has no room.
        Rejected = "rejected",
        /// Not tried: the callee has failed too often lately.
        CircuitOpen = "circuit_open",
        /// The callee could not be reached for another reason.
        Failed = "failed",
        /// The caller went away.
        Cancelled = "cancelled",
    }
}

label! {
    /// Which limit on time was reached.
    Deadline {
        /// Wall time of a request or call.
        Request = "request",
        /// Time to compute.
        Cpu = "cpu",
        /// Wall time of a database statement.
        Statement = "statement",
    }
}

label! {
    /// How a run of a job or wake ended.
    RunOutcome {
        Completed = "completed",
        Failed = "failed",
        /// Failed for the last time.
        GaveUp = "gave_up",
        /// Not begun: the previous run was not over.
        Skipped = "skipped",
    }
}

label! {
    /// How a request to the outside ended.
    Outbound {
        /// An answer came, whatever its status.
        Answered = "answered",
        /// The component may not connect there.
        Denied = "denied",
        Failed = "failed",
        Timeout = "timeout",
    }
}

label! {
    /// Which limit, other than on time, was reached.
    LimitReached {
        /// Linear memory of an instance.
        Memory = "memory",
        /// Rows of a database statement.
        QueryRows = "query_rows",
        /// Bytes of a database statement's result.
        QueryBytes = "query_bytes",
        /// HTTP requests to the outside at once.
        OutboundRequests = "outbound_requests",
        /// Raw connections to the outside that are open.
        OutboundConnections = "outbound_connections",
        /// Bytes of a key in a key-value store.
        KeyBytes = "key_bytes",
        /// Bytes of a value in a key-value store.
        ValueBytes = "value_bytes",
    }
}

label! {
    /// What became of telemetry that was sent to a collector.
    ExportOutcome {
        Sent = "sent",
        /// It was not taken, twice.
        Lost = "lost",
    }
}

impl Status {
    /// The class of an HTTP status.
    #[must_use]
    pub fn of(status: u16) -> Self {
        match status {
            100..200 => Self::Informational,
            200..300 => Self::Success,
            300..400 => Self::Redirection,
            400..500 => Self::ClientError,
            _ => Self::ServerError,
        }
    }
}

type Labels = Vec<(&'static str, String)>;
type Counters = Family<Labels, Counter>;
type Gauges = Family<Labels, Gauge>;
type Histograms = Family<Labels, Histogram, DurationBuckets>;

#[derive(Clone, Copy)]
struct DurationBuckets;

impl MetricConstructor<Histogram> for DurationBuckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(DURATION_BUCKETS)
    }
}

/// One counter for each value of a label.
#[derive(Debug)]
struct PerLabel<L> {
    counters: Box<[Counter]>,
    label: std::marker::PhantomData<L>,
}

impl<L: Label> PerLabel<L> {
    fn new(family: &Counters, labels: &Labels, name: &'static str) -> Self {
        let counter = |value: &L| {
            let mut labels = labels.clone();
            labels.push((name, value.as_str().to_owned()));
            family.get_or_create_owned(&labels)
        };
        Self { counters: L::ALL.iter().map(counter).collect(), label: std::marker::PhantomData }
    }

    fn inc(&self, value: L) {
        if let Some(counter) = self.counters.get(value.index()) {
            counter.inc();
        }
    }
}

/// Every metric of the host.
pub struct Metrics {
    registry: Registry,
    families: Families,
    components: Mutex<HashMap<String, Arc<ComponentMetrics>>>,
}

struct Families {
    requests: Counters,
    request_duration: Histograms,
    in_flight: Gauges,
    rejections: Counters,
    instances: Gauges,
    memory: Gauges,
    instances_created: Counters,
    instances_dropped: Counters,
    calls: Counters,
    call_duration: Histograms,
    traps: Counters,
    deadlines: Counters,
    limits: Counters,
    scheduler_runs: Counters,
    outbound: Counters,
    exports: Counters,
    spans_dropped: Gauge,
}

impl Metrics {
    /// Metrics that start from zero. A process needs one.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Self::with_collectors([])
    }

    /// Metrics that start from zero, and what `collectors` tell when they are read.
    #[must_use]
    pub fn with_collectors(collectors: impl IntoIterator<Item = Box<dyn Collector>>) -> Arc<Self> {
        let mut registry = Registry::default();
        for collector in collectors {
            registry.register_collector(collector);
        }
        let families = Families::register(registry.sub_registry_with_prefix("cairn"));
        registry.register_collector(Box::new(Process { started: SystemTime::now() }));
        Arc::new(Self { registry, families, components: Mutex::default() })
    }

    /// The handle of `component`. The same one each time.
    #[must_use]
    pub fn component(&self, component: &str) -> Arc<ComponentMetrics> {
        let mut components = self.components.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = components.get(component) {
            return Arc::clone(known);
        }
        let made = Arc::new(self.families.component(component));
        components.insert(component.to_owned(), Arc::clone(&made));
        made
    }

    /// The handle of one function that `caller` imports from `callee`.
    #[must_use]
    pub fn call(&self, caller: &str, callee: &str, function: &str) -> Arc<CallMetrics> {
        let labels =
            vec![("caller", caller.to_owned()), ("callee", callee.to_owned()), ("function", function.to_owned())];
        Arc::new(CallMetrics {
            outcomes: PerLabel::new(&self.families.calls, &labels, "outcome"),
            duration: self.families.call_duration.get_or_create_owned(&labels),
        })
    }

    /// Counts a run of a job. Runs are rare enough to look their labels up.
    pub fn scheduler_run(&self, component: &str, job: &str, outcome: RunOutcome) {
        let labels = vec![
            ("component", component.to_owned()),
            ("job", job.to_owned()),
            ("outcome", outcome.as_str().to_owned()),
        ];
        self.families.scheduler_runs.get_or_create(&labels).inc();
    }

    /// Counts a request to the collector of `signal`.
    pub fn exported(&self, signal: &str, outcome: ExportOutcome) {
        let labels = vec![("signal", signal.to_owned()), ("outcome", outcome.as_str().to_owned())];
        self.families.exports.get_or_create(&labels).inc();
    }

    /// So many spans were lost since the start because too many waited.
    pub fn spans_dropped(&self, count: u64) {
        self.families.spans_dropped.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Everything, as text of type [`CONTENT_TYPE`].
    ///
    /// # Errors
    ///
    /// If a value cannot be written as text, which no value of the host is.
    pub fn render(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Families {
    fn register(registry: &mut Registry) -> Self {
        let r = registry;
        Self {
            requests: counters(r, "http_requests", "HTTP requests answered, by class of status"),
            request_duration: durations(r, "http_request_duration", "Time from a request to its answer"),
            in_flight: gauges(r, "http_requests_in_flight", "HTTP requests not answered yet"),
            rejections: counters(r, "admission_rejections", "Requests and calls turned away"),
            instances: gauges(r, "instances", "Instances in memory"),
            memory: memory(r),
            instances_created: counters(r, "instances_created", "Instances made"),
            instances_dropped: counters(r, "instances_dropped", "Instances ended, by reason"),
            calls: counters(r, "calls", "Calls between components, by outcome"),
            call_duration: durations(r, "call_duration", "Time of a call between components"),
            traps: counters(r, "traps", "Requests and calls that ended in a trap"),
            deadlines: counters(r, "deadlines", "Limits on time that were reached"),
            limits: counters(r, "limits_reached", "Limits, other than on time, that were reached"),
            scheduler_runs: counters(r, "scheduler_runs", "Runs of jobs and wakes, by outcome"),
            outbound: counters(r, "outbound_http_requests", "HTTP requests to the outside"),
            exports: counters(r, "telemetry_exports", "Requests to the OpenTelemetry collector"),
            spans_dropped: gauge(r, "telemetry_spans_dropped", "Spans lost since the start: too many waited"),
        }
    }

    fn component(&self, component: &str) -> ComponentMetrics {
        let labels = vec![("component", component.to_owned())];
        ComponentMetrics {
            requests: PerLabel::new(&self.requests, &labels, "status"),
            request_duration: self.request_duration.get_or_create_owned(&labels),
            in_flight: self.in_flight.get_or_create_owned(&labels),
            rejections: PerLabel::new(&self.rejections, &labels, "reason"),
            instances: self.instances.get_or_create_owned(&labels),
            memory: self.memory.get_or_create_owned(&labels),
            instances_created: self.instances_created.get_or_create_owned(&labels),
            instances_dropped: PerLabel::new(&self.instances_dropped, &labels, "reason"),
            traps: self.traps.get_or_create_owned(&labels),
            deadlines: PerLabel::new(&self.deadlines, &labels, "limit"),
            limits: PerLabel::new(&self.limits, &labels, "limit"),
            outbound: PerLabel::new(&self.outbound, &labels, "outcome"),
        }
    }
}

fn counters(registry: &mut Registry, name: &str, help: &str) -> Counters {
    let family = Counters::default();
    registry.register(name, help, family.clone());
    family
}

fn gauge(registry: &mut Registry, name: &str, help: &str) -> Gauge {
    let gauge = Gauge::default();
    registry.register(name, help, gauge.clone());
    gauge
}

fn gauges(registry: &mut Registry, name: &str, help: &str) -> Gauges {
    let family = Gauges::default();
    registry.register(name, help, family.clone());
    family
}

fn memory(registry: &mut Registry) -> Gauges {
    let family = Gauges::default();
    registry.register_with_unit("memory", "Linear memory of all instances", Unit::Bytes, family.clone());
    family
}

fn durations(registry: &mut Registry, name: &str, help: &str) -> Histograms {
    let family = Histograms::new_with_constructor(DurationBuckets);
    registry.register_with_unit(name, help, Unit::Seconds, family.clone());
    family
}

/// The metrics of one component.
#[derive(Debug)]
pub struct ComponentMetrics {
    requests: PerLabel<Status>,
    request_duration: Histogram,
    in_flight: Gauge,
    rejections: PerLabel<Rejection>,
    instances: Gauge,
    memory: Gauge,
    instances_created: Counter,
    instances_dropped: PerLabel<Dropped>,
    traps: Counter,
    deadlines: PerLabel<Deadline>,
    limits: PerLabel<LimitReached>,
    outbound: PerLabel<Outbound>,
}

impl ComponentMetrics {
    /// A request begins. It is in flight until the value is finished or dropped.
    #[must_use]
    pub fn request(self: &Arc<Self>) -> RequestInFlight {
        self.in_flight.inc();
        RequestInFlight { component: Arc::clone(self), started: Instant::now(), status: Status::Cancelled }
    }

    /// A request or call was turned away.
    pub fn rejected(&self, reason: Rejection) {
        self.rejections.inc(reason);
    }

    /// An instance was made, and lives until it is dropped.
    pub fn instance_created(&self) {
        self.instances.inc();
        self.instances_created.inc();
    }

    /// An instance ended.
    pub fn instance_dropped(&self, reason: Dropped) {
        self.instances.dec();
        self.instances_dropped.inc(reason);
    }

    /// An instance has more linear memory.
    pub fn memory_grown(&self, bytes: usize) {
        self.memory.inc_by(signed(bytes));
    }

    /// An instance has less linear memory, or is gone.
    pub fn memory_freed(&self, bytes: usize) {
        self.memory.dec_by(signed(bytes));
    }

    /// Linear memory of all instances, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> i64 {
        self.memory.get()
    }

    /// A request or call ended in a trap.
    pub fn trapped(&self) {
        self.traps.inc();
    }

    /// A limit on time was reached.
    pub fn deadline_reached(&self, limit: Deadline) {
        self.deadlines.inc(limit);
    }

    /// The component wanted more than it may have.
    pub fn limit_reached(&self, limit: LimitReached) {
        self.limits.inc(limit);
    }

    /// A request to the outside ended.
    pub fn outbound(&self, outcome: Outbound) {
        self.outbound.inc(outcome);
    }
}

/// No memory has more bytes than this can say.
fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// A request that is being served. Dropped unfinished, it counts as cancelled.
#[derive(Debug)]
pub struct RequestInFlight {
    component: Arc<ComponentMetrics>,
    started: Instant,
    status: Status,
}

impl RequestInFlight {
    /// The request is answered with an HTTP status.
    pub fn finish(mut self, status: u16) {
        self.status = Status::of(status);
    }
}

impl Drop for RequestInFlight {
    fn drop(&mut self) {
        let component = &self.component;
        component.in_flight.dec();
        component.requests.inc(self.status);
        component.request_duration.observe(self.started.elapsed().as_secs_f64());
    }
}

/// The metrics of one function that one component calls on another.
#[derive(Debug)]
pub struct CallMetrics {
    outcomes: PerLabel<CallOutcome>,
    duration: Histogram,
}

impl CallMetrics {
    /// A call begins.
    #[must_use]
    pub fn start(self: &Arc<Self>) -> CallInFlight {
        CallInFlight { call: Arc::clone(self), started: Instant::now(), outcome: CallOutcome::Cancelled }
    }
}

/// A call that has not returned. Dropped unfinished, it counts as cancelled.
#[derive(Debug)]
pub struct CallInFlight {
    call: Arc<CallMetrics>,
    started: Instant,
    outcome: CallOutcome,
}

impl CallInFlight {
    /// The call ended so.
    pub fn finish(mut self, outcome: CallOutcome) {
        self.outcome = outcome;
    }
}

impl Drop for CallInFlight {
    fn drop(&mut self) {
        self.call.outcomes.inc(self.outcome);
        self.call.duration.observe(self.started.elapsed().as_secs_f64());
    }
}

/// What the operating system knows of the process, asked for at each reading.
#[derive(Debug)]
struct Process {
    started: SystemTime,
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let started = self.started.duration_since(SystemTime::UNIX_EPOCH);
        let started = started.unwrap_or_default().as_secs_f64();
        let metric = encoder.encode_descriptor(
            "process_start_time",
            "When the process started, since 1970",
            Some(&Unit::Seconds),
            MetricType::Gauge,
        )?;
        ConstGauge::new(started).encode(metric)?;
        let Some(resident) = resident_bytes() else {
            return Ok(());
        };
        let metric = encoder.encode_descriptor(
            "process_resident_memory",
            "Physical memory the process takes",
            Some(&Unit::Bytes),
            MetricType::Gauge,
        )?;
        ConstGauge::new(resident).encode(metric)
    }
}

/// Physical memory the process takes, in bytes. Known where there is a `/proc`;
/// elsewhere the metric is absent.
#[must_use]
pub fn resident_bytes() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line<'t>(text: &'t str, metric: &str) -> Option<&'t str> {
        let mut lines = text.lines();
        lines.find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '))
    }

    #[test]
    fn requests_are_counted_by_class_and_timed() {
        let metrics = Metrics::new();
        let web = metrics.component("web");
        web.request().finish(204);
        web.request().finish(503);
        drop(web.request());
        let open = web.request();
        let text = metrics.render().unwrap();
        for (metric, value) in [
            (r#"cairn_http_requests_total{component="web",status="2xx"}"#, "1"),
            (r#"cairn_http_requests_total{component="web",status="4xx"}"#, "0"),
            (r#"cairn_http_requests_total{component="web",status="5xx"}"#, "1"),
            (r#"cairn_http_requests_total{component="web",status="cancelled"}"#, "1"),
            (r#"cairn_http_requests_in_flight{component="web"}"#, "1"),
            (r#"cairn_http_request_duration_seconds_count{component="web"}"#, "3"),
        ] {
            assert_eq!(line(&text, metric), Some(value), "{metric} in\n{text}");
        }
        drop(open);
    }

    #[test]
    fn a_handle_taken_twice_counts_together() {
        let metrics = Metrics::new();
        metrics.component("web").trapped();
        metrics.component("web").trapped();
        let text = metrics.render().unwrap();
        assert_eq!(line(&text, r#"cairn_traps_total{component="web"}"#), Some("2"));
    }

    #[test]
    fn live_instances_are_the_created_without_the_dropped() {
        let metrics = Metrics::new();
        let web = metrics.component("web");
        web.instance_created();
        web.instance_created();
        web.instance_dropped(Dropped::Trap);
        let text = metrics.render().unwrap();
        assert_eq!(line(&text, r#"cairn_instances{component="web"}"#), Some("1"));
        assert_eq!(line(&text, r#"cairn_instances_created_total{component="web"}"#), Some("2"));
        let dropped = r#"cairn_instances_dropped_total{component="web",reason="trap"}"#;
        assert_eq!(line(&text, dropped), Some("1"));
    }

    #[test]
    fn calls_are_counted_by_function_and_outcome() {
        let metrics = Metrics::new();
        let call = metrics.call("web", "store", "a:b/c@1.0.0#get");
        call.start().finish(CallOutcome::Returned);
        drop(call.start());
        let text = metrics.render().unwrap();
        let labels = r#"caller="web",callee="store",function="a:b/c@1.0.0#get""#;
        let returned = format!(r#"cairn_calls_total{{{labels},outcome="returned"}}"#);
        let cancelled = format!(r#"cairn_calls_total{{{labels},outcome="cancelled"}}"#);
        assert_eq!(line(&text, &returned), Some("1"));
        assert_eq!(line(&text, &cancelled), Some("1"));
        let timed = format!("cairn_call_duration_seconds_count{{{labels}}}");
        assert_eq!(line(&text, &timed), Some("2"));
    }

    #[test]
    fn a_label_cannot_break_out_of_its_quotes() {
        let metrics = Metrics::new();
        metrics.scheduler_run("web", "/a\"\\\nb", RunOutcome::Skipped);
        let text = metrics.render().unwrap();
        let run = r#"cairn_scheduler_runs_total{component="web",job="/a\"\\\nb",outcome="skipped"}"#;
        assert_eq!(line(&text, run), Some("1"), "{text}");
    }

    #[test]
    fn the_text_has_types_units_and_an_end() {
        let metrics = Metrics::new();
        metrics.component("web").request().finish(200);
        let text = metrics.render().unwrap();
        assert!(text.contains("# TYPE cairn_http_request_duration_seconds histogram"), "{text}");
        assert!(text.contains("# UNIT cairn_http_request_duration_seconds seconds"));
        assert!(text.contains(r#"cairn_http_request_duration_seconds_bucket{le="30.0",component="web"} 1"#));
        assert!(text.contains("process_start_time_seconds "));
        assert!(text.ends_with("# EOF\n"));
    }
}
