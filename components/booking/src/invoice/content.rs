//! What stands on an invoice, in words and figures.

use cairn_shared::{BasisPoints, Paise, Timestamp, Zone};

use crate::{
    app::Seller,
    domain::{Booking, GstType, Payment, PaymentMode, RefundStatus, Status},
};

/// What an invoice is made from.
pub struct Document<'a> {
    pub seller: &'a Seller,
    pub booking: &'a Booking,
    /// None for a proforma.
    pub number: Option<&'a str>,
    pub date: Timestamp,
    /// Oldest first.
    pub payments: &'a [Payment],
    pub zone: Zone,
}

/// A line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub description: String,
    pub details: String,
    pub quantity: String,
    pub rate: String,
    pub amount: String,
}

/// A line of a list of terms and values.
pub type Pair = (String, String);

/// Everything on the page, as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    pub title: String,
    pub seller_name: String,
    pub seller: Vec<String>,
    pub facts: Vec<Pair>,
    pub bill_to: Vec<String>,
    pub lines: Vec<Line>,
    /// Before the total.
    pub sums: Vec<Pair>,
    pub total: Pair,
    /// After the total.
    pub settled: Vec<Pair>,
    /// The stamp: how far it is paid.
    pub state: &'static str,
    pub payment: Vec<Pair>,
    pub terms: Vec<String>,
    pub footer: String,
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
    pub fn of(document: &Document<'_>) -> Self {
        let Document { seller, booking, .. } = document;
        let contact = &booking.contact;
        Self {
            title: if document.number.is_some() { "Invoice" } else { "Proforma Invoice" }.into(),
            seller_name: seller.trade_name.clone(),
            seller: seller_lines(seller),
            facts: facts(document),
            bill_to: vec![contact.name.clone(), contact.email.clone(), contact.phone.clone()],
            lines: lines(document),
            sums: sums(booking),
            total: pair("Total", rupees(booking.price.total)),
            settled: settled(booking),
            state: state(booking),
            payment: payment(document),
            terms: terms(seller),
            footer: format!("Thank you for travelling with {}.", seller.trade_name),
        }
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

fn facts(document: &Document<'_>) -> Vec<Pair> {
    let (booking, day) = (document.booking, |at| document.zone.day_text(at));
    let mut facts = vec![
        pair("Invoice no.", document.number.map_or_else(|| format!("PRO-{}", booking.id.short_code()), str::to_owned)),
        pair("Date", day(document.date)),
        pair("Booking", booking.code()),
    ];
    match &booking.partial {
        Some(partial) if partial.remaining > Paise::ZERO => facts.push(pair("Balance due by", day(partial.due))),
        _ => facts.push(pair("Due date", day(document.date))),
    }
    facts
}

fn lines(document: &Document<'_>) -> Vec<Line> {
    let (booking, day) = (document.booking, |at| document.zone.day_text(at));
    let count = booking.count();
    let trek = Line {
        description: format!("Trek package: {}", booking.trek_name),
        details: format!("{} \u{2013} {}", day(booking.batch_start), day(booking.batch_end)),
        quantity: count.to_string(),
        rate: rupees(booking.price.unit),
        amount: rupees(booking.price.unit.times(count)),
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

fn sums(booking: &Booking) -> Vec<Pair> {
    let price = &booking.price;
    let mut sums = vec![pair("Base", rupees(price.base))];
    if price.discount > Paise::ZERO {
        let code = booking.promo.as_ref().map(|promo| format!(" ({})", promo.code)).unwrap_or_default();
        sums.push(pair(format!("Discount{code}"), rupees(Paise::ZERO - price.discount)));
    }
    match price.gst_type {
        GstType::Included if price.gst_included > Paise::ZERO => {
            sums.push(pair("Taxable value", rupees(price.net - price.gst_included)));
            sums.push(pair(format!("GST ({} %), included", percent(price.gst_rate)), rupees(price.gst_included)));
        }
        GstType::Included | GstType::Excluded => {
            sums.push(pair("Taxable value", rupees(price.net)));
            if price.gst > Paise::ZERO {
                sums.push(pair(format!("GST ({} %)", percent(price.gst_rate)), rupees(price.gst)));
            }
        }
    }
    if price.gateway > Paise::ZERO {
        sums.push(pair(format!("Gateway charges ({} %)", percent(price.gateway_rate)), rupees(price.gateway)));
    }
    sums
}

fn settled(booking: &Booking) -> Vec<Pair> {
    let mut settled = vec![pair("Paid", rupees(booking.paid))];
    if booking.refunded > Paise::ZERO {
        settled.push(pair("Refunded", rupees(booking.refunded)));
    }
    if booking.status != Status::Cancelled {
        settled.push(pair("Balance", rupees((booking.price.total - booking.paid).max(Paise::ZERO))));
    }
    settled
}

fn state(booking: &Booking) -> &'static str {
    match booking.status {
        Status::Cancelled => "CANCELLED",
        _ if booking.paid >= booking.price.total && booking.paid > Paise::ZERO => "PAID",
        _ if booking.paid > Paise::ZERO => "PARTLY PAID",
        _ => "NOT PAID",
    }
}

fn payment(document: &Document<'_>) -> Vec<Pair> {
    let (booking, day) = (document.booking, |at| document.zone.day_text(at));
    let mut pairs = Vec::new();
    for payment in document.payments {
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
            pairs.push(pair("Remaining balance", format!("{} by {}", rupees(partial.remaining), day(partial.due))));
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

fn terms(seller: &Seller) -> Vec<String> {
    let contact = seller.email.as_ref().or(seller.phone.as_ref());
    let mut terms = vec![
        "This is a computer-generated invoice and needs no signature.".to_owned(),
        "Refunds are made only according to the cancellation policy.".to_owned(),
        "Please keep this invoice for your records.".to_owned(),
    ];
    terms.extend(contact.map(|contact| format!("Questions about this invoice: {contact}")));
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
