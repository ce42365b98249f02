//! What stands on a document, in words and figures.

use cairn_shared::{BasisPoints, Paise, Timestamp, Zone};
use serde::{Deserialize, Serialize};

use super::words::in_words;
use crate::{
    app::Seller,
    domain::{
        Booking, DocumentKind, DueDocument, Figures, GstType, Payment, PaymentMode, RefundStatus, Status, Supply,
        figures, supply,
    },
};

/// What all documents of a booking are made from.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    pub seller: &'a Seller,
    pub booking: &'a Booking,
    /// Oldest first.
    pub payments: &'a [Payment],
    pub zone: Zone,
}

/// What makes a document one that counts.
pub struct Issue<'a> {
    pub number: &'a str,
    pub at: Timestamp,
    pub due: DueDocument,
    /// Earlier documents that it corrects or settles, with their days.
    pub against: &'a [(String, Timestamp)],
    /// Why something is taken back.
    pub reason: &'a str,
    /// Where anybody can see that it is genuine.
    pub check_url: String,
}

/// A line of the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub description: String,
    pub details: String,
    pub quantity: String,
    pub rate: String,
    pub amount: String,
}

/// A line of a list of terms and values.
pub type Pair = (String, String);

/// Everything on the pages, as text. An issued document is kept as this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    pub title: String,
    pub seller_name: String,
    pub tagline: Option<String>,
    pub seller: Vec<String>,
    pub facts: Vec<Pair>,
    pub bill_to: Vec<String>,
    pub lines: Vec<Line>,
    /// Before the total.
    pub sums: Vec<Pair>,
    pub total: Pair,
    /// The total in words.
    pub words: String,
    /// After the total.
    pub settled: Vec<Pair>,
    /// The stamp: how far it is paid, or what it does.
    pub state: String,
    pub payment: Vec<Pair>,
    pub terms: Vec<String>,
    pub footer: String,
    /// In the QR code.
    pub check_url: Option<String>,
}

