//! One run: people and schedules do things, things go wrong, and in the end everything
//! comes to rest.

use std::{collections::BTreeMap, rc::Rc};

use anyhow::{Context, Result, ensure};
use cairn_shared::{
    Id, Sql, Timestamp, Zone,
    http::{Request, Response},
    idempotency, params,
    time::{DAY, HOUR, MINUTE, SECOND},
};
use futures::future::LocalBoxFuture;
use serde_json::Value;

use crate::{
    deeds::{Ask, DEEDS, Deed, People},
    invariants,
    jobs::{DAILY_REPORT, JOBS, RECOVERY},
    process::{Databases, LineFaults, Process},
    provider::{self, Company, Provider},
    seen::{Life, Seen},
    stage::{DiskFaults, Pause, Stage},
    world,
};

/// Moves of a run before it comes to rest.
const MOVES: usize = 2_000;

/// Pieces of work that go on side by side.
const WORKS_MAX: usize = 6;

/// How often, in ten thousand times, somebody goes on with what was done last.
const GOES_ON: u32 = 6_000;

/// How often, in ten thousand runs, groups pay in shares.
const GROUPS: u32 = 5_000;

/// How often, in ten thousand runs, something has to be declared from the start.
const ASKS: u32 = 4_000;

/// How long a request may take, in ms, as the host has it: of booking, of the others.
const REQUEST_TIME: i64 = 15 * SECOND;
const OTHER_REQUEST_TIME: i64 = 30 * SECOND;

/// Requests that may be repeated.
const REPEATABLE_MAX: usize = 12;

/// Rounds of jobs in which everything comes to rest, and the time before each.
const ROUNDS: [(usize, i64); 4] = [(3, 61 * SECOND), (2, 11 * MINUTE), (3, HOUR), (6, DAY)];

/// Why a piece of work was begun.
#[derive(Debug, Clone)]
enum Reason {
    Person { deed: Deed, key: Option<String> },
    Job,
    Webhook { id: String },
}

struct Work {
    number: usize,
    name: String,
    reason: Reason,
    going: LocalBoxFuture<'static, Response>,
    /// Not before this instant in ms.
    waits_until: i64,
    /// The host gives it up then.
    ends_at: i64,
    /// Whether something was made to fail in it.
    troubled: bool,
}

/// What happens in a move.
#[derive(Debug, Clone, Copy)]
enum Move {
    Resume,
    Begin,
    Job,
    Wake,
    Webhook,
    Time,
    Drop,
    Crash,
    /// New payments are made with the other provider from now on.
    Switch,
}

/// What a seed makes of a run.
struct Taste {
    moves: [(Move, u32); 9],
    deeds: Vec<(Deed, u32)>,
    line: LineFaults,
    /// Jumps of time by their weight.
    jumps: [(i64, u32); 5],
    /// Most of who book do so for a group that pays in shares.
    groups: bool,
}

pub struct Play {
    stage: Rc<Stage>,
    databases: Databases,
    provider: Rc<Provider>,
    process: Process,
    company: Company,
    trek: Id,
    taste: Taste,
    works: Vec<Work>,
    begun: usize,
    seen: Seen,
    repeatable: Vec<Ask>,
    /// Ids that were answered for an idempotency key, and when first.
    answered: BTreeMap<String, (Timestamp, Value)>,
    /// What whoever did something last would do next.
    next: Option<Deed>,
    /// Gifts that became a voucher, known at rest.
    gifts: usize,
    /// Shares that somebody paid, known at rest.
    shares: usize,
}

/// A rate that is 0 in many runs, so that some of them are calm.
fn rate(stage: &Stage, most: i64) -> u32 {
    if stage.hits(4_000) { 0 } else { u32::try_from(stage.between(0, most)).unwrap_or_default() }
}

fn provider_faults(stage: &Stage) -> provider::Faults {
    provider::Faults {
        lost: rate(stage, 800),
        lost_answer: rate(stage, 1_000),
        error: rate(stage, 800),
        late: rate(stage, 800),
        slow: rate(stage, 1_500),
        refund_pending: rate(stage, 6_000),
        refund_fails: rate(stage, 1_500),
        webhook_lost: rate(stage, 4_000),
        webhook_twice: rate(stage, 3_000),
    }
}

