//! Batches that the operator calls off: one action for all of their bookings.
//!
//! Steps, each of which may be repeated:
//!
//! 1. the call-off itself, a row: one a batch, whoever asks how often;
//! 2. the batch is closed for sale;
//! 3. each booking is cancelled by a command of its own, with its money kept and a mail to
//!    its owner. A booking that is done is no longer among those that have seats there, so
//!    whoever goes on finds what is left;
//! 4. owners, or staff for them, choose; after the deadline a job gives the money back.
//!
//! A crash leaves the row, and the job goes on within a minute.

use cairn_shared::{BasisPoints, Id, Paise, Timestamp, identity::Caller, log, time::DAY};

use super::{Actor, App, BookingError, CancelRequest, SeatsError, commands::Decision, mails::MailIntent};
use crate::{
    domain::{
        Batch, Booking, CHOICE_DAYS, CHOICE_DAYS_MAX, CallOff, CalledOff, Choice, RefundChoice, Refusal, Scope, Who,
        Worth, call_off, cheaper_by, choose_batch, choose_money, coming, target, token_parts, worth,
    },
    store::{self, CommandKind},
};

/// Does what is left of call-offs, and gives money back after their deadline.
pub const CALL_OFFS_PATH: &str = "/_jobs/call-offs";

/// Bookings of a batch that are looked at together.
const BOOKINGS_MAX: i64 = 500;

/// Call-offs that one run of the job takes on.
const RUN_CALL_OFFS_MAX: i64 = 20;

/// How long, in ms, a request goes on with bookings before it leaves the rest to the job.
const WORK_TIME: i64 = 8_000;

/// Call-offs that staff see.
const LIST_MAX: i64 = 200;

/// The largest bonus: as much again.
const BONUS_MAX: BasisPoints = BasisPoints(10_000);

const REASON_CHARS_MAX: usize = 500;

/// A call-off as staff want it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCallOff {
    pub batch_id: Id,
    pub reason: String,
    pub bonus: BasisPoints,
    /// Days that owners have to choose; none: a week.
    pub days: Option<u32>,
}

/// What an owner can choose from.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    pub booking: Booking,
    pub worth: Worth,
    /// Other batches with room for all of it, and what each costs less.
    pub batches: Vec<(Batch, Paise)>,
}

/// What an owner, or staff, have chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chosen {
    Voucher,
    Batch(Id),
    Refund,
}

/// How far a call-off has come.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    pub call_off: CallOff,
    /// Bookings that are cancelled, with what became of them.
    pub bookings: Vec<Booking>,
    /// Bookings that still have seats on the batch.
    pub left: Vec<Booking>,
}

impl NewCallOff {
    fn check(&self) -> Result<(), Refusal> {
        let days = self.days.unwrap_or(CHOICE_DAYS);
        match self.reason.chars().count() {
            1..=REASON_CHARS_MAX if (1..=CHOICE_DAYS_MAX).contains(&days) => Ok(()),
            1..=REASON_CHARS_MAX => Err(Refusal::ChoiceDays(CHOICE_DAYS_MAX)),
            _ => Err(Refusal::CallOffReason(REASON_CHARS_MAX)),
        }?;
        if (BasisPoints(0)..=BONUS_MAX).contains(&self.bonus) { Ok(()) } else { Err(Refusal::CallOffBonus) }
    }
}

impl App {
    /// What calling a batch off would offer each of its bookings; nothing is done.
    ///
    /// # Errors
    /// [`BookingError`]: no such batch, and services that do not answer.
    pub async fn call_off_preview(
        &self,
        batch_id: Id,
        bonus: BasisPoints,
    ) -> Result<(Batch, Vec<Options>), BookingError> {
        let batch = self.peers.batch(batch_id).await?.ok_or(Refusal::BatchNotFound)?;
        let others = self.peers.batches_of_treks(&[batch.trek_id]).await?;
        let bookings = store::booking_list_of_batch(&self.db, batch_id, BOOKINGS_MAX).await?;
        let options = bookings.into_iter().map(|booking| self.options(booking, bonus, &others));
        Ok((batch, options.collect()))
    }

