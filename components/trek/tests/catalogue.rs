//! The catalogue on a real database, over its routes.

use std::{cell::RefCell, rc::Rc};

use async_trait::async_trait;
use cairn_shared::{
    Db, Env, Id, Paise, Sql, Timestamp, component,
    config::Config,
    http::Request,
    identity::{CALLER_HEADER, Caller, Identity, Role},
    params,
    time::DAY,
};
use cairn_trek::{
    app::{App, Peers},
    demo::{self, Files},
    domain::Batch,
};
use serde_json::Value;

const HOSAMALE: &str = "68c5a7d0b3e19f4200002001";

/// Two batches of each trek: one next month, one last month. Down while told to.
struct Batches {
    now: Timestamp,
    down: Rc<RefCell<bool>>,
}

#[async_trait(?Send)]
impl Peers for Batches {
    async fn batches(&self, trek_ids: &[Id]) -> Result<Vec<Batch>, String> {
        if *self.down.borrow() {
            return Err("down".into());
        }
        let batch = |trek_id: &Id, days: i64| Batch {
            id: Id::derive(&[&trek_id.to_string(), &days.to_string()]),
            trek_id: *trek_id,
            start_date: self.now.plus(days * DAY),
            end_date: self.now.plus((days + 1) * DAY),
            price: Paise::rupees(3200),
            max_participants: 20,
            reserved_slots: 0,
            current_participants: 7,
            actual_current_participants: 7,
            available_spots: 13,
            status: if days < 0 { "completed" } else { "upcoming" },
        };
        Ok(trek_ids.iter().flat_map(|id| [batch(id, -30), batch(id, 30)]).collect())
    }
}

struct World {
    app: Rc<App>,
    batches_down: Rc<RefCell<bool>>,
}

async fn world() -> World {
    let now: Timestamp = "2026-11-22".parse().unwrap();
    let batches_down = Rc::new(RefCell::new(false));
    let peers = Box::new(Batches { now, down: batches_down.clone() });
    let env = Env::new("trek", Rc::new(move || now), Rc::new(cairn_shared::upstream::Unreachable));
    let app = App::new(Config::of(&[]), Db::for_test().await.unwrap(), env, peers).unwrap();
    component::prepare(&app).await.unwrap();
    let files = Files {
        regions: include_str!("../../../demo/trek/regions.json").into(),
        treks: include_str!("../../../demo/trek/treks.json").into(),
        sections: include_str!("../../../demo/trek/sections.json").into(),
    };
    demo::insert(&app, &files).await.unwrap();
    demo::insert(&app, &files).await.unwrap();
    World { app: Rc::new(app), batches_down }
}

impl World {
    async fn get(&self, target: &str) -> (u16, Value) {
        self.ask(Request::new("GET", target)).await
    }

    async fn get_as_admin(&self, target: &str) -> (u16, Value) {
        let caller = Caller {
            id: Id::derive(&["admin"]),
            name: "Desk".into(),
            email: "desk@example.org".into(),
            phone: None,
            role: Role::Admin,
            group: None,
        };
        self.ask(Request::new("GET", target).with_header(CALLER_HEADER, Identity::Caller(Box::new(caller)).encode()))
            .await
    }

    async fn ask(&self, request: Request) -> (u16, Value) {
        let response = component::router::<App>().handle(self.app.clone(), &self.app.env, request).await;
        (response.status, serde_json::from_slice(&response.body).unwrap())
    }

    async fn names(&self, target: &str) -> Vec<String> {
        let (status, body) = self.get(target).await;
        assert_eq!(status, 200, "{target}: {body}");
        body.as_array().unwrap().iter().map(|trek| trek["name"].as_str().unwrap().to_owned()).collect()
    }
}

#[tokio::test]
async fn the_public_list_has_enabled_treks_with_all_their_batches() {
    let world = world().await;
    let (status, body) = world.get("/api/treks").await;
    assert_eq!(status, 200);
    let treks = body.as_array().unwrap();
    assert_eq!(treks.len(), 9, "ten, one of them disabled");
    for trek in treks {
        assert_eq!(trek["batches"].as_array().unwrap().len(), 2);
        assert!(trek["gstDetails"]["percent"].is_number() && trek["gatewayDetails"]["type"].is_string());
        assert!(trek.get("customAccessToken").is_none());
    }
    assert_eq!(world.get_as_admin("/api/treks?includeDisabled=true").await.1.as_array().unwrap().len(), 10);
    assert_eq!(world.get("/api/treks?includeDisabled=true").await.1.as_array().unwrap().len(), 9);
}

