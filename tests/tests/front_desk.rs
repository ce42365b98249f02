//! The desk's day over HTTP: a customer by phone, a booking paid in two parts in cash, a
//! failed booking that gets another chance.

use anyhow::{Context, Result, ensure};
use cairn_tests::{
    system::System,
    trekker::{MAIL_MAX, Trekker, expect, text},
};
use serde_json::json;

const TREK: &str = "68c5a7d0b3e19f4200002001";
const BATCH: &str = "68c5a7d0b3e19f4200004008";

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_on_the_phone_is_booked_and_pays_in_cash() -> Result<()> {
    let system = System::start().await?;
    let desk = Trekker::admin(&system).await?;

    // Not known yet, so the desk makes an account.
    let phone = json!({ "phone": "98450 12345" });
    let reply = desk.post("/api/bookings/manual/validate-user", &phone).await?;
    ensure!(expect(reply, 200)?["exists"] == false);
    let new =
        json!({ "name": "Arjun Pai", "email": "arjun.pai@example.org", "phone": "+91 98450 12345", "city": "Mysuru" });
    let made = expect(desk.post("/api/bookings/manual/create-user", &new).await?, 201)?;
    expect(desk.post("/api/bookings/manual/create-user", &new).await?, 400)?;
    let found = expect(desk.post("/api/bookings/manual/validate-user", &phone).await?, 200)?;
    ensure!(found["user"]["_id"] == made["user"]["_id"] && found["user"]["adminCreated"] == true, "{found}");

    // Two seats, half of it paid in cash.
    let booking = json!({
        "userId": made["user"]["_id"], "trekId": TREK, "batchId": BATCH, "numberOfParticipants": 1, "totalPrice": 5000,
        "userDetails": { "name": "Arjun Pai", "email": "arjun.pai@example.org", "phone": "9845012345" },
        "paymentStatus": "payment_confirmed_partial", "paymentMethod": "cash", "paymentReference": "Receipt 17",
        "participantDetails": [{ "name": "Arjun Pai", "age": "34", "gender": "Male" }, { "name": "Veena Pai", "age": "31" }],
        "emergencyContact": { "name": "", "phone": "", "relationship": "" },
    });
    let booked = expect(desk.post("/api/bookings/manual/create-booking", &booking).await?, 201)?;
    ensure!(booked["booking"]["status"] == "payment_confirmed_partial", "{booked}");
    let id = text(&booked["booking"], "_id")?;
    let detail = expect(desk.get(&format!("/api/bookings/{id}")).await?, 200)?;
    let initial = detail["partialPaymentDetails"]["initialAmount"].as_f64().context("an amount")?;
    ensure!(detail["amountPaid"].as_f64() == Some(initial) && detail["participants"] == 2, "{detail}");
    system.mailbox.wait_for("arjun.pai@example.org", "art payment received", MAIL_MAX).await?;

    // The rest by bank transfer; the booking is confirmed, and everybody is told.
    let proof = json!({ "paymentMethod": "bank_transfer", "paymentReference": "UTR 4711" });
    let path = format!("/api/bookings/{id}/mark-partial-complete");
    let complete = expect(desk.put(&path, &proof).await?, 200)?;
    ensure!(complete["booking"]["status"] == "confirmed" && complete["booking"]["amountPaid"] == 5000, "{complete}");
    expect(desk.put(&path, &proof).await?, 400)?;
    let mail = system.mailbox.wait_for("arjun.pai@example.org", "ayment complete", MAIL_MAX).await?;
    ensure!(mail.attachment(&format!("Invoice-{id}.pdf")).is_some(), "the invoice is attached");
    let mail = system.mailbox.wait_for("arjun.pai@example.org", "ooking confirmed", MAIL_MAX).await?;
    ensure!(mail.text().contains("Arjun Pai, 34, Male"), "{}", mail.text());
    let detail = expect(desk.get(&format!("/api/bookings/{id}")).await?, 200)?;
    ensure!(detail["payments"].as_array().is_some_and(|payments| payments.len() == 2), "{detail}");

    // Noted, and sent again.
    let remark = json!({ "adminRemarks": "Wants the window seat" });
    expect(desk.put(&format!("/api/bookings/{}/remarks", text(&booked, "bookingId")?), &remark).await?, 200)?;
    expect(desk.post(&format!("/api/bookings/{id}/send-reminder"), &json!({})).await?, 200)?;
    system.mailbox.wait_for("arjun.pai@example.org", "begins soon", MAIL_MAX).await?;
    let jobs = expect(desk.get("/api/bookings/jobs/auto-cancel/preview").await?, 200)?;
    ensure!(jobs["wouldAct"] == json!([]), "{jobs}");
    Ok(())
}
