//! What the mails say, in Indian English. All wording of the service is here.

mod notices;

use cairn_shared::{Paise, Timestamp, Zone};

use crate::{
    domain::{
        BookingCancelled, BookingConfirmed, Code, Envelope, Message, NAME_CHARS_MAX, PaymentReceived, REMARK_CHARS_MAX,
        Trip, one_line,
    },
    letter::{Block, Letter},
};

/// The business as it calls itself in mails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    pub name: String,
    pub support_phone: Option<String>,
    /// Where its pages are, without a slash at the end.
    pub frontend_url: String,
    pub zone: Zone,
}

/// The letter for what happened.
pub fn letter(site: &Site, envelope: &Envelope) -> Letter {
    let greeting = match one_line(&envelope.to.name, NAME_CHARS_MAX) {
        name if name.is_empty() => "Hello,".to_owned(),
        name => format!("Hello {name},"),
    };
    let (subject, blocks) = match &envelope.message {
        Message::RegistrationCode(code) => site.registration_code(code),
        Message::LoginCode(code) => site.login_code(code),
        Message::Welcome(username) => site.welcome(username, &envelope.to.email.to_string()),
        Message::PaymentReceived(payment) => site.payment_received(payment),
        Message::BookingConfirmed(booking) => site.booking_confirmed(booking),
        Message::BookingCancelled(booking) => site.booking_cancelled(booking),
        Message::Invoice(trip) => site.invoice(trip),
        Message::Notice(notice) => site.notice(notice),
        Message::Gift(gift) => site.gift(gift),
    };
    let mut all = vec![Block::Paragraph(greeting)];
    all.extend(blocks);
    all.push(Block::Paragraph(format!("Warm regards,\nTeam {}", site.name)));
    Letter { subject, blocks: all, footer: site.footer() }
}

impl Site {
    fn footer(&self) -> Vec<String> {
        let help = self.support_phone.as_ref().map(|phone| format!("Need help? Call us on {phone}."));
        let automatic = "This is an automatic mail. Replies to this address are not read.".to_owned();
        help.into_iter().chain([automatic]).collect()
    }

    fn registration_code(&self, code: &Code) -> (String, Vec<Block>) {
        let subject = format!("Your {} registration code", self.name);
        let intro = format!("Thank you for joining {}. Enter this code to verify your e-mail address:", self.name);
        (subject, code_blocks(intro, code))
    }

    fn login_code(&self, code: &Code) -> (String, Vec<Block>) {
        let subject = format!("Your {} login code", self.name);
        (subject, code_blocks("Enter this code to log in to your account:".into(), code))
    }

    fn welcome(&self, username: &str, email: &str) -> (String, Vec<Block>) {
        let blocks = vec![
            paragraph(format!("Welcome to {}! Your account is verified and ready.", self.name)),
            Block::Facts(vec![("Username", one_line(username, NAME_CHARS_MAX)), ("E-mail", email.to_owned())]),
            paragraph("Good first steps:"),
            Block::List(vec![
                "Add your phone number to your profile, so that your trek leader can reach you.".into(),
                "Browse the calendar and pick a date that suits your group.".into(),
                "Read the difficulty and fitness notes of a trek before you book.".into(),
            ]),
            Block::Link { label: "Find your next trek", url: format!("{}/treks", self.frontend_url) },
        ];
        (format!("Welcome to {}", self.name), blocks)
    }

    fn payment_received(&self, payment: &PaymentReceived) -> (String, Vec<Block>) {
        let trek = trek_name(&payment.trip);
        let mut facts = self.trip_facts(&payment.trip);
        facts.push(("Amount received", rupees(payment.amount)));
        if payment.remaining > Paise::ZERO {
            facts.push(("Balance", rupees(payment.remaining)));
            facts.extend(payment.due_date.map(|due| ("Balance due by", self.day(due))));
        }
        facts.push(("Paid by", one_line(&payment.method, NAME_CHARS_MAX)));
        facts.push(("Payment ID", one_line(&payment.payment_id, NAME_CHARS_MAX)));
        let mut blocks =
            vec![paragraph(format!("We have received your payment for {trek}. Thank you!")), Block::Facts(facts)];
        if payment.remaining > Paise::ZERO {
            let by = payment.due_date.map(|due| format!(" by {}", self.day(due))).unwrap_or_default();
            blocks.push(paragraph(format!(
                "Your seats are held. Please pay the balance of {}{by} to keep them.",
                rupees(payment.remaining)
            )));
            blocks.push(self.balance_link(&payment.trip));
        } else {
            blocks.push(paragraph("Your booking is paid in full. Please add the details of all participants to your booking if you have not done so yet."));
        }
        let subject = if payment.remaining > Paise::ZERO {
            format!("Part payment received: {trek}")
        } else {
            format!("Payment received: {trek}")
        };
        (subject, blocks)
    }

