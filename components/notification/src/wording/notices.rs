//! Mails about a booking, from its confirmation to the walk.

use cairn_shared::Paise;

use super::{Site, paragraph, rupees, trek_name, what_to_bring};
use crate::{
    domain::{
        Balance, CallOff, Cancellation, Clearance, Confirmation, Credit, Gift, Move, NAME_CHARS_MAX, News, Notice,
        Person, REMARK_CHARS_MAX, Refund, RefundKind, RefundState, Refusal, Request, RequestKind, Settlement,
        ShareReceipt, ShareRequest, Transfer, Trip, one_line,
    },
    letter::Block,
};

type Mail = (String, Vec<Block>);

impl Site {
    pub(super) fn notice(&self, Notice { trip, news }: &Notice) -> Mail {
        match news {
            News::Confirmed(about) => self.confirmed(trip, about),
            News::BalanceReceived(about) => self.balance_received(trip, about),
            News::Cancelled(about) => self.cancelled(trip, about),
            News::SeatCancelled(reason) => self.seat_cancelled(trip, reason),
            News::SeatTransferred(about) => self.seat_transferred(trip, about),
            News::DeclarationWanted(names) => self.declaration_wanted(trip, names),
            News::DeclarationReceived(name) => self.declaration_received(trip, name),
            News::DeclarationDecided(about) => self.declaration_decided(trip, about),
            News::DatesChanged(about) => self.dates_changed(trip, about),
            News::RequestDeclined(about) => self.request_declined(trip, about),
            News::RequestReceived(about) => self.request_received(trip, about),
            News::UnpaidCancelled(about) => self.unpaid_cancelled(trip, about),
            News::BalanceReminder(about) => self.balance_reminder(trip, about),
            News::ShareAsked(about) => self.share_asked(trip, about),
            News::SharePaid(about) => self.share_paid(trip, about),
            News::DetailsReminder => self.details_reminder(trip),
            News::TripReminder => self.trip_reminder(trip),
            News::CalledOff(about) => self.called_off(trip, about),
            News::VoucherIssued(about) => self.voucher_issued(trip, about),
        }
    }

    fn confirmed(&self, trip: &Trip, about: &Confirmation) -> Mail {
        let trek = trek_name(trip);
        let mut facts = self.booked(trip);
        facts.extend(about.total.map(|total| ("Total", rupees(total))));
        add_text(&mut facts, "Your requests", &about.requests);
        let mut blocks = vec![
            paragraph(format!("Your seat on {trek} is confirmed. We look forward to walking with you!")),
            Block::Facts(facts),
        ];
        let people: Vec<_> = about.people.iter().map(person).filter(|line| !line.is_empty()).collect();
        if !people.is_empty() {
            blocks.extend([paragraph("Who comes:"), Block::List(people)]);
        }
        blocks.extend([paragraph("Before you come:"), what_to_bring(), paragraph(self.change_advice())]);
        (format!("Booking confirmed: {trek}, {}", self.day(trip.start_date)), blocks)
    }

    fn balance_received(&self, trip: &Trip, about: &Settlement) -> Mail {
        let trek = trek_name(trip);
        let mut facts = self.trip_facts(trip);
        facts.extend([("Final payment", rupees(about.amount)), ("Total paid", rupees(about.total))]);
        add_text(&mut facts, "Paid by", &about.method);
        add_text(&mut facts, "Payment ID", &about.payment_id);
        let blocks = vec![
            paragraph(format!("We have received the balance for {trek}. Your booking is paid in full. Thank you!")),
            Block::Facts(facts),
            paragraph(
                "The invoice is attached. Please add the details of all participants to your booking if you have not done so yet.",
            ),
        ];
        (format!("Payment complete: {trek}"), blocks)
    }