/// Rupees as India groups them: `₹1,23,456.70`.
pub fn rupees(amount: Paise) -> String {
    let sign = if amount.0 < 0 { "-" } else { "" };
    let digits = (amount.0.unsigned_abs() / 100).to_string();
    let (head, tail) = digits.split_at(digits.len().saturating_sub(3));
    let mut grouped = String::new();
    for (at, digit) in head.chars().enumerate() {
        if at > 0 && (head.len() - at) % 2 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let comma = if grouped.is_empty() { "" } else { "," };
    format!("{sign}\u{20b9}{grouped}{comma}{tail}.{:02}", amount.0.unsigned_abs() % 100)
}

fn percent(rate: BasisPoints) -> String {
    Paise(rate.0).to_string()
}

fn pair(term: impl Into<String>, value: impl Into<String>) -> Pair {
    (term.into(), value.into())
}

impl Content {
    /// What a customer is shown while there is nothing to document yet.
    pub fn proforma(subject: &Subject<'_>, now: Timestamp) -> Self {
        let booking = subject.booking;
        let total = booking.price.total;
        let mut settled = vec![pair("Paid", rupees(booking.paid))];
        if booking.refunded > Paise::ZERO {
            settled.push(pair("Refunded", rupees(booking.refunded)));
        }
        if booking.status != Status::Cancelled {
            settled.push(pair("Balance", rupees((booking.due_total() - booking.paid).max(Paise::ZERO))));
        }
        let number = pair("Proforma no.", format!("PRO-{}", booking.id.short_code()));
        let mut content = Self {
            sums: subject.sums_of_sale(figures(&booking.price, Paise::ZERO, total)),
            total: pair("Total", rupees(total)),
            words: in_words(total),
            lines: subject.lines_of_sale(),
            settled,
            state: state(booking).to_owned(),
            payment: subject.payment(),
            ..subject.frame("Proforma Invoice", number, now)
        };
        content.facts.push(subject.due(now));
        content
    }

    /// A numbered document.
    pub fn issued(subject: &Subject<'_>, issue: Issue<'_>) -> Self {
        let booking = subject.booking;
        let kind = issue.due.kind;
        let figures = figures(&booking.price, issue.due.from, issue.due.to);
        let taxed = subject.seller.gstin.is_some() && figures.tax > Paise::ZERO;
        let (title, number, total, state) = match kind {
            DocumentKind::Invoice if taxed => ("Tax Invoice", "Invoice no.", "Total", state(booking)),
            DocumentKind::Invoice => ("Invoice", "Invoice no.", "Total", state(booking)),
            DocumentKind::ReceiptVoucher => ("Receipt Voucher", "Voucher no.", "Advance received", "ADVANCE RECEIVED"),
            DocumentKind::RefundVoucher => ("Refund Voucher", "Voucher no.", "Advance returned", "ADVANCE RETURNED"),
            DocumentKind::CreditNote => ("Credit Note", "Note no.", "Credited", "CREDIT"),
            DocumentKind::DebitNote => ("Debit Note", "Note no.", "Debited", "DEBIT"),
        };
        let mut content = Self {
            total: pair(total, rupees(figures.total)),
            words: in_words(figures.total),
            state: state.to_owned(),
            check_url: Some(issue.check_url),
            ..subject.frame(title, pair(number, issue.number), issue.at)
        };
        if !kind.is_correction() {
            content.facts.push(subject.due(issue.at));
        }
        if kind == DocumentKind::Invoice {
            content.lines = subject.lines_of_sale();
            content.sums = subject.sums_of_sale(figures);
            let kept = booking.refundable();
            content.settled =
                vec![pair("Paid", rupees(kept)), pair("Balance", rupees((figures.total - kept).max(Paise::ZERO)))];
        } else {
            content.lines = vec![subject.line_of_part(kind, figures)];
            content.sums = subject.taxes(figures, "");
        }
        content.payment = if kind.is_correction() { Vec::new() } else { subject.payment() };
        if kind.is_correction() && !issue.reason.is_empty() {
            content.payment.push(pair("Reason", issue.reason));
        }
        let label = if kind.is_correction() { "Against" } else { "Advance by" };
        for (number, at) in issue.against {
            content.payment.push(pair(label, format!("{number} of {}", subject.zone.day_text(*at))));
        }
        content
    }
}

impl Subject<'_> {
    fn supply(&self) -> Option<Supply> {
        supply(self.seller.gstin.as_ref(), self.booking.billing.as_ref())
    }

    /// What is the same on every document.
    fn frame(&self, title: &str, number: Pair, date: Timestamp) -> Content {
        let Self { seller, booking, zone, .. } = self;
        let mut facts =
            vec![number, pair("Date", zone.day_text(date)), pair("Booking", booking.code()), pair("SAC", &seller.sac)];
        facts.extend(self.supply().map(|supply| pair("Place of supply", supply.place().to_string())));
        Content {
            title: title.to_owned(),
            seller_name: seller.trade_name.clone(),
            tagline: seller.tagline.clone(),
            seller: seller_lines(seller),
            facts,
            bill_to: self.bill_to(),
            lines: Vec::new(),
            sums: Vec::new(),
            total: pair("", ""),
            words: String::new(),
            settled: Vec::new(),
            state: String::new(),
            payment: Vec::new(),
            terms: terms(seller, title),
            footer: format!("Thank you for travelling with {}.", seller.trade_name),
            check_url: None,
        }
    }

    /// When what is owed is to be paid.
    fn due(&self, date: Timestamp) -> Pair {
        match &self.booking.partial {
            Some(partial) if partial.remaining > Paise::ZERO => pair("Balance due by", self.zone.day_text(partial.due)),
            _ => pair("Due date", self.zone.day_text(date)),
        }
    }

    fn bill_to(&self) -> Vec<String> {
        let contact = &self.booking.contact;
        let billing = self.booking.billing.clone().unwrap_or_default();
        let mut lines = vec![billing.name.unwrap_or_else(|| contact.name.clone())];
        lines.extend(billing.address.iter().flat_map(|address| address.lines().map(|line| line.trim().to_owned())));
        lines.extend(billing.gstin.map(|gstin| format!("GSTIN {gstin}")));
        lines.extend([contact.email.clone(), contact.phone.clone()]);
        lines
    }

    fn trip(&self) -> String {
        let day = |at| self.zone.day_text(at);
        if self.booking.custom {
            // The dates of a custom trek mean nothing.
            return String::new();
        }
        format!("{} \u{2013} {}", day(self.booking.batch_start), day(self.booking.batch_end))
    }

    fn lines_of_sale(&self) -> Vec<Line> {
        let booking = self.booking;
        let count = booking.count();
        let add_ons: Paise = booking.add_ons.iter().map(|add_on| add_on.price.times(count)).sum();
        let trek = Line {
            description: format!("Trek package: {}", booking.trek_name),
            details: self.trip(),
            quantity: count.to_string(),
            rate: rupees(booking.price.unit),
            // What staff agreed on for all need not divide evenly.
            amount: rupees(booking.price.base - add_ons),
        };
        let add_ons = booking.add_ons.iter().map(|add_on| Line {
            description: add_on.name.clone(),
            details: "Add-on, per participant".into(),
            quantity: count.to_string(),
            rate: rupees(add_on.price),
            amount: rupees(add_on.price.times(count)),
        });
        std::iter::once(trek).chain(add_ons).collect()
    }

    /// One line for a part of the price, without what is shown below it.
    fn line_of_part(&self, kind: DocumentKind, figures: Figures) -> Line {
        let trek = &self.booking.trek_name;
        Line {
            description: match kind {
                DocumentKind::ReceiptVoucher => format!("Advance for trek package: {trek}"),
                DocumentKind::RefundVoucher => format!("Return of the advance for trek package: {trek}"),
                DocumentKind::CreditNote => format!("Cancelled in part or whole: trek package {trek}"),
                DocumentKind::DebitNote | DocumentKind::Invoice => format!("Booked again: trek package {trek}"),
            },
            details: self.trip(),
            quantity: String::new(),
            rate: String::new(),
            amount: rupees(figures.taxable),
        }
    }

    fn sums_of_sale(&self, figures: Figures) -> Vec<Pair> {
        let price = &self.booking.price;
        let mut sums = vec![pair("Base", rupees(price.base))];
        if price.discount > Paise::ZERO {
            let code = self.booking.promo.as_ref().map(|promo| format!(" ({})", promo.code)).unwrap_or_default();
            sums.push(pair(format!("Discount{code}"), rupees(Paise::ZERO - price.discount)));
        }
        let contained = if price.gst_type == GstType::Included { figures.tax } else { Paise::ZERO };
        let gone = price.net - figures.taxable - contained;
        if gone > Paise::ZERO {
            sums.push(pair("Cancelled participants", rupees(Paise::ZERO - gone)));
        }
        sums.extend(self.taxes(figures, if contained > Paise::ZERO { ", included" } else { "" }));
        sums
    }

    fn taxes(&self, figures: Figures, note: &str) -> Vec<Pair> {
        let price = &self.booking.price;
        let mut sums = vec![pair("Taxable value", rupees(figures.taxable))];
        let half = BasisPoints(price.gst_rate.0 / 2);
        let states = Paise(figures.tax.0 / 2);
        let mut tax = |name: &str, rate, amount| {
            sums.push(pair(format!("{name} ({} %){note}", percent(rate)), rupees(amount)));
        };
        match self.supply() {
            _ if figures.tax == Paise::ZERO => {}
            Some(Supply::Within(state)) => {
                tax("CGST", half, figures.tax - states);
                tax(state.tax_name(), half, states);
            }
            Some(Supply::Elsewhere(_)) => tax("IGST", price.gst_rate, figures.tax),
            None => tax("GST", price.gst_rate, figures.tax),
        }
        if figures.charge > Paise::ZERO {
            sums.push(pair(format!("Gateway charges ({} %)", percent(price.gateway_rate)), rupees(figures.charge)));
        }
        sums
    }

    fn payment(&self) -> Vec<Pair> {
        let (booking, day) = (self.booking, |at| self.zone.day_text(at));
        let mut pairs = Vec::new();
        for payment in self.payments {
            pairs.push(pair(
                format!("{} on {}", rupees(payment.amount), day(payment.captured_at)),
                format!("{} \u{2022} {}", payment.method, payment.id),
            ));
        }
        if pairs.is_empty() {
            let method = if booking.status == Status::PendingPayment { "Pending" } else { "Manual/Offline" };
            pairs.push(pair("Method", method));
        }
        if let (PaymentMode::Partial, Some(partial)) = (booking.mode, &booking.partial) {
            pairs.push(pair("First instalment", rupees(partial.initial)));
            if partial.remaining > Paise::ZERO {
                let rest = format!("{} by {}", rupees(partial.remaining), day(partial.due));
                pairs.push(pair("Remaining balance", rest));
                if booking.paid > Paise::ZERO {
                    pairs.push(pair("Status", "Partial payment received"));
                }
            }
        }
        if booking.refund_amount > Paise::ZERO {
            let state = match booking.refund_status {
                RefundStatus::Success => "refunded",
                RefundStatus::Failed => "refund failed, we are on it",
                RefundStatus::Pending | RefundStatus::Processing | RefundStatus::NotApplicable => "refund on its way",
            };
            let on = booking.refund_date.map(|at| format!(" on {}", day(at))).unwrap_or_default();
            pairs.push(pair("Refund", format!("{} {state}{on}", rupees(booking.refund_amount))));
        }
        pairs
    }
}