impl Taste {
    fn of(stage: &Stage) -> Self {
        let weight = |least, most| u32::try_from(stage.between(least, most)).unwrap_or_default();
        let moves = [
            (Move::Resume, 100),
            (Move::Begin, weight(8, 20)),
            (Move::Job, weight(1, 5)),
            (Move::Wake, weight(3, 15)),
            (Move::Webhook, weight(2, 10)),
            (Move::Time, weight(2, 9)),
            (Move::Drop, rate(stage, 3)),
            (Move::Crash, rate(stage, 1)),
            (Move::Switch, rate(stage, 1)),
        ];
        let liking = |(deed, weight): &(Deed, u32)| (*deed, weight * u32::try_from(stage.between(0, 3)).unwrap_or(1));
        let mut deeds: Vec<_> = DEEDS.iter().map(liking).collect();
        // Money that staff give back in a provider's dashboard behind a voucher that it became
        // is nobody's to prevent: who does the one leaves the other.
        let left = if stage.hits(5_000) { [Deed::RefundByHand].as_slice() } else { &[Deed::CallOff, Deed::BuyGift] };
        deeds.iter_mut().filter(|(deed, _)| left.contains(deed)).for_each(|(_, weight)| *weight = 0);
        // Without these nothing else happens.
        for deed in &mut deeds[..4] {
            deed.1 = deed.1.max(10);
        }
        let jumps = [
            (3 * SECOND, 40),
            (MINUTE, weight(5, 30)),
            (40 * MINUTE, weight(0, 12)),
            (5 * HOUR, weight(0, 4)),
            (3 * DAY, weight(0, 2)),
        ];
        let line = LineFaults { lost: rate(stage, 400), lost_answer: rate(stage, 400) };
        Self { moves, deeds, line, jumps, groups: stage.hits(GROUPS) }
    }
}

impl Play {
    /// # Errors
    /// The services do not come up.
    pub async fn new(stage: Rc<Stage>) -> Result<Self> {
        let databases = Databases::open().await?;
        let provider = Provider::new(stage.clone());
        stage.take_over();
        let taste = Taste::of(&stage);
        let company = if stage.hits(5_000) { Company::Stripe } else { Company::Razorpay };
        let process = Process::new(&databases, &stage, &provider, company, taste.line)?;
        let trek = stage
            .aside(async {
                process.prepare().await?;
                world::fill(&process, &databases, stage.hits(ASKS), stage.now()).await
            })
            .await?;
        provider.set_faults(provider_faults(&stage));
        stage.disk.set(DiskFaults { before: rate(&stage, 60), after: rate(&stage, 60) });
        Ok(Self {
            stage,
            databases,
            provider,
            process,
            company,
            trek,
            taste,
            works: Vec::new(),
            begun: 0,
            seen: Seen::default(),
            repeatable: Vec::new(),
            answered: BTreeMap::new(),
            next: None,
            gifts: 0,
            shares: 0,
        })
    }

    /// Plays to the end.
    ///
    /// # Errors
    /// What is not as it has to be.
    pub async fn run(&mut self) -> Result<()> {
        for _ in 0..MOVES {
            self.make_move().await?;
        }
        self.come_to_rest().await?;
        let (seen, databases, provider) = (&self.seen, &self.databases, &self.provider);
        let look = async {
            let issued = "SELECT COUNT(*) AS n FROM vouchers WHERE kind = 'gift'";
            let issued: i64 = databases.payment.query_one(issued, params![]).await?.get("n")?;
            self.gifts = usize::try_from(issued)?;
            let paid = "SELECT COUNT(*) AS n FROM payments WHERE share_id IS NOT NULL AND problem IS NULL";
            let paid: i64 = databases.payment.query_one(paid, params![]).await?.get("n")?;
            self.shares = usize::try_from(paid)?;
            invariants::check(databases, provider, seen, self.stage.now()).await
        };
        self.stage.aside(look).await
    }

    async fn make_move(&mut self) -> Result<()> {
        let next = self.stage.chance.borrow_mut().weighed(&self.taste.moves).unwrap_or(Move::Resume);
        let room = self.works.len() < WORKS_MAX;
        match next {
            Move::Resume => self.resume_any().await,
            Move::Begin if room => self.do_deed().await,
            Move::Job if room => {
                let at = self.stage.below(JOBS.len());
                let (service, path) = JOBS[at];
                self.job(service, path)
            }
            Move::Wake if room => match self.process.doors.take_wake() {
                Some((service, path)) => self.job(&service, &path),
                None => Ok(()),
            },
            Move::Webhook if room => self.deliver(),
            Move::Begin | Move::Job | Move::Wake | Move::Webhook => self.resume_any().await,
            Move::Time => {
                let jump = self.stage.chance.borrow_mut().weighed(&self.taste.jumps).unwrap_or(SECOND);
                // Who is in the middle of something has mostly ended it before hours pass.
                if jump > MINUTE && self.stage.hits(8_500) {
                    self.let_end().await?;
                }
                let day = Zone::INDIA.start_of_day(self.stage.now());
                self.stage.advance(self.stage.between(1, jump));
                if Zone::INDIA.start_of_day(self.stage.now()) > day {
                    self.job(DAILY_REPORT.0, DAILY_REPORT.1)?;
                }
                if self.stage.hits(3_000) {
                    self.provider.arrive_late();
                }
                self.give_up_late();
                Ok(())
            }
            Move::Drop => {
                if !self.works.is_empty() {
                    let work = self.works.swap_remove(self.stage.below(self.works.len()));
                    self.stage.note(format!("#{} {} dies", work.number, work.name));
                }
                Ok(())
            }
            Move::Crash => self.crash(),
            Move::Switch => {
                self.company = self.company.other();
                self.stage.note(format!("new payments are {}'s", self.company.as_str()));
                self.crash()
            }
        }
    }