    fn cancelled(&self, trip: &Trip, about: &Cancellation) -> Mail {
        let trek = trek_name(trip);
        let mut facts = self.booked(trip);
        let names: Vec<_> = about.names.iter().map(|name| one_line(name, NAME_CHARS_MAX)).collect();
        add_text(&mut facts, "Cancelled for", &names.join(", "));
        add_text(&mut facts, "Reason", &about.reason);
        let (subject, intro) = if about.entire {
            (format!("Booking cancelled: {trek}"), format!("Your booking for {trek} has been cancelled."))
        } else {
            (
                format!("Participants cancelled: {trek}"),
                format!("Some participants of your booking for {trek} have been cancelled. The others still come."),
            )
        };
        let mut blocks = vec![paragraph(intro)];
        match &about.refund {
            Some(refund) => {
                facts.extend([("Refund", refund_kind(refund)), ("Refund amount", rupees(refund.amount))]);
                blocks.extend([Block::Facts(facts), paragraph(refund_outlook(refund))]);
            }
            None => blocks.extend([Block::Facts(facts), paragraph("There is no refund for this cancellation.")]),
        }
        blocks.push(paragraph("We hope to see you on another trail soon."));
        (subject, blocks)
    }

    fn seat_cancelled(&self, trip: &Trip, reason: &str) -> Mail {
        let trek = trek_name(trip);
        let mut facts = self.booked(trip);
        add_text(&mut facts, "Reason", reason);
        let blocks = vec![
            paragraph(format!("Your seat on {trek} has been cancelled.")),
            Block::Facts(facts),
            paragraph("If money goes back, it goes to the person who made the booking. Please ask them about it."),
        ];
        (format!("Your seat was cancelled: {trek}"), blocks)
    }

    fn seat_transferred(&self, trip: &Trip, about: &Transfer) -> Mail {
        let trek = trek_name(trip);
        let [old, new] = [&about.old_name, &about.new_name].map(|name| one_line(name, NAME_CHARS_MAX));
        let blocks = vec![
            paragraph(format!(
                "The seat of {old} on {trek} belongs to {new} now. Nothing else about the booking changes."
            )),
            Block::Facts(self.booked(trip)),
            paragraph("If you did not expect this, please ask the person who made the booking, or us."),
        ];
        (format!("A seat has changed hands: {trek}, {}", self.day(trip.start_date)), blocks)
    }

    fn declaration_wanted(&self, trip: &Trip, names: &[String]) -> Mail {
        let trek = trek_name(trip);
        let names = names.iter().map(|name| one_line(name, NAME_CHARS_MAX)).collect();
        let blocks = vec![
            paragraph(format!(
                "{trek} asks for a declaration of health and fitness. We confirm the booking when we have seen and approved it for everybody who comes. It is still missing for:"
            )),
            Block::List(names),
            Block::Facts(self.booked(trip)),
            paragraph(format!("Please fill it in on the page of your booking, on {}.", self.frontend_url)),
        ];
        (format!("Please declare who is fit to come: {trek}"), blocks)
    }

    fn declaration_received(&self, trip: &Trip, name: &str) -> Mail {
        let trek = trek_name(trip);
        let mut facts = self.booked(trip);
        add_text(&mut facts, "Participant", name);
        let blocks = vec![
            paragraph("A declaration of health and fitness waits for your decision. You find it with the booking."),
            Block::Facts(facts),
        ];
        (format!("To be approved: {}, {trek}", one_line(&trip.booking_code, NAME_CHARS_MAX)), blocks)
    }

    fn declaration_decided(&self, trip: &Trip, about: &Clearance) -> Mail {
        let trek = trek_name(trip);
        let name = one_line(&about.name, NAME_CHARS_MAX);
        let (subject, text) = if about.approved {
            ("Declaration approved", format!("The declaration of {name} for {trek} is approved."))
        } else {
            (
                "Declaration not approved",
                format!(
                    "We are sorry: going by the declaration of {name}, we cannot take {name} along on {trek}. Our team gets in touch with you about the seat and the money that was paid for it."
                ),
            )
        };
        let blocks = vec![paragraph(text), Block::Facts(self.booked(trip)), paragraph(self.change_advice())];
        (format!("{subject}: {trek}"), blocks)
    }