    fn options(&self, booking: Booking, bonus: BasisPoints, batches: &[Batch]) -> Options {
        let now = self.now();
        let fits = |batch: &&Batch| {
            target(&booking, batch, now).is_ok() && batch.free() >= coming(&booking) && !booking.custom
        };
        let batches = batches.iter().filter(fits);
        let batches = batches.map(|batch| (batch.clone(), cheaper_by(&booking, batch.price))).collect();
        Options { worth: worth(&booking, bonus), batches, booking }
    }

    /// Calls a batch off for all of its bookings. Asked for again, it goes on with what is
    /// there, whatever it is asked with then.
    ///
    /// # Errors
    /// [`BookingError`] says why not; then nothing has changed. Once it is noted, what
    /// cannot be done now is left to the job.
    pub async fn call_off_begin(&self, staff: &Caller, new: &NewCallOff) -> Result<Progress, BookingError> {
        new.check()?;
        let batch = self.peers.batch(new.batch_id).await?.ok_or(Refusal::BatchNotFound)?;
        if batch.start <= self.now() && store::call_off_fetch_of_batch(&self.db, batch.id).await?.is_none() {
            return Err(Refusal::CallOffStarted.into());
        }
        let call_off = self.call_off_noted(staff, new, &batch).await?;
        if let Err(error) = self.advance(&call_off).await {
            log::warn(
                "a called-off batch is left for the job",
                &[("batch", &batch.id), ("cause", &format!("{error:?}"))],
            );
        }
        self.wake().await;
        self.call_off_progress(call_off.id).await
    }

    async fn call_off_noted(&self, staff: &Caller, new: &NewCallOff, batch: &Batch) -> Result<CallOff, BookingError> {
        let (now, mut secret) = (self.now(), [0; 32]);
        cairn_shared::id::random(&mut secret);
        let wanted = CallOff {
            id: self.env.id(),
            batch_id: batch.id,
            trek_id: batch.trek_id,
            reason: new.reason.clone(),
            bonus: new.bonus,
            deadline: now.plus(i64::from(new.days.unwrap_or(CHOICE_DAYS)) * DAY),
            secret: secret.iter().map(|byte| format!("{byte:02x}")).collect(),
            actor: staff.id,
            created_at: now,
            closed_at: None,
            finished_at: None,
        };
        self.db
            .transaction(async |tx| {
                store::call_off_insert(tx, &wanted).await?;
                let stored = store::call_off_fetch_of_batch(tx, batch.id).await?.ok_or(BookingError::NotFound)?;
                if stored.id == wanted.id {
                    let after = serde_json::json!({ "batch": stored.batch_id, "reason": stored.reason,
                        "bonus": stored.bonus, "deadline": stored.deadline });
                    self.note_record(tx, "batch.call_off", stored.id, serde_json::Value::Null, after).await?;
                }
                Ok(stored)
            })
            .await
    }

    /// Closes the batch, and cancels bookings until none is left or the time is over.
    async fn advance(&self, call_off: &CallOff) -> Result<(), BookingError> {
        let begun = self.now();
        if call_off.closed_at.is_none() {
            match self.peers.close_batch(call_off.batch_id).await {
                Ok(()) | Err(SeatsError::BatchNotFound) => {}
                Err(error) => return Err(error.into()),
            }
            store::call_off_close(&self.db, call_off.id, self.now()).await?;
        }
        for booking in store::booking_list_of_batch(&self.db, call_off.batch_id, BOOKINGS_MAX).await? {
            if self.now().since(begun) > WORK_TIME {
                break;
            }
            match self.call_off_booking(call_off, booking.id).await {
                // Gone meanwhile, or its session is over: another job sees to it.
                Ok(_) | Err(BookingError::NotFound | BookingError::Refused(Refusal::AlreadyCancelled)) => {}
                Err(error) => {
                    let fields: [(&str, &dyn std::fmt::Display); 2] =
                        [("booking", &booking.id), ("cause", &format!("{error:?}"))];
                    log::warn("a booking of a called-off batch is left for the job", &fields);
                }
            }
        }
        Ok(())
    }