    /// The process dies with everything that it was at, and another begins.
    fn crash(&mut self) -> Result<()> {
        self.stage.note("the process dies and begins anew");
        self.works.clear();
        self.begin_anew(self.process.doors.faults)
    }

    fn begin_anew(&mut self, faults: LineFaults) -> Result<()> {
        self.process = Process::new(&self.databases, &self.stage, &self.provider, self.company, faults)?;
        Ok(())
    }

    fn give_up_late(&mut self) {
        let now = self.stage.now().millis();
        for late in self.works.extract_if(.., |work| work.ends_at <= now) {
            self.stage.note(format!("#{} {} took too long and is given up", late.number, late.name));
        }
    }

    fn people(&self) -> People<'_> {
        People { stage: &self.stage, databases: &self.databases, provider: &self.provider, trek: self.trek }
    }

    async fn do_deed(&mut self) -> Result<()> {
        let any = self.stage.chance.borrow_mut().weighed(&self.taste.deeds).unwrap_or(Deed::Book);
        let deed = self.next.take().filter(|_| self.stage.hits(GOES_ON)).unwrap_or(any);
        let ask = match deed {
            Deed::Repeat => self.stage.chance.borrow_mut().one(&self.repeatable).cloned(),
            deed => self.stage.aside(self.people().act(deed)).await,
        };
        let Some(ask) = ask else {
            if deed == Deed::Pay {
                self.next = deed.leads_to(self.taste.groups);
            }
            return Ok(());
        };
        if self.repeatable.len() == REPEATABLE_MAX {
            self.repeatable.remove(0);
        }
        self.repeatable.push(ask.clone());
        let key = ask.request.header("idempotency-key").map(str::to_owned);
        self.begin(&ask.who, ask.service, ask.request, Reason::Person { deed, key })
    }

    fn job(&mut self, service: &str, path: &str) -> Result<()> {
        self.begin("schedule", service, Request::new("POST", path), Reason::Job)
    }

    fn deliver(&mut self) -> Result<()> {
        let Some(webhook) = self.provider.webhook() else { return Ok(()) };
        let who = format!("provider, {} {},", webhook.id, webhook.name);
        self.begin(&who, "payment", webhook.request(self.stage.now()), Reason::Webhook { id: webhook.id })
    }

    fn begin(&mut self, who: &str, service: &str, request: Request, reason: Reason) -> Result<()> {
        let body = String::from_utf8_lossy(&request.body);
        let body = if matches!(reason, Reason::Person { .. }) { &*body } else { "" };
        let name = format!("{who} {} {}{}", service, request.method, request.target);
        self.begun += 1;
        self.stage.note(format!("#{} {name} {body}", self.begun));
        let time = if service == "booking" { REQUEST_TIME } else { OTHER_REQUEST_TIME };
        let ends_at = self.stage.now().millis() + time;
        let going = self.process.doors.answer(service, request).with_context(|| format!("there is no {service}"))?;
        self.works.push(Work { number: self.begun, name, reason, going, waits_until: 0, ends_at, troubled: false });
        Ok(())
    }

    /// Lets any piece of work go on that waits for nothing; if all wait, time passes.
    async fn resume_any(&mut self) -> Result<()> {
        let now = self.stage.now().millis();
        let ready: Vec<_> = (0..self.works.len()).filter(|at| self.works[*at].waits_until <= now).collect();
        match ready.get(self.stage.below(ready.len())) {
            Some(at) => self.resume(*at).await,
            None => {
                if let Some(next) = self.works.iter().map(|work| work.waits_until).min() {
                    self.stage.advance(next - now);
                    self.give_up_late();
                }
                Ok(())
            }
        }
    }

    async fn resume(&mut self, at: usize) -> Result<()> {
        self.stage.take_failed();
        let work = &mut self.works[at];
        let outcome = self.stage.resume(&mut work.going).await;
        work.troubled |= self.stage.take_failed();
        match outcome {
            Err(Pause::AtStep) => {}
            Err(Pause::Until(instant)) => work.waits_until = instant,
            Ok(response) => {
                let work = self.works.swap_remove(at);
                self.ended(&work, &response)?;
            }
        }
        if self.stage.take_committed() {
            let (seen, databases, now) = (&mut self.seen, &self.databases, self.stage.now());
            let look = async {
                seen.look(&databases.booking, now).await?;
                invariants::always(databases).await
            };
            self.stage.aside(look).await?;
        }
        Ok(())
    }

    fn ended(&mut self, work: &Work, response: &Response) -> Result<()> {
        let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        let said = match response.status {
            200..300 => body["_id"].as_str().unwrap_or_default().to_owned(),
            _ => body["message"].to_string(),
        };
        self.stage.note(format!("#{} {}: {} {said}", work.number, work.name, response.status));
        let calm = !work.troubled;
        ensure!(response.status != 500 || !calm, "#{} {} is answered {body} without a fault", work.number, work.name);
        if let (Reason::Person { deed, .. }, 200..300) = (&work.reason, response.status) {
            self.next = deed.leads_to(self.taste.groups).or(self.next);
        }
        match &work.reason {
            Reason::Webhook { id } if (200..300).contains(&response.status) => self.provider.taken(id),
            Reason::Person { key: Some(key), .. } if response.status == 201 => {
                let now = self.stage.now();
                let (at, first) = self.answered.entry(key.clone()).or_insert_with(|| (now, body["_id"].clone()));
                let remembered = now.since(*at) < idempotency::KEPT;
                ensure!(*first == body["_id"] || !remembered, "{key} was answered with two bookings");
            }
            _ => {}
        }
        Ok(())
    }

    /// Lets everything that was begun end.
    async fn let_end(&mut self) -> Result<()> {
        while !self.works.is_empty() {
            self.resume_any().await?;
        }
        Ok(())
    }

    /// Nobody does anything any more and nothing goes wrong: jobs bring things in line.
    async fn come_to_rest(&mut self) -> Result<()> {
        self.stage.note("everything comes to rest");
        self.stage.disk.set(DiskFaults::default());
        self.provider.set_faults(provider::Faults::default());
        if self.stage.hits(5_000) {
            self.let_end().await?;
        }
        self.works.clear();
        self.begin_anew(LineFaults::default())?;
        self.provider.arrive_late();
        for refund in self.provider.pending_refunds() {
            self.provider.settle_refund(&refund, !self.stage.hits(2_000));
        }
        // Some deliveries never arrive, and are asked for.
        let waiting = self.provider.webhooks();
        for _ in 0..waiting {
            match self.provider.webhook() {
                Some(webhook) if self.stage.hits(3_000) => self.provider.lose(&webhook.id),
                Some(_) => {
                    self.deliver()?;
                    self.let_end().await?;
                }
                None => break,
            }
        }
        for (rounds, wait) in ROUNDS {
            for _ in 0..rounds {
                self.stage.advance(wait);
                for (service, path) in RECOVERY {
                    self.job(service, path)?;
                    self.let_end().await?;
                }
            }
        }
        Ok(())
    }
}

