//! What the host refuses: other components' databases, and links to nobody.

use host::{
    host::StartError,
    manifest::{self, Application},
};

use crate::{
    stage::{Stage, only, root},
    val::done,
};

async fn refusal(component: &str, application: Application) -> String {
    let StartError(problems) = match Stage::of_application(component, application, &[]).try_start().await {
        Err(error) => error,
        Ok(_) => panic!("{component} should not start"),
    };
    problems.join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_does_not_get_another_ones_database() {
    let mut application = only("batch");
    application.components[0].sqlite_databases = vec!["other".to_owned()];
    let problem = refusal("batch", application.clone()).await;
    assert!(problem.contains("component \"batch\"") && problem.contains("AccessDenied"), "{problem}");

    // The same where the database is there, but somebody else's.
    let mut owner = only("content").components.remove(0);
    owner.sqlite_databases.push("batch".to_owned());
    application.components.push(owner);
    let problem = refusal("batch", application).await;
    assert!(problem.contains("component \"batch\"") && problem.contains("AccessDenied"), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_to_nobody_is_refused_at_start_with_its_name_and_who_needs_it() {
    let problem = refusal("trek", only("trek")).await;
    assert_eq!(
        problem,
        "component \"trek\" imports \"cairn:batch/schedule@1.0.0\", which no component exports and the host does not provide"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_link_to_nobody_is_named_at_once() {
    let problem = refusal("booking", only("booking")).await;
    for interface in [
        "user/accounts",
        "trek/catalogue",
        "batch/schedule",
        "batch/seats",
        "payment/promos",
        "payment/checkout",
        "notification/mail",
    ] {
        assert!(
            problem.contains(&format!("component \"booking\" imports \"cairn:{interface}@1.0.0\"")),
            "{interface}: {problem}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_a_component_was_not_granted_does_not_reach_it() {
    // The composed user component gets everything; the plain one in our host only its own.
    let whole = manifest::load(&root().join("spin.toml")).unwrap();
    for component in &whole.components {
        let secrets = [
            "jwt_secret",
            "razorpay_key_secret",
            "razorpay_webhook_secret",
            "stripe_secret_key",
            "stripe_webhook_secret",
            "email_pass",
            "cairn_admin_password",
        ];
        let seen: Vec<_> = secrets.into_iter().filter(|secret| component.variables.contains_key(*secret)).collect();
        let expected: &[&str] = match component.id.as_str() {
            "user" => &["jwt_secret", "cairn_admin_password"],
            "payment" => {
                &["razorpay_key_secret", "razorpay_webhook_secret", "stripe_secret_key", "stripe_webhook_secret"]
            }
            "notification" => &["email_pass"],
            _ => &[],
        };
        assert_eq!(seen, expected, "{}", component.id);
    }
    // And that is enough for it.
    Stage::of("user").answer("cairn:notification/mail", "enqueue", |_| done()).start().await;
}