    fn dates_changed(&self, trip: &Trip, about: &Move) -> Mail {
        let trek = trek_name(trip);
        let mut facts = vec![
            ("Booking", one_line(&trip.booking_code, NAME_CHARS_MAX)),
            ("Old dates", self.days(about.old_start, about.old_end)),
            ("New dates", self.days(trip.start_date, trip.end_date)),
        ];
        let intro = match &about.answer {
            Some(answer) => {
                add_text(&mut facts, "Our answer", answer);
                format!("Your request is approved: your booking for {trek} is moved to the dates you asked for.")
            }
            None => format!("Your booking for {trek} has been moved to other dates."),
        };
        let blocks = vec![
            paragraph(intro),
            Block::Facts(facts),
            paragraph("You pay no more than before, and your seats come along."),
            paragraph(self.change_advice()),
        ];
        (format!("New dates: {trek}, {}", self.day(trip.start_date)), blocks)
    }

    fn request_declined(&self, trip: &Trip, about: &Refusal) -> Mail {
        let trek = trek_name(trip);
        let mut facts = self.booked(trip);
        add_text(&mut facts, "Our answer", &about.answer);
        let wish = match about.kind {
            RequestKind::Cancellation => "cancel your booking",
            RequestKind::Reschedule => "move your booking to another date",
        };
        let blocks = vec![
            paragraph(format!("We are sorry: we cannot {wish} as you asked. Your booking for {trek} stays as it is.")),
            Block::Facts(facts),
            paragraph(self.change_advice()),
        ];
        (format!("About your request: {trek}"), blocks)
    }

    fn request_received(&self, trip: &Trip, about: &Request) -> Mail {
        let trek = trek_name(trip);
        let mut facts = self.trip_facts(trip);
        add_text(&mut facts, "Customer", &about.customer);
        add_text(&mut facts, "Phone", &about.phone);
        facts.extend(about.wanted_start.map(|start| ("Wished date", self.day(start))));
        add_text(&mut facts, "Reason", &about.reason);
        let (subject, wish) = match about.kind {
            RequestKind::Cancellation => ("Cancellation requested", "to cancel a booking"),
            RequestKind::Reschedule => ("Reschedule requested", "to move a booking to another date"),
        };
        let blocks = vec![
            paragraph(format!("A customer asks {wish}. Please answer the request on the bookings page.")),
            Block::Facts(facts),
        ];
        (format!("{subject}: {}, {trek}", one_line(&trip.booking_code, NAME_CHARS_MAX)), blocks)
    }

    fn unpaid_cancelled(&self, trip: &Trip, about: &Balance) -> Mail {
        let trek = trek_name(trip);
        let mut facts = self.booked(trip);
        facts.extend(self.balance_facts(about));
        let blocks = vec![
            paragraph(format!(
                "Your booking for {trek} has been cancelled, because its balance was not paid by the due date. The seats are released."
            )),
            Block::Facts(facts),
            paragraph(
                "The first instalment is not refundable. If you have paid the balance in the last hours, it goes back to you, or please get in touch with us.",
            ),
        ];
        (format!("Booking cancelled: {trek}"), blocks)
    }

    fn balance_reminder(&self, trip: &Trip, about: &Balance) -> Mail {
        let trek = trek_name(trip);
        let mut facts = self.booked(trip);
        facts.extend(self.balance_facts(about));
        let blocks = vec![
            paragraph(format!(
                "Please pay the balance for {trek} by {}, so that your seats stay yours.",
                self.day(about.due)
            )),
            Block::Facts(facts),
            self.balance_link(trip),
        ];
        (format!("Balance due by {}: {trek}", self.day(about.due)), blocks)
    }

    fn share_asked(&self, trip: &Trip, about: &ShareRequest) -> Mail {
        let trek = trek_name(trip);
        let by = one_line(&about.by, NAME_CHARS_MAX);
        let mut facts = self.trip_facts(trip);
        facts.extend([("Your share", rupees(about.amount)), ("Due date", self.day(about.due))]);
        let blocks = vec![
            paragraph(format!("{by} has booked {trek} for you, and everybody pays their own share.")),
            Block::Facts(facts),
            paragraph(format!("Pay here: {}", one_line(&about.link, REMARK_CHARS_MAX))),
            paragraph(
                "You need no account; whoever has the link can pay. A seat whose share is not paid in time goes to others.",
            ),
        ];
        (format!("Your share of {trek}: {} until {}", rupees(about.amount), self.day(about.due)), blocks)
    }