    async fn call_off_booking(&self, off: &CallOff, id: Id) -> Result<Booking, BookingError> {
        let command = self.new_command(CommandKind::CallOff, Actor { id: Some(off.actor), who: Who::Admin });
        let wanted =
            CancelRequest { scope: Scope::Entire, choice: RefundChoice::Nothing, reason: Some(off.reason.clone()) };
        let decide = |booking: &Booking| -> Result<Decision, BookingError> {
            // It may have been moved elsewhere meanwhile.
            if booking.batch_id != off.batch_id {
                return Err(Refusal::AlreadyCancelled.into());
            }
            let cancellation = self.cancellation(&command, &wanted, booking.batch_start);
            let mut decision = self.cancelled(booking, &cancellation)?;
            decision.booking = call_off(booking, &cancellation, CalledOff::of(off), self.now())?;
            if let (Some(mail), true) = (decision.mails.first_mut(), decision.booking.awaits_choice()) {
                *mail = MailIntent::CalledOff;
            }
            Ok(decision)
        };
        self.run(id, &command, &decide).await
    }

    /// How far a call-off has come.
    ///
    /// # Errors
    /// [`Refusal::NotCalledOff`] where there is none.
    pub async fn call_off_progress(&self, id: Id) -> Result<Progress, BookingError> {
        let call_off = store::call_off_fetch(&self.db, id).await?.ok_or(Refusal::NotCalledOff)?;
        Ok(Progress {
            bookings: store::call_off_bookings(&self.db, id, BOOKINGS_MAX).await?,
            left: store::booking_list_of_batch(&self.db, call_off.batch_id, BOOKINGS_MAX).await?,
            call_off,
        })
    }

    /// The newest call-offs.
    ///
    /// # Errors
    /// The database's.
    pub async fn call_offs(&self) -> Result<Vec<CallOff>, BookingError> {
        Ok(store::call_off_list(&self.db, LIST_MAX).await?)
    }

    /// The booking that a link in a mail is for.
    ///
    /// # Errors
    /// [`BookingError::NotFound`] for a link that nobody signed.
    pub async fn call_off_booking_of_link(&self, token: &str) -> Result<Id, BookingError> {
        let (id, signature) = token_parts(token).ok_or(BookingError::NotFound)?;
        let booking = self.visible(&self.db, id).await?;
        let called_off = booking.called_off.ok_or(BookingError::NotFound)?;
        let signed = store::call_off_fetch(&self.db, called_off.call_off).await?;
        signed.filter(|off| off.has_signed(id, signature)).map(|_| id).ok_or(BookingError::NotFound)
    }

    /// What the owner of a booking can choose from now.
    ///
    /// # Errors
    /// [`Refusal::NotCalledOff`], and services that do not answer.
    pub async fn choice_options(&self, id: Id) -> Result<Options, BookingError> {
        let booking = self.visible(&self.db, id).await?;
        let called_off = booking.called_off.as_ref().ok_or(Refusal::NotCalledOff)?;
        let bonus = called_off.bonus;
        let batches = match booking.awaits_choice() {
            true => self.peers.batches_of_treks(&[booking.trek_id]).await?,
            false => Vec::new(),
        };
        Ok(self.options(booking, bonus, &batches))
    }

    /// Carries a choice out: a command, as everything that is done with a booking. The same
    /// choice again changes nothing. `by`: none for who has the link.
    ///
    /// # Errors
    /// [`BookingError`] says why not; then nothing has changed.
    pub async fn choose(&self, actor: Actor, id: Id, chosen: Chosen) -> Result<Booking, BookingError> {
        let money = match chosen {
            Chosen::Voucher => Choice::Voucher,
            Chosen::Refund => Choice::Refund,
            Chosen::Batch(batch_id) => return self.choose_batch(actor, id, batch_id).await,
        };
        let command = self.new_command(CommandKind::Choose, actor);
        let decide = |booking: &Booking| -> Result<Decision, BookingError> {
            self.check_deadline(booking, actor)?;
            let chosen = choose_money(booking, money, actor.id, command.id, self.now())?;
            // Of a voucher there is a mail once it is there.
            let is_new = chosen != *booking && money == Choice::Refund;
            Ok(Decision { booking: chosen, mails: is_new.then_some(MailIntent::Cancelled).into_iter().collect() })
        };
        self.run(id, &command, &decide).await
    }