    fn booking_confirmed(&self, booking: &BookingConfirmed) -> (String, Vec<Block>) {
        let trek = trek_name(&booking.trip);
        let mut facts = self.trip_facts(&booking.trip);
        facts.extend(booking.total.map(|total| ("Total", rupees(total))));
        let requests = one_line(&booking.requests, REMARK_CHARS_MAX);
        if !requests.is_empty() {
            facts.push(("Your requests", requests));
        }
        let blocks = vec![
            paragraph(format!("Your seat on {trek} is confirmed. We look forward to walking with you!")),
            Block::Facts(facts),
            paragraph("Before you come:"),
            what_to_bring(),
            paragraph(self.change_advice()),
        ];
        (format!("Booking confirmed: {trek}, {}", self.day(booking.trip.start_date)), blocks)
    }

    fn booking_cancelled(&self, booking: &BookingCancelled) -> (String, Vec<Block>) {
        let trek = trek_name(&booking.trip);
        let mut facts = self.trip_facts(&booking.trip);
        let reason = one_line(&booking.reason, REMARK_CHARS_MAX);
        if !reason.is_empty() {
            facts.push(("Reason", reason));
        }
        let money = if booking.refund > Paise::ZERO {
            format!(
                "A refund of {} goes back to the account you paid from. Banks usually take 5 to 7 working days.",
                rupees(booking.refund)
            )
        } else {
            "There is no refund for this booking.".to_owned()
        };
        let blocks = vec![
            paragraph(format!("Your booking for {trek} has been cancelled.")),
            Block::Facts(facts),
            paragraph(money),
            paragraph("We hope to see you on another trail soon."),
        ];
        (format!("Booking cancelled: {trek}"), blocks)
    }

    fn invoice(&self, trip: &Trip) -> (String, Vec<Block>) {
        let trek = trek_name(trip);
        let blocks = vec![
            paragraph(format!("Please find the invoice for your booking of {trek} attached.")),
            Block::Facts(self.trip_facts(trip)),
            paragraph(self.change_advice()),
        ];
        (format!("Invoice for booking {}: {trek}", one_line(&trip.booking_code, NAME_CHARS_MAX)), blocks)
    }

    fn balance_link(&self, trip: &Trip) -> Block {
        let url = format!("{}/payment/{}", self.frontend_url, path_segment(&trip.booking_id));
        Block::Link { label: "Pay the balance", url }
    }

    fn change_advice(&self) -> String {
        let call = self.support_phone.as_ref().map(|phone| format!(" or call us on {phone}")).unwrap_or_default();
        format!(
            "If your plans change, ask for a cancellation or another date from your bookings on {}{call}.",
            self.frontend_url
        )
    }

    fn trip_facts(&self, trip: &Trip) -> Vec<(&'static str, String)> {
        let mut facts = vec![
            ("Booking", one_line(&trip.booking_code, NAME_CHARS_MAX)),
            ("Trek", trek_name(trip)),
            ("Dates", self.days(trip.start_date, trip.end_date)),
        ];
        let names: Vec<_> = trip
            .participants
            .iter()
            .map(|name| one_line(name, NAME_CHARS_MAX))
            .filter(|name| !name.is_empty())
            .collect();
        if !names.is_empty() {
            facts.push(("Participants", names.join(", ")));
        }
        facts
    }

    fn day(&self, at: Timestamp) -> String {
        self.zone.day_text(at)
    }

    fn days(&self, from: Timestamp, to: Timestamp) -> String {
        let (from, to) = (self.day(from), self.day(to));
        if from == to { from } else { format!("{from} to {to}") }
    }
}

fn what_to_bring() -> Block {
    Block::List(vec![
        "Carry a government photo ID; we check it at the start.".into(),
        "Wear trekking shoes that you have walked in before, and bring rain protection and a torch.".into(),
        "Carry two litres of water and any medicine you take regularly.".into(),
        "Tell your trek leader about health conditions before the walk begins.".into(),
    ])
}

fn code_blocks(intro: String, code: &Code) -> Vec<Block> {
    let minutes = match code.valid_minutes {
        1 => "1 minute".to_owned(),
        minutes => format!("{minutes} minutes"),
    };
    vec![
        Block::Paragraph(intro),
        Block::Code(code.code.clone()),
        paragraph(format!("It is valid for {minutes} and can be used once.")),
        paragraph(
            "Never share this code; our staff will not ask for it. If you did not request it, you can ignore this mail.",
        ),
    ]
}