    fn share_paid(&self, trip: &Trip, about: &ShareReceipt) -> Mail {
        let trek = trek_name(trip);
        let mut facts = self.trip_facts(trip);
        facts.push(("Paid", rupees(about.amount)));
        add_text(&mut facts, "Paid by", &about.method);
        add_text(&mut facts, "Payment", &about.payment_id);
        let blocks = vec![
            paragraph(format!("Thank you: your share of {trek} is paid.")),
            Block::Facts(facts),
            paragraph("If it is cancelled, what is refundable goes back to the account that you paid from."),
        ];
        (format!("Payment received: your share of {trek}"), blocks)
    }

    fn details_reminder(&self, trip: &Trip) -> Mail {
        let trek = trek_name(trip);
        let blocks = vec![
            paragraph(format!(
                "Please tell us within 48 hours who comes on {trek}: we need the details of every participant and an emergency contact before the walk."
            )),
            Block::Facts(self.booked(trip)),
            paragraph(format!("You find your booking on {}.", self.frontend_url)),
        ];
        (format!("Who comes? {trek}, {}", self.day(trip.start_date)), blocks)
    }

    fn trip_reminder(&self, trip: &Trip) -> Mail {
        let trek = trek_name(trip);
        let mut blocks = vec![
            paragraph(format!("{trek} begins on {}. Please pack in time.", self.day(trip.start_date))),
            Block::Facts(self.trip_facts(trip)),
            paragraph("What to bring:"),
            what_to_bring(),
        ];
        if let Some(phone) = &self.support_phone {
            blocks.push(paragraph(format!("Late, ill, or lost on the way? Call us on {phone}.")));
        }
        (format!("Your trek begins soon: {trek}, {}", self.day(trip.start_date)), blocks)
    }

    fn called_off(&self, trip: &Trip, about: &CallOff) -> Mail {
        let trek = trek_name(trip);
        let mut facts = self.booked(trip);
        add_text(&mut facts, "Reason", &about.reason);
        facts.push(("Paid", rupees(about.refund)));
        let mut choices = Vec::new();
        if about.voucher > Paise::ZERO {
            choices.push(format!("a voucher of {}, valid for a year", rupees(about.voucher)));
        }
        choices.push("another date of this trek that has room, at no higher price".to_owned());
        choices.push(format!("all of your money back: {}", rupees(about.refund)));
        let blocks = vec![
            paragraph(format!("We are sorry: {trek} cannot take place on these dates.")),
            Block::Facts(facts),
            paragraph(format!("Please choose until {} what you would like:", self.day(about.deadline))),
            Block::List(choices),
            paragraph(format!("Choose here: {}", one_line(&about.link, REMARK_CHARS_MAX))),
            paragraph(
                "The link is yours alone: whoever has it can choose. If we do not hear from you, your money goes back.",
            ),
        ];
        (format!("Your trek does not take place: {trek}, {}", self.day(trip.start_date)), blocks)
    }

    fn voucher_issued(&self, trip: &Trip, about: &Credit) -> Mail {
        let trek = trek_name(trip);
        let facts = vec![
            ("Code", one_line(&about.code, NAME_CHARS_MAX)),
            ("Worth", rupees(about.amount)),
            ("Valid until", self.day(about.expires)),
            ("For booking", one_line(&trip.booking_code, NAME_CHARS_MAX)),
        ];
        let blocks = vec![
            paragraph(format!("Here is your voucher in place of {trek}.")),
            Block::Facts(facts),
            paragraph("Give its code when you book. It pays as far as it goes, and what is left stays yours."),
            paragraph("Please keep the code to yourself: whoever has it can use it."),
        ];
        (format!("Your voucher: {}", rupees(about.amount)), blocks)
    }