/// What a run did, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Numbers {
    pub requests: usize,
    pub bookings: usize,
    pub confirmed: usize,
    pub cancelled: usize,
    pub payments: usize,
    /// Bookings of which a seat went to another person.
    pub transferred: usize,
    /// Bookings confirmed after somebody was cleared to come.
    pub cleared: usize,
    /// Bookings of called-off batches whose money was to be chosen about.
    pub chosen: usize,
    /// Gifts that became a voucher.
    pub gifts: usize,
    /// Shares of a price that were paid by themselves.
    pub shares: usize,
}

impl std::ops::AddAssign for Numbers {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.bookings += other.bookings;
        self.confirmed += other.confirmed;
        self.cancelled += other.cancelled;
        self.payments += other.payments;
        self.transferred += other.transferred;
        self.cleared += other.cleared;
        self.chosen += other.chosen;
        self.gifts += other.gifts;
        self.shares += other.shares;
    }
}

impl Play {
    pub fn numbers(&self) -> Numbers {
        let lives = |which: &dyn Fn(&Life) -> bool| self.seen.lives.values().filter(|life| which(life)).count();
        let was = |status: &str| lives(&|life| life.statuses.contains(status));
        Numbers {
            requests: self.begun,
            bookings: self.seen.lives.len(),
            confirmed: was("confirmed"),
            cancelled: was("cancelled"),
            payments: self.provider.payments().iter().filter(|payment| payment.captured).count(),
            transferred: lives(&|life| life.transferred),
            cleared: lives(&|life| life.booking.clearance.is_some() && life.statuses.contains("confirmed")),
            chosen: lives(&|life| life.booking.called_off.as_ref().is_some_and(|off| off.choice.is_some())),
            gifts: self.gifts,
            shares: self.shares,
        }
    }
}