fn paragraph(text: impl Into<String>) -> Block {
    Block::Paragraph(text.into())
}

fn trek_name(trip: &Trip) -> String {
    one_line(&trip.trek_name, NAME_CHARS_MAX)
}

/// What may stand in a link's path; ids consist of nothing else.
fn path_segment(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).collect()
}

/// `₹6,163.20`, grouped as in India: thousands, then hundreds of thousands.
pub fn rupees(amount: Paise) -> String {
    let sign = if amount.0 < 0 { "-" } else { "" };
    let (rupees, paise) = (amount.0.unsigned_abs() / 100, amount.0.unsigned_abs() % 100);
    let digits = rupees.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        let left = digits.len() - at;
        if at > 0 && (left == 3 || (left > 3 && left % 2 == 1)) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{sign}\u{20b9}{grouped}.{paise:02}")
}

#[cfg(test)]
mod tests {
    use cairn_shared::validate::Email;

    use super::*;
    use crate::domain::Recipient;

    fn site() -> Site {
        Site {
            name: "High Trails".into(),
            support_phone: Some("+91 98765 43210".into()),
            frontend_url: "https://trails.example.in".into(),
            zone: Zone::INDIA,
        }
    }

    fn trip() -> Trip {
        Trip {
            booking_id: "68f0a1b2c3d4e5f607182930".into(),
            booking_code: "BT07182930".into(),
            trek_name: "Fort <b>loop</b>".into(),
            start_date: "2026-03-14".parse().unwrap(),
            end_date: "2026-03-15".parse().unwrap(),
            participants: vec!["Asha Rao".into(), "Ravi\r\nBcc: x@example.org".into()],
        }
    }

    fn write(message: Message) -> Letter {
        let to = Recipient { name: "Asha".into(), email: Email::parse("asha@example.org").unwrap() };
        letter(&site(), &Envelope { key: "k".into(), to, message, attachments: Vec::new() })
    }

    #[test]
    fn amounts_are_grouped_as_in_india() {
        for (paise, text) in [
            (0, "₹0.00"),
            (99_999, "₹999.99"),
            (616_320, "₹6,163.20"),
            (1_234_567_800, "₹1,23,45,678.00"),
            (10_000_000, "₹1,00,000.00"),
            (-100_000, "-₹1,000.00"),
        ] {
            assert_eq!(rupees(Paise(paise)), text);
        }
    }

    #[test]
    fn a_part_payment_names_the_balance_its_day_and_its_link() {
        let letter = write(Message::PaymentReceived(PaymentReceived {
            trip: trip(),
            amount: Paise(254_200),
            remaining: Paise(593_240),
            due_date: Some("2026-03-06T18:30:00Z".parse().unwrap()),
            method: "upi".into(),
            payment_id: "pay_1".into(),
        }));
        let text = letter.text();
        for part in [
            "Hello Asha,",
            "₹2,542.00",
            "₹5,932.40",
            "Balance due by: 07/03/2026",
            "Dates: 14/03/2026 to 15/03/2026",
            "Participants: Asha Rao, Ravi Bcc: x@example.org",
            "https://trails.example.in/payment/68f0a1b2c3d4e5f607182930",
            "+91 98765 43210",
            "automatic mail",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!letter.subject.contains(char::is_control));
    }

    #[test]
    fn a_participant_is_not_told_the_price() {
        let confirmed = |total| {
            write(Message::BookingConfirmed(BookingConfirmed { trip: trip(), total, requests: String::new() })).text()
        };
        assert!(confirmed(Some(Paise::rupees(3600))).contains("₹3,600.00"));
        assert!(!confirmed(None).contains('₹'));
    }

    #[test]
    fn a_cancellation_without_refund_promises_none() {
        let cancelled = |refund| {
            write(Message::BookingCancelled(BookingCancelled { trip: trip(), refund, reason: "Knee".into() })).text()
        };
        assert!(cancelled(Paise::rupees(100)).contains("₹100.00 goes back"));
        assert!(cancelled(Paise::ZERO).contains("no refund") && !cancelled(Paise::ZERO).contains('₹'));
    }

    #[test]
    fn what_people_typed_is_escaped_in_html() {
        let html = write(Message::Invoice(trip())).html("High Trails");
        assert!(html.contains("Fort &lt;b&gt;loop&lt;/b&gt;") && !html.contains("<b>loop"));
    }

    #[test]
    fn a_code_stands_on_a_line_of_its_own_and_not_in_the_subject() {
        let letter = write(Message::LoginCode(Code { code: "482913".into(), valid_minutes: 10 }));
        assert!(letter.text().lines().any(|line| line == "482913") && letter.text().contains("10 minutes"));
        assert!(!letter.subject.contains("482913"));
    }
}