    /// A voucher that somebody has bought for the reader.
    pub(super) fn gift(&self, about: &Gift) -> Mail {
        let from = one_line(&about.from, NAME_CHARS_MAX);
        let mut facts = Vec::new();
        add_text(&mut facts, "Their words", &about.words);
        facts.extend([
            ("Code", one_line(&about.code, NAME_CHARS_MAX)),
            ("Worth", rupees(about.amount)),
            ("Valid until", self.day(about.expires)),
        ]);
        let blocks = vec![
            paragraph(format!("{from} has a gift for you: a voucher for a walk in the mountains.")),
            Block::Facts(facts),
            paragraph(format!("Choose your trek on {} and give the code when you book.", self.frontend_url)),
            paragraph("Please keep the code to yourself: whoever has it can use it."),
        ];
        (format!("A gift from {from}: {}", rupees(about.amount)), blocks)
    }

    /// The trip without its participants.
    fn booked(&self, trip: &Trip) -> Vec<(&'static str, String)> {
        self.trip_facts(&Trip { participants: Vec::new(), ..trip.clone() })
    }

    fn balance_facts(&self, about: &Balance) -> [(&'static str, String); 2] {
        [("Balance", rupees(about.amount)), ("Balance due by", self.day(about.due))]
    }
}

/// Adds what people wrote, unless it is nothing.
fn add_text(facts: &mut Vec<(&'static str, String)>, name: &'static str, text: &str) {
    let text = one_line(text, REMARK_CHARS_MAX);
    if !text.is_empty() {
        facts.push((name, text));
    }
}

/// `Asha Rao, 31, Female`.
fn person(person: &Person) -> String {
    let age = person.age.map(|age| age.to_string());
    let parts = [Some(person.name.clone()), age, person.gender.clone()];
    let parts: Vec<_> = parts
        .into_iter()
        .flatten()
        .map(|part| one_line(&part, NAME_CHARS_MAX))
        .filter(|part| !part.is_empty())
        .collect();
    parts.join(", ")
}

fn refund_kind(refund: &Refund) -> String {
    match refund.kind {
        RefundKind::Auto => "By our cancellation policy",
        RefundKind::Full => "In full",
        RefundKind::Custom => "As agreed",
    }
    .to_owned()
}

fn refund_outlook(refund: &Refund) -> String {
    match refund.state {
        RefundState::Processing => format!(
            "{} goes back to the account you paid from. Banks usually take 5 to 7 working days.",
            rupees(refund.amount)
        ),
        RefundState::Paid => format!(
            "{} was given back to the account you paid from. Banks usually show it within 5 to 7 working days.",
            rupees(refund.amount)
        ),
        RefundState::Failed => format!(
            "The refund of {} did not go through at once. Our team has been told and takes care of it; you need not do anything.",
            rupees(refund.amount)
        ),
    }
}

#[cfg(test)]
mod tests {
    use cairn_shared::{Paise, Timestamp, Zone, validate::Email};

    use super::*;
    use crate::{
        domain::{Envelope, Message, Recipient},
        letter::Letter,
        wording::letter,
    };

    fn trip() -> Trip {
        Trip {
            booking_id: "68f0a1b2c3d4e5f607182930".into(),
            booking_code: "BT07182930".into(),
            trek_name: "Fort loop".into(),
            start_date: day("2026-03-14"),
            end_date: day("2026-03-15"),
            participants: vec!["Asha Rao".into(), "Ravi".into()],
        }
    }

    fn day(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn write(news: News) -> Letter {
        site_letter(Message::Notice(Notice { trip: trip(), news }))
    }

    fn site_letter(message: Message) -> Letter {
        let site = Site {
            name: "High Trails".into(),
            support_phone: Some("+91 98765 43210".into()),
            frontend_url: "https://trails.example.in".into(),
            zone: Zone::INDIA,
        };
        let to = Recipient { name: "Asha".into(), email: Email::parse("asha@example.org").unwrap() };
        letter(&site, &Envelope { key: "k".into(), to, message, attachments: Vec::new() })
    }

    #[track_caller]
    fn says(news: News, subject: &str, parts: &[&str]) {
        let letter = write(news);
        assert_eq!(letter.subject, subject);
        let (text, html) = (letter.text(), letter.html("High Trails"));
        for part in parts {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(text.contains("BT07182930") && html.contains("BT07182930"), "every mail names its booking: {text}");
    }

    fn confirmation(total: Option<Paise>) -> News {
        let people = vec![
            Person { name: "Asha Rao".into(), age: Some(31), gender: Some("Female".into()) },
            Person { name: "Ravi\r\nX".into(), age: None, gender: None },
        ];
        News::Confirmed(Confirmation { people, total, requests: "Window seat".into() })
    }

    #[test]
    fn every_kind_says_what_happened() {
        let balance = Balance { amount: Paise(593_240), due: day("2026-03-07") };
        let refund = Refund { kind: RefundKind::Auto, amount: Paise::rupees(6_356), state: RefundState::Processing };
        let cancelled = |entire, refund| {
            News::Cancelled(Cancellation { entire, names: vec!["Ravi".into()], reason: "Knee".into(), refund })
        };
        says(
            confirmation(Some(Paise::rupees(3_600))),
            "Booking confirmed: Fort loop, 14/03/2026",
            &["₹3,600.00", "- Asha Rao, 31, Female\n- Ravi X", "Window seat", "photo ID", "If your plans change"],
        );
        let settled = Settlement {
            amount: Paise(593_240),
            total: Paise(847_440),
            method: "Cash".into(),
            payment_id: "off_1".into(),
        };
        says(
            News::BalanceReceived(settled),
            "Payment complete: Fort loop",
            &["Final payment: ₹5,932.40", "Total paid: ₹8,474.40", "Paid by: Cash", "off_1"],
        );
        says(
            cancelled(true, Some(refund)),
            "Booking cancelled: Fort loop",
            &["Cancelled for: Ravi", "Reason: Knee", "By our cancellation policy", "₹6,356.00", "5 to 7 working days"],
        );
        says(cancelled(false, None), "Participants cancelled: Fort loop", &["no refund", "The others still come"]);
        says(
            News::SeatTransferred(Transfer { old_name: "Ravi".into(), new_name: "Meera\nX".into() }),
            "A seat has changed hands: Fort loop, 14/03/2026",
            &["The seat of Ravi on Fort loop belongs to Meera X now"],
        );
        says(
            News::DeclarationWanted(vec!["Ravi".into()]),
            "Please declare who is fit to come: Fort loop",
            &["still missing for", "- Ravi", "https://trails.example.in"],
        );
        says(
            News::DeclarationReceived("Ravi".into()),
            "To be approved: BT07182930, Fort loop",
            &["Participant: Ravi", "waits for your decision"],
        );
        let decided = |approved| News::DeclarationDecided(Clearance { name: "Ravi".into(), approved });
        says(decided(true), "Declaration approved: Fort loop", &["declaration of Ravi for Fort loop is approved"]);
        says(decided(false), "Declaration not approved: Fort loop", &["we cannot take Ravi along"]);
        let moved = |answer: Option<&str>| {
            let answer = answer.map(str::to_owned);
            News::DatesChanged(Move { old_start: day("2026-02-07"), old_end: day("2026-02-08"), answer })
        };
        says(
            moved(None),
            "New dates: Fort loop, 14/03/2026",
            &["Old dates: 07/02/2026 to 08/02/2026", "New dates: 14/03/2026 to 15/03/2026", "has been moved"],
        );
        says(moved(Some("Gladly")), "New dates: Fort loop, 14/03/2026", &["Your request is approved", "Gladly"]);
        says(
            News::RequestDeclined(Refusal { kind: RequestKind::Reschedule, answer: "Full".into() }),
            "About your request: Fort loop",
            &["cannot move your booking", "Our answer: Full"],
        );
        let request = Request {
            kind: RequestKind::Cancellation,
            reason: "Ill".into(),
            customer: "Asha Rao".into(),
            phone: "9800000001".into(),
            wanted_start: None,
        };
        says(
            News::RequestReceived(request),
            "Cancellation requested: BT07182930, Fort loop",
            &["Customer: Asha Rao", "9800000001", "Ill"],
        );
        says(
            News::UnpaidCancelled(balance),
            "Booking cancelled: Fort loop",
            &["not paid by the due date", "₹5,932.40", "07/03/2026"],
        );
        says(
            News::BalanceReminder(balance),
            "Balance due by 07/03/2026: Fort loop",
            &["₹5,932.40", "https://trails.example.in/payment/68f0a1b2c3d4e5f607182930"],
        );
        let link = "https://trails.example.in/share".to_owned();
        let request = ShareRequest { by: "Meera Rao".into(), amount: Paise(424_000), due: day("2026-03-07"), link };
        assert!(!format!("{request:?}").contains("trails"), "a log shows no link");
        says(
            News::ShareAsked(request),
            "Your share of Fort loop: \u{20b9}4,240.00 until 07/03/2026",
            &["Meera Rao has booked Fort loop", "https://trails.example.in/share", "no account"],
        );
        let receipt = ShareReceipt { amount: Paise(424_000), method: "upi".into(), payment_id: "pay_9".into() };
        says(
            News::SharePaid(receipt),
            "Payment received: your share of Fort loop",
            &["\u{20b9}4,240.00", "upi", "pay_9"],
        );
        says(News::DetailsReminder, "Who comes? Fort loop, 14/03/2026", &["within 48 hours"]);
        says(
            News::TripReminder,
            "Your trek begins soon: Fort loop, 14/03/2026",
            &["14/03/2026 to 15/03/2026", "rain protection", "+91 98765 43210"],
        );
        let call_off = |voucher| CallOff {
            reason: "Snow on the pass".into(),
            refund: Paise::rupees(8_000),
            voucher,
            deadline: day("2026-03-10"),
            link: "https://trails.example.in/x".into(),
        };
        says(
            News::CalledOff(call_off(Paise::rupees(8_800))),
            "Your trek does not take place: Fort loop, 14/03/2026",
            &["Snow on the pass", "a voucher of \u{20b9}8,800.00", "until 10/03/2026", "https://trails.example.in/x"],
        );
        assert!(!write(News::CalledOff(call_off(Paise::ZERO))).text().contains("voucher"));
        let credit = Credit { code: "000G-40R4".into(), amount: Paise::rupees(8_800), expires: day("2027-03-01") };
        assert!(!format!("{credit:?}").contains("000G"), "a log shows no code");
        let gift = Gift {
            from: "Meera Rao".into(),
            words: "Walk more".into(),
            code: "000G-40R4".into(),
            amount: Paise::rupees(500),
            expires: day("2027-03-01"),
        };
        assert!(!format!("{gift:?}").contains("000G"), "a log shows no code");
        let letter = site_letter(Message::Gift(gift)).text();
        for part in ["Meera Rao has a gift", "Their words: Walk more", "Code: 000G-40R4", "Valid until: 01/03/2027"] {
            assert!(letter.contains(part), "{part}: {letter}");
        }
        says(
            News::VoucherIssued(credit),
            "Your voucher: \u{20b9}8,800.00",
            &["Code: 000G-40R4", "Valid until: 01/03/2027", "in place of Fort loop", "BT07182930"],
        );
    }

    #[test]
    fn participants_read_neither_prices_nor_refunds() {
        assert!(!write(confirmation(None)).text().contains('₹'));
        says(
            News::SeatCancelled("Knee".into()),
            "Your seat was cancelled: Fort loop",
            &["Reason: Knee", "the person who made the booking"],
        );
        assert!(!write(News::SeatCancelled(String::new())).text().contains('₹'));
    }

    #[test]
    fn a_failed_refund_is_not_called_done() {
        let refund = |state| Some(Refund { kind: RefundKind::Full, amount: Paise::rupees(100), state });
        let text = |state| {
            let about = Cancellation { entire: true, names: vec![], reason: String::new(), refund: refund(state) };
            write(News::Cancelled(about)).text()
        };
        assert!(text(RefundState::Failed).contains("did not go through"));
        assert!(text(RefundState::Paid).contains("was given back"));
        assert!(!text(RefundState::Failed).contains("5 to 7"));
    }
}