fn seller_lines(seller: &Seller) -> Vec<String> {
    let contacts: Vec<_> = [&seller.phone, &seller.email].into_iter().flatten().cloned().collect();
    let mut lines = Vec::new();
    if seller.legal_name != seller.trade_name {
        lines.push(seller.legal_name.clone());
    }
    lines.extend(seller.address.iter().flat_map(|address| address.lines().map(|line| line.trim().to_owned())));
    lines.extend((!contacts.is_empty()).then(|| contacts.join("  \u{2022}  ")));
    lines.extend(seller.gstin.iter().map(|gstin| format!("GSTIN {gstin}")));
    lines
}

fn state(booking: &Booking) -> &'static str {
    match booking.status {
        Status::Cancelled => "CANCELLED",
        _ if booking.paid >= booking.due_total() && booking.paid > Paise::ZERO => "PAID",
        _ if booking.paid > Paise::ZERO => "PARTLY PAID",
        _ => "NOT PAID",
    }
}

fn terms(seller: &Seller, title: &str) -> Vec<String> {
    let contact = seller.email.as_ref().or(seller.phone.as_ref());
    let name = title.to_lowercase();
    let mut terms = vec![
        format!("This is a computer-generated {name} and needs no signature."),
        "Refunds are made only according to the cancellation policy.".to_owned(),
        format!("Please keep this {name} for your records."),
    ];
    terms.extend(seller.gstin.as_ref().map(|_| "No tax is payable on reverse charge.".to_owned()));
    terms.extend(contact.map(|contact| format!("Questions about this {name}: {contact}")));
    terms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rupees_are_grouped_as_in_india() {
        let texts = [0, 5, 99_900, 100_000, 12_345_670, 1_234_567_890].map(|paise| rupees(Paise(paise)));
        assert_eq!(texts, ["₹0.00", "₹0.05", "₹999.00", "₹1,000.00", "₹1,23,456.70", "₹1,23,45,678.90"]);
    }
}
