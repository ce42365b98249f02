//! The page behind the link of a called-off trip: for people who open it from their mail,
//! without an account and without scripts. Its buttons are a form.

use cairn_shared::{Error, Zone, http::Response};

use super::page::{NO_SCRIPTS, escaped};
use crate::{app::Options, domain::Booking};

fn page(status: u16, title: &str, body: &str) -> Response {
    super::page::page(status, title, body, NO_SCRIPTS)
}

fn button(value: &str, text: &str) -> String {
    format!("<button name=\"choice\" value=\"{value}\">{text}</button>")
}

/// What can be chosen; where the choice is made, what it was.
pub fn options(options: &Options, zone: Zone) -> Response {
    let booking = &options.booking;
    let Some(off) = booking.called_off.as_ref().filter(|_| booking.awaits_choice()) else {
        return done(booking, zone);
    };
    let mut body = vec![format!(
        "<p>{} on {} cannot take place. {}</p><p>Please choose until {}. If you do not, your money goes back.</p>\
             <form method=\"post\">",
        escaped(&booking.trek_name),
        zone.day_text(booking.batch_start),
        escaped(&off.reason),
        zone.day_text(off.deadline)
    )];
    if options.worth.voucher > cairn_shared::Paise::ZERO {
        let text = format!("A voucher of \u{20b9}{}, valid for a year", options.worth.voucher);
        body.push(button("voucher", &text));
    }
    for (batch, less) in &options.batches {
        let (start, end) = (zone.day_text(batch.start), zone.day_text(batch.end));
        let back = match less {
            less if *less > cairn_shared::Paise::ZERO => format!("; it costs \u{20b9}{less} less"),
            _ => ", at no higher price".to_owned(),
        };
        body.push(button(&format!("batch-{}", batch.id), &format!("{start} to {end} instead{back}")));
    }
    body.push(button("refund", &format!("All of my money back: \u{20b9}{}", options.worth.refund)));
    body.push("</form>".into());
    page(200, "Your trek does not take place", &body.concat())
}

/// What was chosen.
pub fn done(booking: &Booking, zone: Zone) -> Response {
    let choice = booking.called_off.as_ref().and_then(|off| off.choice);
    let text = match choice {
        Some(crate::domain::Choice::Voucher) => "Your voucher is on its way to you by e-mail.".to_owned(),
        Some(crate::domain::Choice::Refund) => {
            format!("\u{20b9}{} go back to you.", booking.refund_amount)
        }
        Some(crate::domain::Choice::Batch) => {
            let (start, end) = (zone.day_text(booking.batch_start), zone.day_text(booking.batch_end));
            format!("Your booking is now for {start} to {end}.")
        }
        None => "There is nothing to choose for this booking.".to_owned(),
    };
    page(200, "Thank you", &format!("<p>{}</p>", escaped(&text)))
}

pub fn problem(error: &Error) -> Response {
    page(error.status(), "This did not work", &format!("<p>{}</p>", escaped(error.public_message())))
}

/// The choice of the page's form, with its batch; none for what is no form.
pub fn form(body: &[u8]) -> Option<(&str, Option<&str>)> {
    let choice = std::str::from_utf8(body).ok()?.strip_prefix("choice=")?;
    let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
    if !choice.chars().all(plain) {
        return None;
    }
    match choice.strip_prefix("batch-") {
        Some(batch) => Some(("batch", Some(batch))),
        None => Some((choice, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_names_its_choice_and_text_is_no_markup() {
        assert_eq!(form(b"choice=refund"), Some(("refund", None)));
        assert_eq!(form(b"choice=batch-68c5"), Some(("batch", Some("68c5"))));
        for other in ["{\"choice\":\"refund\"}", "choice=%3Cscript%3E", "choice=a&b=c"] {
            assert_eq!(form(other.as_bytes()), None, "{other}");
        }
        assert_eq!(escaped("<a href=\"x\">'&"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;");
    }
}