    async fn choose_batch(&self, actor: Actor, id: Id, batch_id: Id) -> Result<Booking, BookingError> {
        let found = self.visible(&self.db, id).await?;
        let to = self.target(&found, batch_id, Refusal::NewBatchNotFound).await?;
        // Staff may give reserved seats away, others may not ask for them.
        if actor.who == Who::Owner && found.awaits_choice() && to.batch.free() < coming(&found) {
            return Err(Refusal::NewBatchFull.into());
        }
        let command = self.new_command(CommandKind::Rebook, actor);
        let decide = |booking: &Booking| -> Result<Decision, BookingError> {
            self.check_deadline(booking, actor)?;
            let moved = choose_batch(booking, &to, actor.id, command.id, self.now())?;
            if moved == *booking {
                return Ok(moved.into());
            }
            let less = moved.refunded - booking.refunded;
            let answer = (less > Paise::ZERO).then(|| format!("These dates cost less: \u{20b9}{less} go back to you."));
            let mail = MailIntent::DatesChanged { old_start: booking.batch_start, old_end: booking.batch_end, answer };
            Ok(Decision { booking: moved, mails: vec![mail] })
        };
        self.run(id, &command, &decide).await.map_err(super::shift::new_batch_full)
    }

    /// After the deadline only staff and the job decide.
    fn check_deadline(&self, booking: &Booking, actor: Actor) -> Result<(), Refusal> {
        let over = booking.called_off.as_ref().is_some_and(|off| off.choice.is_none() && off.deadline <= self.now());
        if over && actor.who == Who::Owner { Err(Refusal::ChoiceOver) } else { Ok(()) }
    }

    /// The job: goes on with what is left of call-offs, and gives the money of those back
    /// who have not chosen in time. Answers how many bookings could not be done.
    ///
    /// # Errors
    /// The database's.
    pub async fn call_offs_run(&self) -> Result<usize, BookingError> {
        let mut left = 0;
        for off in store::call_off_list_open(&self.db, RUN_CALL_OFFS_MAX).await? {
            if let Err(error) = self.advance(&off).await {
                log::warn(
                    "a called-off batch is left for later",
                    &[("batch", &off.batch_id), ("cause", &format!("{error:?}"))],
                );
                left += 1;
                continue;
            }
            if off.deadline > self.now() {
                continue;
            }
            left += self.default_refunds(off.id).await?;
            self.finish(&off).await?;
        }
        self.wake().await;
        Ok(left)
    }

    async fn default_refunds(&self, id: Id) -> Result<usize, BookingError> {
        let (begun, mut left): (Timestamp, usize) = (self.now(), 0);
        for booking in store::call_off_ids_waiting(&self.db, id, BOOKINGS_MAX).await? {
            if self.now().since(begun) > WORK_TIME {
                break;
            }
            match self.choose(Actor::SYSTEM, booking, Chosen::Refund).await {
                Ok(_) | Err(BookingError::NotFound | BookingError::Refused(_)) => {}
                Err(error) => {
                    let fields: [(&str, &dyn std::fmt::Display); 2] =
                        [("booking", &booking), ("cause", &format!("{error:?}"))];
                    log::warn("money of a called-off batch is left to be given back later", &fields);
                    left += 1;
                }
            }
        }
        Ok(left)
    }

    /// Nothing is left to do when no booking has seats there or waits for a choice.
    async fn finish(&self, off: &CallOff) -> Result<(), BookingError> {
        let seated = store::booking_list_of_batch(&self.db, off.batch_id, 1).await?;
        let waiting = store::call_off_ids_waiting(&self.db, off.id, 1).await?;
        if seated.is_empty() && waiting.is_empty() {
            store::call_off_finish(&self.db, off.id, self.now()).await?;
        }
        Ok(())
    }
}