#[tokio::test]
async fn lists_are_narrowed_and_sorted() {
    let world = world().await;
    assert_eq!(world.names("/api/treks?search=hOsAmAle").await, ["Hosamale Mist Ridge"]);
    assert!(world.names("/api/treks?search=%25").await.is_empty(), "search text is literal");
    let by_id = world.names("/api/treks?regionId=68c5a7d0b3e19f4200001002").await;
    assert_eq!(by_id, world.names("/api/treks?region=malenadu%20highlands").await);
    assert!(!by_id.is_empty());
    let mut sorted = world.names("/api/treks?sort=name-asc&category=all-treks&season=").await;
    let names = sorted.clone();
    sorted.sort();
    assert_eq!(names, sorted);
    assert_eq!(world.names("/api/treks?sort=name-asc&limit=2").await, names[..2]);
    assert!(world.names("/api/treks?duration=2-2").await.contains(&"Hosamale Mist Ridge".to_owned()));
    for bad in ["sort=x", "duration=x", "limit=x", "regionId=x"] {
        assert_eq!(world.get(&format!("/api/treks?{bad}")).await.0, 400, "{bad}");
    }
}

#[tokio::test]
async fn a_trek_is_found_by_slug_and_by_id_with_bookable_batches() {
    let world = world().await;
    let (status, by_slug) = world.get("/api/treks/slug/Hosamale-Mist-Ridge").await;
    assert_eq!(status, 200);
    assert_eq!(by_slug["batches"].as_array().unwrap().len(), 1);
    assert_eq!((&by_slug["batches"][0]["availableSpots"], &by_slug["gstPercent"]), (&13.into(), &5.into()));
    assert_eq!(world.get(&format!("/api/treks/{HOSAMALE}")).await, (200, by_slug));
    let all = world.get_as_admin(&format!("/api/treks/{HOSAMALE}?admin=true")).await.1;
    assert_eq!(all["batches"].as_array().unwrap().len(), 2);
    let anonymous = world.get(&format!("/api/treks/{HOSAMALE}?admin=true")).await.1;
    assert_eq!(anonymous["batches"].as_array().unwrap().len(), 1);
    assert_eq!(world.get("/api/treks/slug/nothing").await.0, 404);
    assert_eq!(world.get("/api/treks/nonsense").await.0, 400);
    assert_eq!(world.get("/api/treks/000000000000000000000000").await.0, 404);
}

#[tokio::test]
async fn a_disabled_trek_is_hidden_by_slug_and_shown_by_id() {
    let world = world().await;
    let (_, all) = world.get_as_admin("/api/treks/all").await;
    let disabled = all.as_array().unwrap().iter().find(|trek| trek["isEnabled"] == false).unwrap();
    let slug = format!("/api/treks/slug/{}", disabled["slug"].as_str().unwrap());
    assert_eq!(world.get(&slug).await.0, 404);
    assert_eq!(world.get_as_admin(&slug).await.0, 200);
    assert_eq!(world.get(&format!("/api/treks/{}", disabled["_id"].as_str().unwrap())).await.0, 200);
}

#[tokio::test]
async fn regions_sections_and_counts_are_public() {
    let world = world().await;
    let (_, regions) = world.get("/api/regions").await;
    assert_eq!(regions.as_array().unwrap().len(), 4);
    let slug = regions[0]["slug"].as_str().unwrap();
    let (status, region) = world.get(&format!("/api/regions/slug/{slug}")).await;
    assert_eq!((status, &region["name"]), (200, &regions[0]["name"]));
    assert!(region["relatedRegions"].as_array().unwrap().iter().all(|related| related["name"].is_string()));
    let (_, sections) = world.get("/api/trek-sections/active").await;
    let sections = sections.as_array().unwrap();
    assert_eq!(sections.len(), 2, "the third is not active");
    assert_eq!(sections[0]["treks"][2]["_id"], HOSAMALE, "in the order staff gave them");
    let (_, stats) = world.get("/api/treks/stats").await;
    assert_eq!(stats["totalTreks"], 9);
    let counted: i64 = stats["difficulties"].as_array().unwrap().iter().map(|d| d["count"].as_i64().unwrap()).sum();
    assert_eq!(counted, 9);
    assert_eq!(world.get("/api/treks/weekend-getaways?limit=3").await.1["total"], 1);
    assert_eq!(world.get("/api/treks/weekend-getaways?limit=0").await.0, 400);
}

#[tokio::test]
async fn without_the_batch_service_the_catalogue_says_so() {
    let world = world().await;
    *world.batches_down.borrow_mut() = true;
    let (status, body) = world.get("/api/treks").await;
    assert_eq!(status, 503);
    assert!(!body.to_string().contains("down"), "no internals: {body}");
}

#[tokio::test]
async fn what_a_sale_depends_on_is_ready_by_id() {
    let world = world().await;
    let terms = world.app.terms(HOSAMALE.parse().unwrap()).await.unwrap().unwrap();
    assert_eq!((terms.gst.0, terms.partial_payment.amount), (500, Paise::rupees(1000)));
    let told = world.app.db.query_one("SELECT COUNT(*) AS n FROM outbox", params![]).await.unwrap();
    assert_eq!(told.get::<i64>("n").unwrap(), 4 + 2 * 10, "regions to one, treks to two");
}
